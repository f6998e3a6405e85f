"""``fluoroscope dose alerts``: which levels a file's procedure reached, in which event, and what is not known."""

import json

import pytest
from pydicom import dcmwrite
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, XRayRadiationDoseSRStorage, generate_uid

from fluoroscope.app.dose.alerts import watch_of
from fluoroscope.app.dose.reading import read_dose_objects
from fluoroscope.app.setup import RoomSetup
from fluoroscope.app.simulation import Run, simulate_run

LEVELS = 'source = "room 3"\n[fluoroscopy_time]\nunit = "s"\nfirst = 2\nevery = 1\n'


def code(value, scheme="DCM"):
    one = Dataset()
    one.CodeValue, one.CodingSchemeDesignator, one.CodeMeaning = value, scheme, "words"
    return one


def part(concept, *children):
    one = Dataset()
    one.RelationshipType, one.ValueType = "CONTAINS", "CONTAINER"
    one.ConceptNameCodeSequence, one.ContentSequence = [code(concept)], list(children)
    return one


def number(concept, value, unit):
    one, measured = part(concept), Dataset()
    del one.ContentSequence
    one.ValueType = "NUM"
    measured.NumericValue, measured.MeasurementUnitsCodeSequence = f"{value:.10g}", [code(unit, "UCUM")]
    one.MeasuredValueSequence = [measured]
    return one


def kind_of_event(value):
    one = part("113721")
    del one.ContentSequence
    one.ValueType, one.ConceptCodeSequence = "CODE", [code(value, "SRT")]
    return one


def event(kerma_gy, kap_gy_m2, seconds):
    return part(
        "113706",
        kind_of_event("P5-06000"),
        number("113738", kerma_gy, "Gy"),
        number("122130", kap_gy_m2, "Gy.m2"),
        number("113742", seconds, "s"),
    )


def totals(kerma_gy, kap_gy_m2, seconds):
    return part(
        "113702",
        number("113725", kerma_gy, "Gy"),
        number("113722", kap_gy_m2, "Gy.m2"),
        number("113730", seconds, "s"),
    )


@pytest.fixture
def report(tmp_path):
    def write(*parts, name="dose.dcm"):
        dataset = Dataset()
        dataset.file_meta = FileMetaDataset()
        dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID = XRayRadiationDoseSRStorage
        dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID = generate_uid()
        dataset.Modality, dataset.ValueType = "SR", "CONTAINER"
        dataset.ConceptNameCodeSequence, dataset.ContentSequence = [code("113701")], list(parts)
        dcmwrite(tmp_path / name, dataset, enforce_file_format=True)
        return tmp_path / name

    return write


@pytest.fixture
def alerts(command):
    def ask(path, *words):
        status, out, _ = command("dose", "alerts", path, *words, "--json")
        assert status == 0
        (one,) = json.loads(out)["objects"]
        return one

    return ask


def levels(one, quantity):
    return [(alert["level"], alert["at_event"]) for alert in one["alerts"] if alert["quantity"] == quantity]


WHOLE = (7.689, 0.04688, 47.1 * 60)


def test_a_long_case_raises_each_level_in_its_event(report, alerts):
    tenth = [value / 10 for value in WHOLE]
    one = alerts(report(totals(*WHOLE), *[event(*tenth) for _ in range(10)]))
    assert levels(one, "air_kerma") == [(3.0, 4), (4.0, 6), (5.0, 7), (6.0, 8), (7.0, 10)]
    assert levels(one, "kap") == [(300.0, 7), (400.0, 9)]
    assert levels(one, "fluoroscopy_time") == [(30.0, 7), (45.0, 10)]
    assert [alert["at_event"] for alert in one["alerts"]] == sorted(alert["at_event"] for alert in one["alerts"])
    assert one["highest"] == {
        "air_kerma": {"level": 7.0, "unit": "Gy"},
        "kap": {"level": 400.0, "unit": "Gy·cm²"},
        "fluoroscopy_time": {"level": 45.0, "unit": "min"},
    }
    assert one["substantial"] == ["air_kerma"]
    kinds = {(alert["quantity"], alert["level"]): alert["kind"] for alert in one["alerts"]}
    assert kinds["air_kerma", 5.0] == "substantial"
    assert kinds["kap", 300.0] == "first"
    assert {alert["unit"] for alert in one["alerts"]} == {"Gy", "Gy·cm²", "min"}


def test_totals_alone_raise_the_same_levels_without_an_event(report, alerts):
    one = alerts(report(totals(*WHOLE)))
    assert levels(one, "air_kerma") == [(gy, None) for gy in (3.0, 4.0, 5.0, 6.0, 7.0)]
    assert "no_events" in {warning["code"] for warning in one["warnings"]}


def test_what_only_the_header_reached_comes_last_without_an_event(report, alerts):
    one = alerts(report(totals(4.2, 0.001, 60), event(3.1, 0.001, 60)))
    assert levels(one, "air_kerma") == [(3.0, 1), (4.0, None)]
    assert "sum_air_kerma_mgy" in {warning["code"] for warning in one["warnings"]}


def test_a_number_no_procedure_gives_raises_nothing_and_is_said(report, alerts):
    one = alerts(report(totals(3.2, 0.001, 60), event(4000.0, 0.001, 60), event(-1.0, 0.03, 60)))
    assert levels(one, "air_kerma") == [(3.0, None)]
    assert levels(one, "kap") == [(300.0, 2)]
    assert "impossible_air_kerma_mgy" in {warning["code"] for warning in one["warnings"]}


def test_an_object_that_states_no_dose_is_not_said_to_be_low(report, alerts):
    one = alerts(report(part("113706", kind_of_event("P5-06000"))))
    assert one["alerts"] == []
    assert "nothing_known" in {warning["code"] for warning in one["warnings"]}


@pytest.mark.req("REQ-CTRL-003")
def test_what_makes_a_dose_doubtful_is_said_with_alerts_and_estimates(report, alerts, command):
    """Totals that cannot be, a time in another unit, events that are silent, a total that stands there twice."""
    silent = part("113706", kind_of_event("P5-06000"), number("122130", 0.0001, "Gy.m2"))
    whole = totals(200.0, 0.03, 1e6)
    path = report(whole, whole, event(0.001, 0.0001, 90_000), silent)
    doubts = {"implausible_total", "implausible_time", "partial_air_kerma_mgy", "repeated_totals"}
    assert doubts <= {warning["code"] for warning in alerts(path)["warnings"]}
    _, out, _ = command("dose", "estimate", path, "--region", "lumbar")
    words = " ".join(out.replace("│", " ").split())
    for said in ("totals of the header: negative", "do not say their air kerma", "stands there twice"):
        assert said in words


def test_local_levels_are_raised_by_our_own_report(small_ct, tmp_path, alerts, command):
    out = tmp_path / "run"
    simulate_run(RoomSetup(str(small_ct), matrix=512), Run(0.0, seconds=3.2, seed=3), out)
    (tmp_path / "levels.toml").write_text(LEVELS)
    assert alerts(out / "dose.dcm")["alerts"] == []
    found = alerts(out / "dose.dcm", "--levels", tmp_path / "levels.toml")["alerts"]
    assert found[0] == {
        "quantity": "fluoroscopy_time",
        "level": pytest.approx(2 / 60),
        "unit": "min",
        "at_event": 1,
        "kind": "first",
        "source": "room 3",
    }
    assert [alert["kind"] for alert in found] == ["first", "next"]
    status, said, _ = command("dose", "alerts", out / "dose.dcm", "--levels", tmp_path / "levels.toml")
    assert status == 0
    assert "room 3" in said


def test_levels_out_of_range_end_in_one_line(report, tmp_path, command):
    (tmp_path / "levels.toml").write_text(LEVELS.replace("first = 2", "first = 9999"))
    status, out, said = command("dose", "alerts", report(totals(*WHOLE)), "--levels", tmp_path / "levels.toml")
    assert (status, out) == (2, "")
    assert "from 0.0018 to 1800 s, not 9999 s" in said
    assert said.count("\n") == 1


@pytest.mark.req("REQ-CTRL-003")
def test_a_mapped_peak_skin_dose_is_raised_in_its_event(report):
    """As a skin map gives it after every event; a file whose skin cannot be mapped says so."""
    (one,), _ = read_dose_objects([report(totals(0.004, 4e-4, 30), *[event(0.001, 1e-4, 10)] * 4)])
    watch, warnings = watch_of(one, skin_peaks=lambda _: (900.0, 2100.0, 2100.0, 3200.0))
    skin = [(alert.level, alert.kind, alert.at_event) for alert in watch.alerts if alert.quantity == "peak_skin_dose"]
    assert skin == [(2.0, "first", 2), (2.5, "next", 4), (3.0, "substantial", 4)]
    assert watch.substantial == ("peak_skin_dose",)
    assert "skin_estimate" in {warning.code for warning in warnings}
    watch, warnings = watch_of(one, skin_peaks=lambda _: ())
    assert watch.alerts == ()
    assert "no_skin_map" in {warning.code for warning in warnings}


def test_the_command_maps_the_skin_when_asked(command, report):
    path = report(totals(0.004, 4e-4, 30), *[event(0.001, 1e-4, 10)] * 4)
    code_, out, _ = command("dose", "alerts", path, "--phantom", "adult", "--json")
    assert code_ == 0
    (told,) = json.loads(out)["objects"]
    assert "no_skin_map" in {warning["code"] for warning in told["warnings"]}
    _, out, _ = command("dose", "alerts", path, "--json")
    assert "no_skin_map" not in out


@pytest.mark.data
def test_the_skin_of_a_real_report_is_mapped_for_its_alerts(command, data_folder):
    zee = data_folder / "rdsr" / "openrem__RF-RDSR-Siemens-Zee.dcm"
    _, out, _ = command("dose", "alerts", zee, "--phantom", "adult", "--json")
    (told,) = json.loads(out)["objects"]
    assert {warning["code"] for warning in told["warnings"]} >= {"skin_estimate"}
