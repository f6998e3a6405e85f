"""The registry keeps objects once, in a file and on a server alike."""

import pytest

from fluoroscope.registry.history import patient_history
from fluoroscope.registry.keeping import keep_reports
from fluoroscope.registry.people import find_patients
from fluoroscope.registry.reports import Person


@pytest.mark.req("REQ-REG-001")
def test_exam_is_kept_and_comes_back_as_it_was(registry, make_report):
    (kept,) = keep_reports(registry, [make_report(kerma=[1.0, 2.5])])
    history = patient_history(registry, "P-1")
    (exam,) = history.exams
    assert kept.outcome == "new"
    assert history.patient.name == "Doe^Jane"
    assert (exam.procedure, exam.machine, exam.source) == ("Lumbar epidural", "Maker C-arm", "imported object")
    assert exam.dose.air_kerma_mgy == 3.5
    assert exam.dose.kap_gy_cm2 == 0.875
    assert exam.dose.fluoroscopy_time_s == 7.0
    assert exam.dose.events == 2
    assert history.cumulative.kap_gy_cm2 == 0.875


@pytest.mark.req("REQ-REG-002")
def test_same_object_again_changes_nothing(registry, make_report):
    report = make_report()
    first = keep_reports(registry, [report, report])
    again = keep_reports(registry, [make_report(path="/somewhere/else")])
    assert [one.outcome for one in (*first, *again)] == ["new", "known", "known"]
    assert patient_history(registry, "P-1").cumulative.air_kerma_mgy == 3.0


@pytest.mark.req("REQ-REG-002")
def test_same_uid_with_other_totals_is_named_and_left_out(registry, make_report):
    keep_reports(registry, [make_report()])
    (kept,) = keep_reports(registry, [make_report(kerma=[1.0, 7.0])])
    assert kept.outcome == "differs"
    assert "other totals" in kept.text
    assert patient_history(registry, "P-1").cumulative.air_kerma_mgy == 3.0


@pytest.mark.req("REQ-REG-002")
def test_partial_then_complete_report_counts_once(registry, make_report):
    keep_reports(registry, [make_report("1.1", kerma=[1.0], complete=False)])
    keep_reports(registry, [make_report("1.2", kerma=[1.0, 2.0])])
    (exam,) = patient_history(registry, "P-1").exams
    assert exam.objects == 2
    assert exam.dose.air_kerma_mgy == 3.0
    assert exam.dose.events == 2


@pytest.mark.req("REQ-REG-003")
def test_one_id_with_two_dates_of_birth_is_two_persons(registry, make_report):
    other = Person("P-1", "", "Doe^John", make_report().person.birth_date.replace(year=1950), "M")
    keep_reports(registry, [make_report("1.1"), make_report("1.2", person=other, study_uid="2.25.78")])
    assert [one.exams for one in find_patients(registry)] == [1, 1]
    with pytest.raises(ValueError, match="2 persons have this id; name one by its number: #1, #2"):
        patient_history(registry, "P-1")
    assert patient_history(registry, "#2").patient.name == "Doe^John"


@pytest.mark.req("REQ-REG-003")
def test_what_is_not_known_of_a_patient_is_filled_in_and_what_is_known_stays(registry, make_report):
    keep_reports(registry, [make_report("1.1", person=Person("P-1"))])
    keep_reports(registry, [make_report("1.2", study_uid="2.25.78")])
    keep_reports(registry, [make_report("1.3", study_uid="2.25.79", person=Person("P-1", "", "Other^Name"))])
    (patient,) = find_patients(registry)
    assert (patient.name, patient.sex, patient.exams) == ("Doe^Jane", "F", 3)


def test_search_finds_names_and_ids_and_takes_signs_as_they_are(registry, make_report):
    keep_reports(registry, [make_report("1.1"), make_report("1.2", person=Person("Q%1"), study_uid="2.25.78")])
    assert [one.patient_id for one in find_patients(registry, "jane")] == ["P-1"]
    assert [one.patient_id for one in find_patients(registry, "%")] == ["Q%1"]
    assert find_patients(registry, "_") == []
