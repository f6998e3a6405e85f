"""What a procedure usually gives here: own exams only, each once, and nothing that cannot be compared."""

from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from fluoroscope.registry.history import patient_history
from fluoroscope.registry.keeping import keep_reports, set_procedure, without_procedure
from fluoroscope.registry.own_cases import own_cases

pytestmark = pytest.mark.req("REQ-REG-014")
KEY = "lumbar_epidural"


@pytest.fixture
def keep(registry, make_report):
    """Keep an exam of one event with a kerma, and say what was done."""

    def kept(number, kerma, procedure=KEY, **changes):
        values = {"source": "own run", "study_uid": f"2.25.{number}", "first_event": 10 * number} | changes
        started = datetime(2026, 1, 1) + timedelta(days=number)
        keep_reports(registry, [make_report(f"1.{number}", kerma=[kerma], started=started, **values)])
        if procedure:
            set_procedure(registry, values["study_uid"], procedure)

    return kept


def test_only_own_exams_of_the_procedure_count(registry, keep):
    for number, value in enumerate((3.0, 1.0, 2.0), start=1):
        keep(number, value)
    keep(4, 50.0, procedure="discography")
    keep(5, 60.0, procedure="")
    keep(6, 70.0, source="imported object")
    keep(7, 80.0, simulated=True)
    cases = own_cases(registry, KEY, simulated=False)
    assert (cases.exams, cases.air_kerma_mgy) == (3, (3.0, 1.0, 2.0))
    assert cases.kap_gy_cm2 == (0.75, 0.25, 0.5)
    assert cases.fluoroscopy_time_s == (6.0, 2.0, 4.0)
    assert own_cases(registry, KEY, simulated=True).air_kerma_mgy == (80.0,)
    assert own_cases(registry, "kyphoplasty", simulated=False).exams == 0
    assert own_cases(registry, KEY, simulated=False, most=2).air_kerma_mgy == (1.0, 2.0)


def test_each_exposure_counts_once_and_kerma_only_at_one_point(registry, keep, make_report):
    keep(1, 3.0)
    again = make_report("9.9", kerma=[3.0], study_uid="2.25.1", first_event=10, source="own run")
    keep_reports(registry, [again])
    assert own_cases(registry, KEY, simulated=False).air_kerma_mgy == (3.0,)
    keep(2, 5.0, reference_point="30 cm in front of the image input surface")
    cases = own_cases(registry, KEY, simulated=False)
    assert (cases.air_kerma_mgy, cases.kap_gy_cm2) == ((), (0.75, 1.25))


def test_an_exam_without_a_figure_counts_for_the_others(registry, keep, make_report):
    report = make_report("1.1", kerma=[2.0], source="own run")
    bare = replace(report.header, kap_gy_cm2=None)
    events = tuple(replace(one, kap_gy_cm2=None) for one in report.events)
    keep_reports(registry, [replace(report, header=bare, summed=bare, events=events)])
    set_procedure(registry, report.study_uid, KEY)
    cases = own_cases(registry, KEY, simulated=False)
    assert (cases.exams, cases.air_kerma_mgy, cases.kap_gy_cm2) == (1, (2.0,), ())


def test_what_is_said_of_a_procedure_is_said_once(registry, keep):
    keep(1, 3.0, procedure="")
    assert without_procedure(registry) == {"1.1"}
    set_procedure(registry, "2.25.1", KEY)
    set_procedure(registry, "2.25.1", "discography")
    assert own_cases(registry, KEY, simulated=False).exams == 1
    assert without_procedure(registry) == set()
    assert patient_history(registry, "P-1").exams[0].procedure == "Lumbar epidural"
