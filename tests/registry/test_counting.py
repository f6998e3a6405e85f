"""Each exposure counts once, however many objects speak of it."""

from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fluoroscope.registry.counting import CountedObject, count_exam, event_keys, reference_key
from fluoroscope.registry.history import patient_history
from fluoroscope.registry.keeping import keep_reports
from fluoroscope.registry.reports import ReportEvent, Totals

pytestmark = pytest.mark.req("REQ-REG-002")
STEP, TO_THIS_POINT = "Performed Procedure Step", "Procedure Step To This Point"


def shots(*numbers, uids=True):
    """Events of 1 mGy, 0.5 Gy·cm² and 2 s each."""
    return tuple(
        ReportEvent(
            place, f"9.{number}" if uids else "", kind="fluoroscopy", started=f"202611221000{number:02d}",
            air_kerma_mgy=1.0, kap_gy_cm2=0.5, duration_s=2.0,
        )
        for place, number in enumerate(numbers, start=1)
    )  # fmt: skip


def of(sop_uid, events=(), kerma=None, **changes):
    kerma = float(len(events)) if kerma is None else kerma
    values = {
        "kind": "fluoroscopy", "machine": ("Maker", "C-arm", "1"), "order": ("", int(sop_uid)), "complete": True,
        "scope": "Study", "scope_uid": "", "reference_point": "15cm from Isocenter toward Source",
        "header": Totals(kerma, 0.5 * kerma, 2.0 * kerma), "summed": Totals(float(len(events))), "events": events,
    }  # fmt: skip
    return CountedObject(sop_uid, **(values | changes))


@pytest.mark.parametrize("uids", [True, False])
def test_partial_then_complete(uids):
    dose = count_exam([of("1", shots(1, uids=uids), complete=False), of("2", shots(1, 2, 3, uids=uids))])
    assert (dose.air_kerma_mgy, dose.kap_gy_cm2, dose.fluoroscopy_time_s, dose.events) == (3.0, 1.5, 6.0, 3)


@pytest.mark.parametrize("uids", [True, False])
def test_step_to_this_point_grows(uids):
    reports = [of(str(n), shots(*range(1, n + 1), uids=uids), scope=TO_THIS_POINT, scope_uid="7") for n in (1, 2, 3)]
    assert count_exam(reports).air_kerma_mgy == 3.0
    assert count_exam(reports[::-1]).air_kerma_mgy == 3.0


def test_two_reports_that_share_some_events():
    assert count_exam([of("1", shots(1, 2)), of("2", shots(2, 3))]).air_kerma_mgy == 3.0


def test_two_reports_that_share_no_event_add_up():
    assert count_exam([of("1", shots(1, 2)), of("2", shots(3))]).air_kerma_mgy == 3.0


def test_header_that_holds_an_earlier_report_is_not_added_to_it():
    assert count_exam([of("1", shots(1, 2)), of("2", shots(3), kerma=3.0)]).air_kerma_mgy == 3.0


def test_steps_without_events_add_up_and_one_step_grows():
    two = [of("1", kerma=2.0, scope=STEP, scope_uid="7"), of("2", kerma=3.0, scope=STEP, scope_uid="8")]
    one = [
        of("1", kerma=2.0, scope=TO_THIS_POINT, scope_uid="7"),
        of("2", kerma=3.0, scope=TO_THIS_POINT, scope_uid="7"),
    ]
    assert count_exam(two).air_kerma_mgy == 5.0
    assert count_exam(one).air_kerma_mgy == 3.0


def test_totals_of_unknown_scope_are_not_added_and_it_is_said():
    dose = count_exam([of("1", kerma=2.0, scope=""), of("2", kerma=3.0, scope="")])
    assert dose.air_kerma_mgy == 3.0
    assert [note.code for note in dose.notes] == ["perhaps_cumulative"]


def test_replaced_object_does_not_count():
    assert count_exam([of("1", shots(1), kerma=40.0), of("2", shots(1), replaces=("1",))]).air_kerma_mgy == 1.0


def test_header_of_the_machine_counts_where_it_differs_from_its_events():
    assert count_exam([of("1", shots(1, 2), kerma=2.4)]).air_kerma_mgy == 2.4


def test_two_machines_add_and_their_points_do_not():
    other = of("2", shots(5), machine=("Other", "R/F", "2"), reference_point="30cm in Front of Image Input Surface")
    dose = count_exam([of("1", shots(1)), other])
    assert dose.kap_gy_cm2 == 1.0
    assert dose.air_kerma_mgy is None
    assert sorted(dose.kerma_by_point.values()) == [1.0, 1.0]


def test_same_events_under_another_maker_count_once():
    assert count_exam([of("1", shots(1, 2)), of("2", shots(1, 2), machine=("Gateway", "", ""))]).kap_gy_cm2 == 1.0


def test_images_count_only_without_a_report():
    image = of("3", shots(1), kind="xa header", header=Totals(kap_gy_cm2=0.5), summed=Totals(kap_gy_cm2=0.5))
    again = of("4", shots(1), kind="xa header", header=Totals(kap_gy_cm2=0.5), summed=Totals(kap_gy_cm2=0.5))
    assert count_exam([of("1", shots(1, 2)), image]).kap_gy_cm2 == 1.0
    alone = count_exam([image, again])
    assert (alone.kap_gy_cm2, alone.air_kerma_mgy, alone.notes[0].code) == (0.5, None, "images_only")


def test_two_planes_under_one_uid_are_two_events():
    planes = [ReportEvent(1, "9.1", "Plane A"), ReportEvent(2, "9.1", "Plane B"), ReportEvent(3, "9.1", "Plane B")]
    assert len(set(event_keys(planes))) == 3


def test_what_nothing_says_is_none():
    silent = of("1", header=Totals(), summed=Totals(), kerma=0.0)
    dose = count_exam([silent])
    assert (dose.air_kerma_mgy, dose.kap_gy_cm2, dose.fluoroscopy_time_s) == (None, None, None)


@pytest.mark.parametrize(
    ("written", "same"),
    [
        ("15cm from Isocenter toward Source", "15cm below BeamIsocenter"),
        ("30cm in Front of Image input surface", "30cm in Front of Image Input Surface"),
        ("Unknown", ""),
    ],
)
def test_spellings_of_one_point(written, same):
    assert reference_key(written) == reference_key(same)


@given(st.lists(st.sets(st.integers(1, 12), min_size=1), min_size=1, max_size=5), st.randoms())
def test_dose_is_that_of_the_distinct_events_in_any_order(parts, random):
    objects = [of(str(number), shots(*sorted(part))) for number, part in enumerate(parts)]
    random.shuffle(objects)
    assert count_exam(objects).air_kerma_mgy == len(set().union(*parts))


def test_events_of_one_run_under_two_study_uids_count_once(registry, make_report):
    keep_reports(registry, [make_report("1.1"), make_report("1.2", study_uid="2.25.78", kerma=[1.0, 2.0, 5.0])])
    history = patient_history(registry, "P-1")
    assert history.cumulative.air_kerma_mgy == 8.0
    assert "counted_elsewhere" in {note.code for note in history.unknown}


def test_sums_say_what_they_leave_out(registry, make_report):
    keep_reports(
        registry,
        [
            make_report("1.1"),
            make_report("1.2", study_uid="2.2", kerma=[], header=Totals(kap_gy_cm2=1.0), started=datetime(2026, 1, 1)),
            make_report("1.3", study_uid="2.3", kerma=[4.0], first_event=9, reference_point="Unknown", model="Old one"),
            make_report("1.4", study_uid="2.4", kerma=[], header=Totals(), kind="ct"),
            make_report("1.5", study_uid="2.5", kerma=[70.0], first_event=30, simulated=True),
        ],
    )
    history = patient_history(registry, "P-1")
    codes = {note.code for note in history.unknown}
    assert len(history.exams) == 4
    assert history.cumulative.air_kerma_mgy is None
    assert history.cumulative.kap_gy_cm2 == pytest.approx(0.75 + 1.0 + 1.0)
    assert {
        "no_air_kerma",
        "no_kap",
        "reference_points",
        "no_reference_point",
        "other_dose",
        "simulated_left_out",
    } <= codes
    assert any("Maker Old one" in note.text for note in history.unknown)
