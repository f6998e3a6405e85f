"""Changes leave a history, merged patients count once, an erased one leaves no name, exports join up."""

from datetime import datetime

import pytest

from fluoroscope.registry.changing import (
    correct_exam,
    correct_patient,
    erase_patient,
    history_of_changes,
)
from fluoroscope.registry.exporting import Pseudonyms, export_exams
from fluoroscope.registry.history import patient_history
from fluoroscope.registry.keeping import keep_reports
from fluoroscope.registry.merging import merge_patients
from fluoroscope.registry.outside import ToldExposure, add_outside, confirm_outside, remove_outside
from fluoroscope.registry.people import find_patients
from fluoroscope.registry.reports import Person

SECRET = "as long as it needs to be"


@pytest.mark.req("REQ-REG-006")
def test_correction_keeps_old_value_who_and_why(registry, make_report):
    keep_reports(registry, [make_report()])
    assert correct_patient(registry, "P-1", "birth_date", "1971-05-01", who="Ann", why="passport")
    assert not correct_patient(registry, "P-1", "birth_date", " 1971-05-01 ", who="Ann", why="again")
    assert correct_exam(registry, "2.25.77", "procedure", "Facet joint", who="Ann", why="wrong list")
    first, second = history_of_changes(registry, "P-1")
    assert (first.field, first.old, first.new, first.who, first.why) == (
        "birth_date", "1970-05-01", "1971-05-01", "Ann", "passport",
    )  # fmt: skip
    assert (second.table, second.old, second.new) == ("exams", "Lumbar epidural", "Facet joint")
    assert patient_history(registry, "P-1").exams[0].procedure == "Facet joint"


@pytest.mark.parametrize(
    ("field", "value", "who", "why", "said"),
    [
        ("sex", "X", "Ann", "why", "write M, F, O"),
        ("birth_date", "1.5.1970", "Ann", "why", "write it as"),
        ("birth_date", "2099-01-01", "Ann", "why", "in the future"),
        ("birth_date", "1850-01-01", "Ann", "why", "before 1900"),
        ("patient_id", "P-2", "Ann", "why", "cannot be corrected"),
        ("name", "Doe", "", "why", "needs who"),
        ("name", "Doe", "Ann", " ", "needs who"),
    ],
)
@pytest.mark.req("REQ-REG-006")
def test_wrong_correction_is_refused_in_one_line(registry, make_report, field, value, who, why, said):
    keep_reports(registry, [make_report()])
    with pytest.raises(ValueError, match=said):
        correct_patient(registry, "P-1", field, value, who=who, why=why)
    assert history_of_changes(registry, "P-1") == []


@pytest.mark.req("REQ-REG-006")
def test_merged_patients_are_one_and_a_study_under_both_ids_counts_once(registry, make_report):
    other = Person("P-2", "", "Doe^J")
    keep_reports(registry, [make_report("1.1"), make_report("1.2", person=other, kerma=[1.0, 2.0])])
    keep_reports(registry, [make_report("1.3", person=other, study_uid="2.25.78", kerma=[5.0], first_event=8)])
    merge_patients(registry, "P-1", "P-2", who="Ann", why="one passport")
    (patient,) = find_patients(registry)
    history = patient_history(registry, "P-2")
    assert (patient.merged, patient.exams) == (("P-2",), 2)
    assert history.patient.patient_id == "P-1"
    assert history.cumulative.air_kerma_mgy == 8.0
    keep_reports(registry, [make_report("1.4", person=other, study_uid="2.25.79", kerma=[1.0], first_event=20)])
    assert patient_history(registry, "P-1").cumulative.air_kerma_mgy == 9.0
    with pytest.raises(ValueError, match="one person already"):
        merge_patients(registry, "P-2", "P-1", who="Ann", why="again")


@pytest.mark.req("REQ-REG-007")
def test_told_exposure_is_shown_confirmed_and_taken_back_but_not_deleted(registry):
    number = add_outside(registry, Person("P-9"), ToldExposure("CT", "abdomen", "Berlin", "2019"))
    history = patient_history(registry, "P-9")
    assert [(one.kind, one.when, one.confirmed) for one in history.outside] == [("CT", "2019", False)]
    assert {note.code for note in history.unknown} == {"outside_without_figures", "outside_unconfirmed"}
    confirm_outside(registry, number, who="Ann", why="letter of the hospital")
    assert patient_history(registry, "P-9").outside[0].confirmed
    remove_outside(registry, number, who="Ann", why="another person's")
    assert patient_history(registry, "P-9").outside == ()
    assert [one.field for one in history_of_changes(registry, "P-9")] == ["confirmed", "removed"]
    with pytest.raises(ValueError, match="not in the registry"):
        confirm_outside(registry, number, who="Ann", why="again")


@pytest.mark.parametrize(
    "wrong",
    [
        {"kind": " "},
        {"kind": "CT", "when": "last year"},
        {"kind": "CT", "when": "2019-13"},
        {"kind": "CT", "when": "2999"},
        {"kind": "CT", "effective_msv": 5.0},
        {"kind": "CT", "effective_source": "a book"},
        {"kind": "CT", "effective_msv": float("nan"), "effective_source": "a book"},
        {"kind": "C\0T"},
    ],
)
@pytest.mark.req("REQ-REG-007")
def test_told_exposure_that_cannot_be_is_refused(wrong):
    with pytest.raises(ValueError, match="exposure elsewhere"):
        ToldExposure(**wrong)


@pytest.mark.req("REQ-REG-008")
def test_erased_patient_leaves_a_trace_without_a_name(registry, make_report):
    keep_reports(
        registry, [make_report(path="/reports/Doe^Jane.dcm"), make_report("5", person=Person("P-5"), study_uid="8")]
    )
    add_outside(registry, "P-1", ToldExposure("CT"))
    correct_patient(registry, "P-1", "name", "Doe^Janet", who="Ann", why="spelling")
    with pytest.raises(ValueError, match="without the patient's name"):
        erase_patient(registry, "P-1", who="Ann", why="Mrs Doe asked")
    erased = erase_patient(registry, "P-1", who="Ann", why="the patient asked")
    assert (erased.exams, erased.objects, erased.events, erased.outside) == (1, 1, 2, 1)
    assert [one.patient_id for one in find_patients(registry)] == ["P-5"]
    if registry.is_file:
        left = b"".join(file.read_bytes() for file in registry.path.parent.iterdir())
        assert b"the patient asked" in left
        assert b"Doe" not in left
        assert b"P-1" not in left
        assert b"2.25.77" not in left


@pytest.mark.req("REQ-REG-009")
def test_export_adds_up_and_pseudonyms_are_stable_and_name_nobody(registry, make_report):
    later = datetime(2026, 12, 1, 9, 0)
    keep_reports(
        registry,
        [make_report("1.1"), make_report("1.2", study_uid="2.25.78", started=later, kerma=[4.0], first_event=7)],
    )
    named = export_exams(registry)
    hidden = export_exams(registry, pseudonyms=Pseudonyms(SECRET))
    again = export_exams(registry, pseudonyms=Pseudonyms(SECRET))
    other = export_exams(registry, pseudonyms=Pseudonyms(SECRET + "!"))
    assert [one["name"] for one in named] == ["Doe^Jane", "Doe^Jane"]
    assert sum(one["air_kerma_mgy"] for one in hidden) == sum(one["air_kerma_mgy"] for one in named) == 7.0
    assert hidden == again
    assert len({one["patient"] for one in hidden}) == 1
    assert hidden[0]["patient"] != other[0]["patient"]
    text = str(hidden)
    assert not any(word in text for word in ("Doe", "P-1", "2.25.7", "Lumbar", "2026-11-22", "1970-05"))
    first, second = (datetime.fromisoformat(one["started"]) for one in hidden)
    assert (second - first).days == 9
    assert [one["started"] for one in export_exams(registry, pseudonyms=Pseudonyms(SECRET, "year"))] == ["2026", "2026"]
    assert {one["started"] for one in export_exams(registry, pseudonyms=Pseudonyms(SECRET, "drop"))} == {None}
