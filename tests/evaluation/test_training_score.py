"""The score of an attempt, rule by rule, on attempts made by hand."""

from dataclasses import replace

import numpy as np
import pytest

from fluoroscope.evaluation.training_attempt import Attempt, Flow, Moment, Place, Shot, Target, Touch, Zone
from fluoroscope.evaluation.training_score import ECONOMY, RULES, Marking, Rule, needle_passes, score_attempt

DOWN = (0.0, -1.0, 0.0)
ENTRY, AIM = (0.0, 70.0, 0.0), (0.0, 0.0, 0.0)
TARGET = Target(
    "lumbar_puncture", "L3-L4", "", Zone(AIM, (5.0, 5.0, 8.0), tissues=("CSF",)), ENTRY, AIM, "by hand",
    returns="CSF", unwanted=("vessel entered", "paraesthesia"), spared=("epidural_veins",),
    unwanted_patterns=("epidural",), places=(Place("L3-L4", AIM), Place("L4-L5", (0.0, 0.0, -35.0))),
)  # fmt: skip


def moment(act="pushed", depth=70.0, tip=AIM, at=30.0, insertion=1, direction=DOWN, tissue="CSF", returns="CSF"):
    return Moment(at, insertion, act, depth, ENTRY, tip, direction, tissue, "cerebrospinal_fluid", tissue, returns)


def attempt(**changes):
    shot = Shot(5.0, 10.0, 75, 2.0, 0.2, 0.2)
    values = {"target": TARGET, "moments": (moment(),), "shots": (shot,), "seconds": 120.0}
    return Attempt(**{**values, **changes})


def value(made, name, marking=None):
    return score_attempt(made, marking).value(name)


def mark(made, name):
    return {one.name: one.mark for one in score_attempt(made).criteria}[name]


@pytest.mark.req("REQ-GUI-072")
def test_a_clean_attempt_has_full_marks_and_is_passed():
    score = score_attempt(attempt())
    assert (score.total, score.success, score.passed, score.reasons) == (100.0, True, True, ())
    assert {one.name for one in score.criteria} == set(RULES)
    assert all(one.rule and one.unit for one in score.criteria)
    assert score == score_attempt(attempt())


@pytest.mark.req("REQ-GUI-072")
@pytest.mark.parametrize(
    ("tip", "error"),
    [(AIM, 0.0), ((4.9, -4.9, 7.9), 0.0), ((9.0, 0.0, 0.0), 4.0), ((8.0, 9.0, 8.0), 5.0), ((0.0, -13.5, 0.0), 8.5)],
)
def test_target_error_is_the_distance_from_the_zone(tip, error):
    made = attempt(moments=(moment(tip=tip),))
    assert value(made, "target_error") == pytest.approx(error, abs=1e-12)
    assert mark(made, "target_error") == pytest.approx(np.clip(1.0 - error / 8.0, 0.0, 1.0))
    assert score_attempt(made).success == (error == 0.0)


def test_a_turned_zone_and_one_of_points():
    turned = Zone(AIM, (10.0, 1.0, 1.0), ((0.0, 1.0, 0.0), (-1.0, 0.0, 0.0), (0.0, 0.0, 1.0)))
    assert turned.distance_mm((0.0, 12.0, 0.0)) == pytest.approx(2.0)
    assert turned.distance_mm((3.0, 0.0, 0.0)) == pytest.approx(2.0)
    points = Zone(AIM, points_mm=((0.0, 0.0, 0.0), (10.0, 0.0, 0.0)), tolerance_mm=1.0)
    assert points.distance_mm((10.0, 3.0, 4.0)) == pytest.approx(5.0)
    made = attempt(target=replace(TARGET, zone=points), moments=(moment(tip=(10.0, 0.9, 0.0)),))
    assert value(made, "target_error") == 0.0
    with pytest.raises(ValueError, match="right angles"):
        Zone(AIM, axes=((1.0, 0.0, 0.0), (1.0, 0.0, 0.0), (0.0, 0.0, 1.0)))


@pytest.mark.parametrize(("degrees", "marked"), [(0.0, 1.0), (5.0, 1.0), (12.5, 0.5), (20.0, 0.0), (90.0, 0.0)])
def test_angle_to_the_experts_needle(degrees, marked):
    way = (float(np.sin(np.deg2rad(degrees))), -float(np.cos(np.deg2rad(degrees))), 0.0)
    made = attempt(moments=(moment(direction=way),))
    assert value(made, "angle") == pytest.approx(degrees)
    assert mark(made, "angle") == pytest.approx(marked, abs=1e-9)


@pytest.mark.req("REQ-GUI-072")
def test_a_tip_at_another_level_is_the_wrong_place_and_says_so():
    score = score_attempt(attempt(moments=(moment(tip=(0.0, 0.0, -33.0)),)))
    assert score.value("place") == 1.0
    assert any("L4-L5 in place of L3-L4" in reason for reason in score.reasons)
    assert not score.success


@pytest.mark.parametrize(
    ("acts", "counted"),
    [
        ([("placed", 0), ("pushed", 30), ("pushed", 70)], (1, 0)),
        ([("placed", 0), ("pushed", 1.5)], (0, 0)),
        # A little back and on again is feeling one's way.
        ([("placed", 0), ("pushed", 40), ("pulled", 36.5), ("pushed", 60)], (1, 0)),
        ([("placed", 0), ("pushed", 40), ("pulled", 20), ("steered", 20), ("pushed", 60)], (1, 1)),
        ([("placed", 0), ("pushed", 40), ("pulled", 38), ("pulled", 35), ("pushed", 40)], (1, 1)),
        ([("placed", 0), ("pushed", 40), ("pulled", 0), ("pushed", 40)], (2, 0)),
        ([("placed", 0), ("pushed", 50), ("pulled", 30), ("pushed", 40), ("pulled", 20), ("pushed", 60)], (1, 2)),
    ],
)
def test_passes_and_redirections(acts, counted):
    moments = tuple(moment(act, float(depth), at=float(n)) for n, (act, depth) in enumerate(acts))
    assert needle_passes(moments) == counted


@pytest.mark.req("REQ-GUI-073")
def test_five_passes_are_no_success():
    moments = tuple(moment("pushed", insertion=n, at=float(n)) for n in range(1, 6))
    score = score_attempt(attempt(moments=moments))
    assert score.value("passes") == 5.0
    assert (score.success, score.passed) == (False, False)
    assert any("5 passes" in reason for reason in score.reasons)
    assert score_attempt(attempt(moments=moments[:4])).success
    assert score_attempt(attempt(moments=moments), Marking(max_passes=5)).success


def touched(what, structure="", tip=(0.0, 30.0, 0.0)):
    return Touch(10.0, 1, what, structure, 40.0, tip)


def test_bone_contacts_count_unless_bone_is_the_goal_and_near():
    made = attempt(touches=(touched("bone contact"), touched("bone contact", tip=(0.0, 9.0, 0.0)), touched("skin")))
    assert value(made, "bone_contacts") == 2.0
    assert mark(made, "bone_contacts") == pytest.approx(0.6)
    felt = replace(made, target=replace(TARGET, bone_is_goal=True))
    assert value(felt, "bone_contacts") == 1.0


def test_wrong_structures_are_those_the_procedure_spares():
    made = attempt(
        touches=(
            touched("vessel entered", "aorta"), touched("vessel entered", "epidural_veins"),
            touched("dural puncture"), touched("paraesthesia", "nerve_root_left_L3"),
        )
    )  # fmt: skip
    assert value(made, "wrong_structures") == 2.0
    assert mark(made, "wrong_structures") == 0.0
    assert [one["structure"] for one in score_attempt(made).facts["wrong_structures"]] == [
        "aorta",
        "nerve_root_left_L3",
    ]


@pytest.mark.req("REQ-GUI-073")
def test_what_must_drip_has_dripped_at_some_time():
    dry = attempt(moments=(moment(returns=""),))
    assert value(dry, "contrast") == 1.0
    assert not score_attempt(dry).success
    wet = attempt(moments=(moment("stylet", at=20.0), moment("stylet", returns="", at=25.0)))
    assert value(wet, "contrast") == 0.0
    bloody = attempt(moments=(moment(returns="CSF and blood"),))
    assert score_attempt(bloody).success


@pytest.mark.req("REQ-GUI-073")
@pytest.mark.parametrize(
    ("flows", "wrong", "said"),
    [
        ((Flow("epidural", "", 1.0),), 0.0, ""),
        ((), 1.0, "no contrast medium was injected"),
        ((Flow("soft tissue", "", 1.0),), 1.0, "does not show the expected pattern"),
        ((Flow("epidural", "", 1.0), Flow("intrathecal", "", 0.1)), 1.0, "went intrathecal"),
        ((Flow("epidural", "", 1.0), Flow("intravascular", "", 0.0)), 0.0, ""),
    ],
)
def test_contrast_medium_must_show_the_right_place_and_no_wrong_one(flows, wrong, said):
    target = replace(
        TARGET, returns="", patterns=("epidural",), unwanted_patterns=("intrathecal", "intravascular"),
        zone=replace(TARGET.zone, tissues=("epidural space",)),
    )  # fmt: skip
    score = score_attempt(attempt(target=target, moments=(moment(tissue="epidural space"),), flows=flows))
    assert score.value("contrast") == wrong
    assert score.success == (wrong == 0.0)
    assert any(said in reason for reason in score.reasons) if said else not score.reasons


def test_the_tip_must_lie_in_the_tissue_or_its_opening():
    score = score_attempt(attempt(moments=(moment(tissue="ligament"),)))
    assert not score.success
    assert score.value("target_error") == 0.0
    opened = replace(moment(tissue="ligament"), opening_tissue="CSF")
    assert score_attempt(attempt(moments=(opened,))).success


def test_dose_time_and_collimation_add_up():
    shots = (Shot(0.0, 20.0, 150, 3.0, 0.5, 0.2), Shot(60.0, 55.0, 400, 1.0, 0.25, 1.0))
    made = attempt(shots=shots, seconds=600.0)
    wanted = {
        "time": 600.0, "shots": 2.0, "fluoroscopy_time": 75.0, "kap": 0.75, "air_kerma": 4.0, "collimation": 0.4,
    }  # fmt: skip
    for name, expected in wanted.items():
        assert value(made, name) == pytest.approx(expected), name
    marks = {one.name: one.mark for one in score_attempt(made).criteria}
    assert marks["time"] == pytest.approx(0.5)
    assert marks["fluoroscopy_time"] == pytest.approx(0.5)
    assert marks["kap"] == pytest.approx(0.9)
    assert marks["collimation"] == pytest.approx(6.0 / 7.0)


def test_total_is_the_weighted_mean_of_what_applies():
    made = attempt(touches=(touched("bone contact"),) * 5, shots=())
    applied = {name: rule.weight for name, rule in RULES.items() if name != "collimation"}
    lost = RULES["bone_contacts"].weight
    assert score_attempt(made).total == pytest.approx(100.0 * (1.0 - lost / sum(applied.values())))


def test_to_be_quick_earns_nothing_where_the_target_was_not_reached():
    score = score_attempt(attempt(moments=(moment(tip=(30.0, 0.0, 0.0), tissue="muscle", returns=""),), seconds=5.0))
    marks = {one.name: one.mark for one in score.criteria}
    assert all(marks[name] == 0.0 for name in ECONOMY)
    assert score.total < 60.0


@pytest.mark.req("REQ-GUI-072")
def test_limits_and_pass_mark_decide_on_passing_not_on_success():
    marking = Marking(max_seconds=60.0, max_kap_gy_cm2=0.1, max_air_kerma_mgy=1.0)
    score = score_attempt(attempt(), marking)
    assert (score.success, score.passed, score.total) == (True, False, 100.0)
    assert len(score.reasons) == 3
    slow = attempt(seconds=900.0, touches=(touched("bone contact"),) * 9)
    assert not score_attempt(slow, Marking(pass_mark=95.0)).passed
    assert score_attempt(slow, Marking(pass_mark=50.0)).passed


def test_weights_are_settings():
    marking = Marking().changed({"bone_contacts": {"weight": 0.0}, "time": {"full": 10.0, "none": 20.0}})
    made = attempt(touches=(touched("bone contact"),) * 9)
    score = score_attempt(made, marking)
    assert {one.name: one.mark for one in score.criteria}["time"] == 0.0
    assert score.total == pytest.approx(100.0 * (1.0 - 1.0 / sum(rule.weight for rule in marking.rules.values())))
    for bad in ({"colour": {"weight": 1.0}}, {"time": {"full": 30.0, "none": 20.0}}, {"time": {"weight": -1.0}}):
        with pytest.raises(ValueError, match=r"criterion|above full"):
            Marking().changed(bad)
    with pytest.raises(ValueError, match="pass mark"):
        Marking(pass_mark=120.0)
    with pytest.raises(ValueError, match="above full"):
        Rule("x", "mm", 1.0, 1.0, 1.0)


def test_nothing_done_earns_nothing():
    score = score_attempt(Attempt(TARGET, ()))
    assert (score.total, score.success) == (0.0, False)
    assert score.reasons[0] == "no needle was put in"


@pytest.mark.req("REQ-GUI-072")
def test_the_needle_is_judged_where_it_was_used_not_where_it_was_put_down():
    placed, pushed = moment("placed", 0.0, ENTRY, 1.0, returns=""), moment(at=2.0)
    out = (moment("pulled", 20.0, (0.0, 50.0, 0.0), 3.0, returns=""), moment("removed", 0.0, ENTRY, 4.0, returns=""))
    assert attempt(moments=(placed, pushed, *out)).judged == pushed
    injected = moment("injected", at=2.5, tip=(0.0, 1.0, 0.0))
    assert attempt(moments=(placed, pushed, injected, *out)).judged == injected
    # A second needle that went astray after the drop does not undo it.
    astray = moment("pushed", 40.0, (40.0, 30.0, 0.0), 9.0, insertion=2, tissue="muscle", returns="")
    assert attempt(moments=(placed, pushed, astray)).judged == pushed
