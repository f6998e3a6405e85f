"""Dose objects as vendors write them: units, lists, planes, missing values, codes without words; and hostile files."""

import struct
import tracemalloc
import zlib

import numpy as np
import pytest
from pydicom import dcmread, dcmwrite
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    BasicTextSRStorage,
    ComprehensiveSRStorage,
    ExplicitVRLittleEndian,
    JPEGLSLossless,
    XRayAngiographicImageStorage,
    XRayRadiationDoseSRStorage,
    generate_uid,
)

from fluoroscope.dicom.dose_objects import read_dose_object
from fluoroscope.dicom.dose_units import to_unit
from fluoroscope.patient.stored import PatientFileError

REAL = {
    "openrem__RF-RDSR-GE": ("fluoroscopy", 8, 2.4126, 11.7317, 72.46),
    "openrem__RF-ESR-Siemens-Varic": ("legacy report", 0, 0.2359, None, 34.427),
    "openrem__Dual-RDSR-RF": ("fluoroscopy", 4, 0.0212, 0.1, 4.0),
    "openrem__RF-RDSR-Canon-Ultimaxi-mGyDoseAtRP": ("fluoroscopy", 18, 12.6596, 30.573, 111.0),
    "openrem__RF-RDSR-Philips_Allura": ("fluoroscopy", 3, 1.5356864017, 4.27128035068, 13.0),
    "openrem__RF-RDSR-Siemens-Zee": ("fluoroscopy", 8, 0.16, 2.52, 28.0),
    "pyskindose__siemens_axiom_example_procedure": ("fluoroscopy", 24, 2.7902, 14.06, 74.0),
    "pyskindose__philips_allura_clarity_u104": ("fluoroscopy", 25, 0.078391324289, 0.70936639118, 37.0),
    "openrem__DX-RDSR-Canon_CXDI": ("radiography", 1, 0.107, None, None),
}


def code(value, scheme="DCM", meaning="words a vendor made up"):
    one = Dataset()
    one.CodeValue, one.CodingSchemeDesignator, one.CodeMeaning = value, scheme, meaning
    return one


def item(concept, kind, *children, value=None, unit="", meaning="words a vendor made up"):
    one = Dataset()
    one.RelationshipType, one.ValueType = "CONTAINS", kind
    one.ConceptNameCodeSequence = [code(concept, meaning=meaning)]
    if kind == "NUM":
        measured = []
        for number in value if isinstance(value, list) else ([] if value is None else [value]):
            part = Dataset()
            part.NumericValue = str(number)
            part.MeasurementUnitsCodeSequence = [code(unit, "UCUM", unit)]
            measured.append(part)
        one.MeasuredValueSequence = measured
    elif kind == "CODE":
        one.ConceptCodeSequence = [value]
    elif kind == "TEXT":
        one.TextValue = value
    elif kind == "UIDREF":
        one.UID = value
    if children:
        one.ContentSequence = list(children)
    return one


def write(path, *children, sop_class=XRayRadiationDoseSRStorage, title="113701", **header):
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID = sop_class
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID = generate_uid()
    dataset.Modality, dataset.ValueType = "SR", "CONTAINER"
    for name, value in header.items():
        setattr(dataset, name, value)
    if title:
        dataset.ConceptNameCodeSequence = [code(title)]
    if children:
        dataset.ContentSequence = list(children)
    dcmwrite(path, dataset, enforce_file_format=True)
    return path


def event(*children, kap="0.0001", kerma="0.002", kap_unit="Gy.m2", kerma_unit="Gy", uid=None, kind="P5-06000"):
    return item(
        "113706", "CONTAINER",
        item("113769", "UIDREF", value=uid or generate_uid()),
        item("113721", "CODE", value=code(kind, "SRT")),
        item("122130", "NUM", value=kap, unit=kap_unit),
        item("113738", "NUM", value=kerma, unit=kerma_unit),
        *children,
    )  # fmt: skip


def totals(kap="0.0002", kerma="0.004", plane="113622", kap_unit="Gy.m2", kerma_unit="Gy"):
    return item(
        "113702", "CONTAINER",
        item("113764", "CODE", value=code(plane)),
        item("113722", "NUM", value=kap, unit=kap_unit),
        item("113725", "NUM", value=kerma, unit=kerma_unit),
        item("113730", "NUM", value="12.5", unit="s"),
    )  # fmt: skip


def codes_of(found):
    return {warning.code for warning in found.warnings}


@pytest.mark.parametrize(
    ("kap_unit", "kap", "kerma_unit", "kerma"),
    [("Gy.m2", "0.0002", "Gy", "0.004"), ("Gym2", "0.0002", "mGy", "4"), ("dGy.cm2", "20", "cGy", "0.4"),
     ("uGy.m2", "200", "uGy", "4000"), ("Gy.cm^2", "2", "mGy", "4"), ("mGy.cm2", "2000", "Gy", "0.004")],
)  # fmt: skip
def test_units_of_every_spelling_give_the_same_totals(tmp_path, kap_unit, kap, kerma_unit, kerma):
    part = totals(kap, kerma, kap_unit=kap_unit, kerma_unit=kerma_unit)
    found = read_dose_object(write(tmp_path / "a.dcm", part, event(), event()))
    assert found.kind == "fluoroscopy"
    assert found.total.kap_gy_cm2 == pytest.approx(2.0, rel=1e-9)
    assert found.total.air_kerma_mgy == pytest.approx(4.0, rel=1e-9)
    assert found.summed.kap_gy_cm2 == pytest.approx(2.0, rel=1e-9)
    assert found.total.fluoroscopy_time_s == 12.5
    assert not {"sum_kap_gy_cm2", "sum_air_kerma_mgy", "unknown_unit"} & codes_of(found)


@pytest.mark.parametrize(("words", "kept"), [("26.0 cm Chamber Patient Distance", None), ("26 cm from source", 260.0)])
def test_the_way_from_chamber_to_patient_is_none_from_the_source(tmp_path, words, kept):
    """As a Canon Ultimax writes it: the item of the way from source to reference point has the way of its words."""
    one = event(item("113780", "TEXT", value=words), item("113737", "NUM", value="260", unit="mm"))
    found = read_dose_object(write(tmp_path / "a.dcm", totals(), one))
    assert found.events[0].source_to_reference_mm == kept
    assert ("reference_distance" in codes_of(found)) == (kept is None)


@pytest.mark.data
def test_the_way_from_chamber_to_patient_in_a_real_report(data_folder):
    found = read_dose_object(data_folder / "rdsr" / "openrem__RF-RDSR-Canon-Ultimaxi-mGyDoseAtRP.dcm")
    assert {one.source_to_reference_mm for one in found.events} == {None}
    assert "reference_distance" in codes_of(found)


def test_an_unknown_unit_is_said_and_not_guessed(tmp_path):
    found = read_dose_object(write(tmp_path / "a.dcm", totals(kap_unit="barn"), event()))
    assert found.total.kap_gy_cm2 is None
    assert "unknown_unit" in codes_of(found)
    assert to_unit("kap", 1.0, "furlong") is None


def test_header_and_sum_are_both_kept_and_their_difference_said(tmp_path):
    found = read_dose_object(write(tmp_path / "a.dcm", totals("0.0003", "0.0041"), event(), event()))
    assert (found.total.kap_gy_cm2, found.summed.kap_gy_cm2) == pytest.approx((3.0, 2.0))
    assert {"sum_kap_gy_cm2", "sum_air_kerma_mgy"} <= codes_of(found)


def test_both_planes_are_added_up(tmp_path):
    parts = (totals(plane="113620"), totals("0.0001", "0.001", plane="113621"))
    found = read_dose_object(write(tmp_path / "a.dcm", *parts, event()))
    assert found.total.air_kerma_mgy == pytest.approx(5.0)
    assert found.total.fluoroscopy_time_s == 25.0
    assert "planes" in codes_of(found)


def test_lists_missing_values_and_repeated_items_are_kept(tmp_path):
    thin, thick = item("113758", "NUM", value="0.1", unit="mm"), item("113773", "NUM", value="0.2", unit="mm")
    strip = item("113771", "CONTAINER", item("113757", "CODE", value=code("C-127F9", "SRT")), thin, thick)
    wedge = item("113771", "CONTAINER", item("113757", "CODE", value=code("x", "99V", "Aluminium or compound")))
    one = event(
        item("113733", "NUM", value=["70", "0", "72"], unit="kV"), item("112011", "NUM"), strip, wedge,
        item("113753", "NUM", value="900", unit="mm"), item("113753", "NUM", value="91", unit="cm"),
        item("113735", "NUM", value="500", unit="ms"),
    )  # fmt: skip
    found = read_dose_object(write(tmp_path / "a.dcm", totals(), one, event(kerma="0")))
    first = found.events[0]
    assert first.kvp == (70.0, 0.0, 72.0)
    assert first.primary_deg is None
    assert [(f.material, f.minimum_mm, f.maximum_mm) for f in first.filters] == [
        ("copper", 0.1, 0.2), ("aluminium", None, None),
    ]  # fmt: skip
    assert first.table_height_mm == (900.0, 910.0)
    assert first.exposure_time_s == 0.5
    assert {"kvp_list", "kerma_rounded", "no_angles", "no_table", "no_kvp", "unnamed_device"} <= codes_of(found)


@pytest.mark.parametrize(
    ("kind", "unit", "factor"),
    [("kap", "µGy·m²", 0.01), ("kap", "μGym2", 0.01), ("kap", "cGy*cm^2", 0.01), ("kap", "mGycm2", 1e-3),
     ("kap", "dGy cm2", 0.1), ("kap", "Gy-cm2", 1.0), ("kap", "GY.M2", 1e4), ("kerma", "µGy", 1e-3),
     ("time", "min", 60.0), ("time", "sec", 1.0), ("rate", "{pulse}/s", 1.0), ("rate", "pulse/min", 1 / 60),
     ("angle", "rad", 57.29578), ("voltage", "V", 1e-3), ("voltage", "", 1.0), ("current", "A", 1e3)],
)  # fmt: skip
def test_more_spellings(kind, unit, factor):
    assert to_unit(kind, 1.0, unit) == pytest.approx(factor, rel=1e-6)


@pytest.mark.parametrize("unit", ["mGy", "mGy.cm", "Gy", "s", "", "Sv.m2"])
def test_a_unit_of_another_quantity_is_none(tmp_path, unit):
    found = read_dose_object(write(tmp_path / "a.dcm", totals(kap_unit=unit), event(kap_unit=unit)))
    assert (found.total.kap_gy_cm2, found.summed.kap_gy_cm2) == (None, None)
    assert found.total.air_kerma_mgy == pytest.approx(4.0)
    (said,) = [one.text for one in found.warnings if one.code == "unknown_unit"]
    assert "Gy·cm²" in said


@pytest.mark.parametrize("written", ["0,16", "10.50/ 15.00", "n/a", "1_0"])
def test_a_number_that_cannot_be_read_costs_only_itself(tmp_path, written):
    path = write(tmp_path / "a.dcm", totals(), event(kap="0.1234567890123"))
    path.write_bytes(path.read_bytes().replace(b"0.1234567890123", written.encode().ljust(15)))
    found = read_dose_object(path)
    assert found.events[0].kap_gy_cm2 is None
    assert found.events[0].air_kerma_mgy == pytest.approx(2.0)
    assert "unreadable_number" in codes_of(found)


def test_words_where_codes_and_numbers_belong(tmp_path):
    one = item(
        "113706", "CONTAINER",
        item("113769", "UIDREF", value="1.2.3"), item("113721", "TEXT", value="Pulsed Fluoroscopy"),
        item("113764", "TEXT", value="Plane A"), item("122130", "TEXT", value="0.0001 Gy.m2"),
        item("113738", "TEXT", value="2 mGy"), item("113742", "TEXT", value="a while"),
    )  # fmt: skip
    found = read_dose_object(write(tmp_path / "a.dcm", totals(), one))
    (first,) = found.events
    assert (first.kind, first.plane, first.kap_gy_cm2) == ("fluoroscopy", "Plane A", pytest.approx(1.0))
    assert (first.air_kerma_mgy, first.duration_s) == (pytest.approx(2.0), None)
    assert "unreadable_number" in codes_of(found)


def test_the_same_code_in_a_vendors_own_scheme_is_another_thing(tmp_path):
    own = item("122130", "NUM", value="77", unit="Gy.m2")
    own.ConceptNameCodeSequence[0].CodingSchemeDesignator = "99ACME"
    one = event()
    one.ContentSequence.insert(0, own)
    assert read_dose_object(write(tmp_path / "a.dcm", totals(), one)).events[0].kap_gy_cm2 == pytest.approx(1.0)


def test_totals_and_events_deeper_than_they_belong_are_found(tmp_path):
    found = read_dose_object(write(tmp_path / "a.dcm", item("x", "CONTAINER", totals(), event(), event())))
    assert (found.total.kap_gy_cm2, found.summed.kap_gy_cm2) == pytest.approx((2.0, 2.0))


def test_an_accumulated_part_that_stands_there_twice_counts_once(tmp_path):
    found = read_dose_object(write(tmp_path / "a.dcm", totals(), totals(), event(), event()))
    assert found.total.kap_gy_cm2 == pytest.approx(2.0)
    assert "repeated_totals" in codes_of(found)
    found = read_dose_object(write(tmp_path / "b.dcm", totals(), totals("0.0001"), event()))
    assert found.total.kap_gy_cm2 == pytest.approx(3.0)
    assert "repeated_totals" in codes_of(found)


def test_a_sum_of_some_events_only_is_said(tmp_path):
    found = read_dose_object(write(tmp_path / "a.dcm", totals(), event(), event(kap=None)))
    assert found.summed.kap_gy_cm2 == pytest.approx(1.0)
    assert {"partial_kap_gy_cm2", "sum_kap_gy_cm2"} <= codes_of(found)


def test_an_event_that_stands_there_twice_counts_once_and_one_of_another_plane_does_not(tmp_path):
    one = event(uid="1.2.3")
    other = event(item("113764", "CODE", value=code("113621")), uid="1.2.3")
    found = read_dose_object(write(tmp_path / "a.dcm", totals(), one, one, other))
    assert (len(found.events), found.summed.kap_gy_cm2) == (3, pytest.approx(2.0))
    assert "repeated_event" in codes_of(found)


@pytest.mark.parametrize(
    ("child", "warning"),
    [(("113733", "80000", "kV"), "implausible_kvp"), (("113733", "0", "kV"), "no_kvp"),
     (("113742", "-4", "s"), "implausible_time"), (("113742", "90000", "s"), "implausible_time"),
     (("112012", "183", "deg"), "implausible_angle")],
)  # fmt: skip
def test_numbers_no_machine_gives_are_named(tmp_path, child, warning):
    concept, value, unit = child
    path = write(tmp_path / "a.dcm", totals(), event(item(concept, "NUM", value=value, unit=unit)))
    assert warning in codes_of(read_dose_object(path))


def test_a_duration_in_another_unit_than_it_says(tmp_path):
    parts = [item("113768", "NUM", value="7", unit="1"), item("113791", "NUM", value="7.5", unit="{pulse}/s")]
    slow, right = (item("113742", "NUM", value=value, unit="s") for value in ("80.7", "0.807"))
    found = read_dose_object(write(tmp_path / "a.dcm", totals(), event(*parts, slow)))
    assert {"implausible_time", "sum_fluoroscopy_time_s"} <= codes_of(found)
    assert "implausible_time" not in codes_of(read_dose_object(write(tmp_path / "b.dcm", event(*parts, right))))


@pytest.mark.parametrize(("kap", "kerma"), [("-1", "1"), ("100", "0.004"), ("0.0002", "4000"), ("1e300", "1e300")])
def test_totals_that_cannot_be_are_named(tmp_path, kap, kerma):
    found = read_dose_object(write(tmp_path / "a.dcm", totals(kap, kerma), event()))
    assert codes_of(found) & {"implausible_total", "unknown_unit"}
    assert all(np.isfinite(value) for value in (found.total.kap_gy_cm2, found.total.air_kerma_mgy) if value is not None)


def test_a_radiograph_of_a_machine_for_both_is_no_fluoroscopy(tmp_path):
    part = totals()
    part.ContentSequence[-1].MeasuredValueSequence[0].NumericValue = "0"
    found = read_dose_object(write(tmp_path / "a.dcm", part, event(kind="113611")))
    assert found.kind == "radiography"
    assert not {"no_table", "no_angles"} & codes_of(found)
    found = read_dose_object(write(tmp_path / "b.dcm", part, event()))
    assert found.kind == "fluoroscopy"
    assert "no_fluoroscopy_time" in codes_of(found)


def test_points_that_differ_and_events_out_of_order_are_said(tmp_path):
    def at(uid, clock, value):
        started = item("111526", "DATETIME")
        started.DateTime = clock
        return event(started, item("113780", "CODE", value=code(value)), uid=uid)

    parts = (at("1.1", "20260102120000", "113860"), at("1.2", "20260102110000", "113861"))
    assert {"reference_points", "order"} <= codes_of(read_dose_object(write(tmp_path / "a.dcm", totals(), *parts)))


def test_a_dose_report_under_another_class_is_read_and_named(tmp_path):
    found = read_dose_object(write(tmp_path / "a.dcm", totals(), event(), sop_class=XRayAngiographicImageStorage))
    assert (found.kind, found.total.kap_gy_cm2) == ("fluoroscopy", pytest.approx(2.0))
    assert "other_class" in codes_of(found)


def test_a_report_without_content_is_refused_when_it_is_a_dose_report_and_named_otherwise(tmp_path):
    found = read_dose_object(write(tmp_path / "a.dcm", sop_class=BasicTextSRStorage))
    assert (found.kind, codes_of(found)) == ("not a dose object", {"not_dose"})
    with pytest.raises(PatientFileError, match="without content"):
        read_dose_object(write(tmp_path / "b.dcm"))
    path = write(tmp_path / "c.dcm", totals())
    whole = path.read_bytes()
    path.write_bytes(whole[: whole.index(b"\x40\x00\x30\xa7")] + b"\x40\x00\x30\xa7SQ\0\0\0\0\0\0")
    with pytest.raises(PatientFileError, match="without content"):
        read_dose_object(path)


def test_lists_of_millions_of_numbers_are_refused_before_they_are_built(tmp_path):
    path = write(tmp_path / "a.dcm", totals())
    whole = path.read_bytes()
    floats = b"".join(
        struct.pack("<HH2sH", 0x0040, 0xA161, b"FD", 65528) + np.random.default_rng(n).bytes(65528) for n in range(80)
    )
    measured = struct.pack("<HH2sHI", 0x0040, 0xA300, b"SQ", 0, 0xFFFFFFFF)
    one = b"".join(
        struct.pack("<HHI", 0xFFFE, 0xE000, 65536) + floats[at : at + 65536] for at in range(0, len(floats), 65536)
    )
    kind = struct.pack("<HH2sH", 0x0040, 0xA040, b"CS", 4) + b"NUM "
    content = struct.pack("<HH2sHI", 0x0040, 0xA730, b"SQ", 0, 0xFFFFFFFF)
    path.write_bytes(
        whole[: whole.index(b"\x40\x00\x30\xa7")] + content + struct.pack("<HHI", 0xFFFE, 0xE000, 0xFFFFFFFF) + kind
        + measured + one + struct.pack("<HHI", 0xFFFE, 0xE0DD, 0) + struct.pack("<HHI", 0xFFFE, 0xE00D, 0)
        + struct.pack("<HHI", 0xFFFE, 0xE0DD, 0)
    )  # fmt: skip
    with pytest.raises(PatientFileError, match="measured values"):
        read_dose_object(path)


def test_an_event_told_twice_is_said(tmp_path):
    uid = generate_uid()
    found = read_dose_object(write(tmp_path / "a.dcm", totals(), event(uid=uid), event(uid=uid)))
    assert "repeated_event" in codes_of(found)


@pytest.mark.parametrize("which", [("113861", None), (None, "530 mm from tube focus towards detector")])
def test_reference_point_by_code_or_in_words(tmp_path, which):
    value, words = which
    point = item("113780", "CODE", value=code(value)) if value else item("113780", "TEXT", value=words)
    found = read_dose_object(write(tmp_path / "a.dcm", totals(), event(point)))
    assert found.reference_point == ("30 cm in front of the image input surface" if value else words)


@pytest.mark.parametrize(
    ("procedure", "kind"),
    [("P5-08000", "ct"), ("77477000", "ct"), ("P5-40010", "mammography"), ("113704", "radiography")],
)
def test_other_modalities_are_named_for_what_they_are(tmp_path, procedure, kind):
    part = item("121058", "CODE", value=code(procedure))
    assert read_dose_object(write(tmp_path / "a.dcm", part, event(kind="113611"))).kind == kind


@pytest.mark.parametrize(
    ("sop_class", "title", "kind"),
    [(BasicTextSRStorage, "11528-7", "not a dose object"), (ComprehensiveSRStorage, "128401", "patient dose")],
)
def test_other_reports_are_not_taken_for_dose(tmp_path, sop_class, title, kind):
    note = item("121071", "TEXT", value="finding")
    found = read_dose_object(write(tmp_path / "a.dcm", note, sop_class=sop_class, title=title))
    assert found.kind == kind
    assert found.events == ()


def test_the_header_of_an_image_speaks_for_itself_only(tmp_path):
    path = write(tmp_path / "a.dcm", sop_class=XRayAngiographicImageStorage, title="", KVP="81",
                 ImageAndFluoroscopyAreaDoseProduct="1.5", RadiationMode="CONTINUOUS", ExposureTime="40")  # fmt: skip
    found = read_dose_object(path)
    assert (found.kind, found.total.kap_gy_cm2) == ("xa header", pytest.approx(0.15))
    assert found.events[0].kvp == (81.0,)
    assert codes_of(found) == {"header_only"}


@pytest.mark.parametrize(("setting", "kind"), [("SC", "fluoroscopy"), ("GR", "stationary"), ("", "unknown")])
def test_a_header_with_several_values_or_none(tmp_path, setting, kind):
    """Pulsed is how a run is made too: only the setting tells fluoroscopy from a run."""
    path = write(tmp_path / "a.dcm", sop_class="1.2.840.10008.5.1.4.1.1.12.3", title="", KVP=["81", "82"],
                 RadiationMode="PULSED", RadiationSetting=setting, ImageAndFluoroscopyAreaDoseProduct="-3")  # fmt: skip
    found = read_dose_object(path)
    assert (found.kind, found.events[0].kvp, found.events[0].kind) == ("xa header", (81.0,), kind)
    assert codes_of(found) == {"header_only", "implausible"}


@pytest.mark.parametrize("name", ["empty", "truncated", "nested", "bomb", "noise"])
def test_hostile_files_are_refused_by_name_in_little_memory(tmp_path, name):
    path = tmp_path / f"{name}.dcm"
    whole = write(tmp_path / "whole.dcm", totals(), *(event() for _ in range(40))).read_bytes()
    head = whole[: whole.index(b"\x40\x00\x30\xa7")]
    if name == "empty":
        path.write_bytes(b"")
    elif name == "truncated":
        path.write_bytes(whole[: len(whole) * 2 // 3])
    elif name == "noise":
        path.write_bytes(head + bytes(range(256)) * 40)
    elif name == "nested":
        opened = struct.pack("<HH2sHI", 0x0040, 0xA730, b"SQ", 0, 0xFFFFFFFF)
        path.write_bytes(head + (opened + struct.pack("<HHI", 0xFFFE, 0xE000, 0xFFFFFFFF)) * 3000)
    else:
        packed = zlib.compressobj(9, zlib.DEFLATED, -15)
        body = b"".join(packed.compress(bytes(1_000_000)) for _ in range(300)) + packed.flush()
        path.write_bytes(head.replace(b"1.2.840.10008.1.2.1\0", b"1.2.840.10008.1.2.1.99") + body)
    tracemalloc.start()
    try:
        with pytest.raises(PatientFileError, match=name):
            read_dose_object(path)
        assert tracemalloc.get_traced_memory()[1] < 100e6
    finally:
        tracemalloc.stop()


def test_what_is_not_dicom_is_none(tmp_path):
    (tmp_path / "notes.txt").write_text("not DICOM")
    assert read_dose_object(tmp_path / "notes.txt") is None


@pytest.mark.data
@pytest.mark.parametrize("name", sorted(REAL))
def test_real_objects_to_a_millionth(data_folder, name):
    found = read_dose_object(data_folder / "rdsr" / f"{name}.dcm")
    kind, events, kap, kerma, seconds = REAL[name]
    assert (found.kind, len(found.events)) == (kind, events)
    wanted = (found.total.kap_gy_cm2, found.total.air_kerma_mgy, found.total.fluoroscopy_time_s)
    for value, known in zip(wanted, (kap, kerma, seconds), strict=True):
        assert value == (None if known is None else pytest.approx(known, rel=1e-6))


def test_damaged_bytes_are_read_or_refused_never_more(tmp_path):
    """Single bytes and stretches of a whole report are changed at random: one kind of error may come of it."""
    whole = write(tmp_path / "whole.dcm", totals(), *(event() for _ in range(6))).read_bytes()
    random = np.random.default_rng(5)
    path, refused = tmp_path / "damaged.dcm", 0
    for _ in range(400):
        damaged = bytearray(whole)
        at, count = int(random.integers(132, len(whole))), int(random.choice([1, 2, 4, 60]))
        damaged[at : at + count] = random.bytes(min(count, len(whole) - at))
        path.write_bytes(damaged)
        try:
            found = read_dose_object(path)
        except PatientFileError:
            refused += 1
        else:
            values = () if found is None else (found.total.kap_gy_cm2, *(one.kap_gy_cm2 for one in found.events))
            assert all(np.isfinite(value) for value in values if value is not None)
    assert 0 < refused < 400


@pytest.mark.parametrize(("kap", "kerma"), [("-0.0001", "0.002"), ("5", "0.002"), ("0.000000001", "2"), ("3", "400")])
def test_no_absurd_number_passes_without_a_word(tmp_path, kap, kerma):
    found = read_dose_object(write(tmp_path / "a.dcm", event(kap=kap, kerma=kerma), event()))
    assert "implausible" in codes_of(found)
    assert "implausible" not in codes_of(read_dose_object(write(tmp_path / "b.dcm", totals(), event(), event())))


@pytest.mark.parametrize("number", ["nan", "inf", "1e999"])
def test_a_number_that_is_none_is_left_out(tmp_path, number):
    path = write(tmp_path / "a.dcm", totals(), event(kap="0.12345"))
    path.write_bytes(path.read_bytes().replace(b"0.12345", number.encode().ljust(7)))
    assert read_dose_object(path).events[0].kap_gy_cm2 is None


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, JPEGLSLossless])
@pytest.mark.parametrize("megabytes", [13, 70])
def test_a_long_run_is_an_image_however_large(tmp_path, syntax, megabytes):
    path = write(tmp_path / "run.dcm", sop_class=XRayAngiographicImageStorage, title="",
                 ImageAndFluoroscopyAreaDoseProduct="1.5")  # fmt: skip
    dataset = dcmread(path)
    dataset.file_meta.TransferSyntaxUID = syntax
    pixels = bytes(megabytes * 1_000_000)
    dataset.add_new("PixelData", "OB", pixels if syntax is ExplicitVRLittleEndian else encapsulate([pixels]))
    dataset["PixelData"].is_undefined_length = syntax is not ExplicitVRLittleEndian
    dataset.save_as(path)
    found = read_dose_object(path)
    assert (found.kind, found.total.kap_gy_cm2) == ("xa header", pytest.approx(0.15))


def test_a_large_image_of_millions_of_items_is_refused_before_it_is_parsed(tmp_path):
    path = write(tmp_path / "bomb.dcm", sop_class=XRayAngiographicImageStorage, title="")
    items = struct.pack("<HHI", 0xFFFE, 0xE000, 0) * 5_000_000
    sequence = struct.pack("<HH2sHI", 0x0040, 0x0555, b"SQ", 0, 0xFFFFFFFF)
    path.write_bytes(path.read_bytes() + sequence + items)
    with pytest.raises(PatientFileError, match="40 MB is more than a dose report can be"):
        read_dose_object(path)
