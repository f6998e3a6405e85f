"""What a table's numbers mean, machine by machine, and a site's own file."""

import pytest

from fluoroscope.dose.skin_machines import Evidence, TableFileError, read_table_frame, table_frame

pytestmark = pytest.mark.req("REQ-SKIN-003")

FILE = 'source = "room 4, measured 2026-03-02"\nhead_end_mm = 820\nmiddle_mm = -3.5\ntabletop_mm = -140\n'


@pytest.mark.parametrize(
    ("maker", "model", "evidence"),
    [
        ("Siemens", "AXIOM-Artis", Evidence.COMPARED),
        ("Siemens Healthineers", "ARTIS pheno", Evidence.COMPARED),
        ("Siemens", "Fluorospot Compact FD", Evidence.UNKNOWN),
        ("Philips Medical Systems", "Azurion", Evidence.UNKNOWN),
        ("Philips", "Allura Clarity", Evidence.UNKNOWN),
        ("GE Medical Systems", "Discovery IGS 740", Evidence.UNKNOWN),
        ("GE Healthcare", "OEC Elite", Evidence.UNKNOWN),
        ("Canon Medical Systems", "Alphenix", Evidence.UNKNOWN),
        ("", "", Evidence.UNKNOWN),
        ("Fluoroscope (simulated)", "mobile flat-panel C-arm", Evidence.OWN),
    ],
)
def test_the_evidence_of_a_machine(maker, model, evidence):
    frame = table_frame(maker, model)
    assert frame.evidence is evidence
    assert frame.known is (evidence is not Evidence.UNKNOWN)
    assert frame.source


def test_a_maker_is_named_where_his_table_is_not_known():
    for maker, model in (("Philips", "Azurion"), ("GE Healthcare", "Innova"), ("Canon", "Alphenix")):
        assert table_frame(maker, model).source.startswith(maker.split()[0])


def test_a_sites_file_is_read(tmp_path):
    path = tmp_path / "table.toml"
    path.write_text(FILE + 'along = "longitudinal"\nheight_sign = -1\n')
    frame = read_table_frame(path)
    assert (frame.evidence, frame.head_end_mm, frame.middle_mm, frame.tabletop_mm) == (Evidence.SITE, 820, -3.5, -140)
    assert (frame.along, frame.along_sign, frame.height_sign) == ("longitudinal", 1, -1)
    assert frame.source == "room 4, measured 2026-03-02"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("not toml", "no table file"),
        (FILE.replace("source", "who"), "who is not known"),
        (FILE.replace('source = "room 4, measured 2026-03-02"\n', ""), "source is missing"),
        (FILE.replace("head_end_mm = 820\n", ""), "head_end_mm is missing"),
        (FILE.replace("820", "82000"), "within ±5000 mm"),
        (FILE.replace("820", "nan"), "within ±5000 mm"),
        (FILE + "height_sign = 2\n", "height_sign must be 1"),
        (FILE + 'along = "up"\n', "along must be"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused_by_name(tmp_path, text, said):
    path = tmp_path / "table.toml"
    path.write_text(text)
    with pytest.raises(TableFileError, match=said) as fault:
        read_table_frame(path)
    assert str(path) in str(fault.value)


def test_a_file_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(TableFileError, match="no such file") as fault:
        read_table_frame(tmp_path / "none.toml")
    assert "Errno" not in str(fault.value)
