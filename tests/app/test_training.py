"""Training from the scenario to the kept score: attempts by good and bad hands, without a screen and in the room."""

import csv
import json
import os
import subprocess
import sys
import textwrap
from dataclasses import replace

import numpy as np
import pytest
import yaml

from fluoroscope.app.recording import recover_exams
from fluoroscope.app.serving import open_room
from fluoroscope.app.training.debrief import debrief_exam
from fluoroscope.app.training.exercise import exercise_of, scenario_setup
from fluoroscope.app.training.expert import EXPERT_TEXT, expert_attempt
from fluoroscope.app.training.hand import HAND_NAME
from fluoroscope.app.training.headless import HeadlessRoom
from fluoroscope.app.training.reading import attempt_of, read_recorded
from fluoroscope.app.training.scenario import find_scenario
from fluoroscope.app.training.scoring import score_exam
from fluoroscope.evaluation.training_score import score_attempt
from fluoroscope.monitor.control import RefusedError

SMALL = {
    "title": "puncture of the coarse adult", "patient": "small", "procedure": "lumbar_puncture", "level": "L3-L4",
    "goal": "CSF", "limits": {"seconds": 900},
}  # fmt: skip


@pytest.fixture
def scenario(tmp_path):
    path = tmp_path / "small-puncture.yaml"
    path.write_text(yaml.safe_dump(SMALL))
    return path


@pytest.fixture(scope="module")
def kept():
    """Exercise and patient, opened once."""
    return {}


@pytest.fixture
def exercise(scenario, kept):
    if not kept:
        listed = find_scenario(str(scenario))
        kept["of"], kept["patient"] = exercise_of(listed, "T1")
    return kept["of"], kept["patient"]


def room_of(exercise, exams):
    of, patient = exercise
    return HeadlessRoom(scenario_setup(of.listed, 512), patient, of, exams=exams, seed=500)


def placed(exercise, off_mm=(0.0, 0.0, 0.0)):
    target = exercise[0].target
    entry = (np.asarray(target.entry_mm) + off_mm).tolist()
    return {"type": target.needle, "position_mm": entry, "toward": target.direction.tolist()}


def good_hand(exercise):
    """Steps (wait s, command, args): along the plan, in steps, with X-ray from the back and the side, to CSF."""
    target = exercise[0].target
    depth = float(np.linalg.norm(np.subtract(target.aim_mm, target.entry_mm)))
    steps = [
        (0.0, "view", {"name": "ap"}),
        (1.0, "set_collimation", {"left_mm": 60.0, "right_mm": 60.0, "upper_mm": 60.0, "lower_mm": 60.0}),
        (1.0, "pedal", {"down": True}), (0.3, "pedal", {"down": False}),
        (5.0, "needle_place", placed(exercise)),
    ]  # fmt: skip
    for _ in range(8):
        steps.append((2.0, "needle_move", {"advance_mm": depth / 8.0, "rotate_deg": 180.0}))
    steps += [
        (2.0, "view", {"name": "lateral"}), (1.0, "pedal", {"down": True}), (0.2, "pedal", {"down": False}),
        (3.0, "needle_stylet", {"inside": False}), (2.0, "needle_stylet", {"inside": True}),
        (1.0, "needle_move", {"advance_mm": -depth}), (1.0, "needle_remove", {}),
    ]  # fmt: skip
    return steps


def bad_hand(exercise):
    """A level too low, onto bone again and again, a new puncture, the field open and the pedal held."""
    off = np.array([4.0, 0.0, -34.0])
    steps = [
        (0.0, "pedal", {"down": True}),
        (3.0, "pedal", {"down": False}),
        (2.0, "needle_place", placed(exercise, off)),
    ]
    for side in (8.0, -14.0, 9.0):
        steps += [
            (3.0, "needle_move", {"advance_mm": 80.0}), (1.0, "needle_move", {"advance_mm": -25.0}),
            (1.0, "needle_move", {"steer_x_deg": side, "steer_y_deg": side}),
        ]  # fmt: skip
    steps += [
        (2.0, "needle_place", placed(exercise, off + np.array([14.0, 0.0, 0.0]))),
        (2.0, "needle_move", {"advance_mm": 80.0}),
    ]
    return steps


def carried_out(room, steps):
    for wait_s, name, args in steps:
        room.wait(wait_s)
        room.command(name, args)
    return room


@pytest.mark.req("REQ-GUI-070")
def test_a_good_hand_reaches_csf_and_a_bad_one_does_not_and_the_marks_say_why(exercise, exams):
    good = score_exam(carried_out(room_of(exercise, exams), good_hand(exercise)).close()).score
    bad = score_exam(carried_out(room_of(exercise, exams), bad_hand(exercise)).close()).score
    assert (good.success, good.passed, good.reasons) == (True, True, ())
    assert good.total > 95.0
    assert good.value("target_error") == 0.0
    assert good.value("angle") < 1.5
    assert (good.value("passes"), good.value("redirections"), good.value("bone_contacts")) == (1.0, 0.0, 0.0)
    assert (good.value("shots"), good.value("place"), good.value("contrast")) == (2.0, 0.0, 0.0)
    assert (bad.success, bad.passed) == (False, False)
    assert bad.total < 45.0
    assert bad.value("place") == 1.0
    assert any("L4-L5 in place of L3-L4" in reason for reason in bad.reasons)
    assert bad.value("bone_contacts") >= 2.0
    assert bad.value("passes") == 2.0
    assert bad.value("redirections") >= 2.0
    assert bad.value("target_error") > 10.0
    # Both open the pedal at the same technique: the bad one longer and on the whole field.
    assert bad.value("kap") > 5.0 * good.value("kap")
    assert bad.value("collimation") > 3.0 * good.value("collimation")


@pytest.mark.req("REQ-GUI-071")
def test_the_same_hand_on_the_same_seed_has_the_same_score(exercise, exams, scenario, tmp_path):
    first = carried_out(room_of(exercise, exams), good_hand(exercise)).close()
    from fluoroscope.app.training.room import headless_attempt

    again = headless_attempt(find_scenario(str(scenario)), first, matrix=512, exams=exams, seed=500)
    one, two = (score_exam(folder).score for folder in (first, again))
    # Times of commands are kept to a millisecond.
    assert {c.name: c.value for c in two.criteria} == pytest.approx({c.name: c.value for c in one.criteria}, abs=0.05)
    assert [one.tip_mm for one in read_recorded(again).moments] == [one.tip_mm for one in read_recorded(first).moments]


@pytest.mark.req("REQ-GUI-071")
def test_an_attempt_is_in_the_records_of_the_room_and_needs_no_x_ray(exercise, exams):
    of, _ = exercise
    of.attempts.clear()
    room = open_room(scenario_setup(of.listed, 512), exams, seed=3, exercise=of)
    try:
        told = room.status()["training"]
        assert (told["title"], told["guidance_allowed"], told["level"]) == (SMALL["title"], True, "L3-L4")
        assert any("CSF" in message["text"] for message in room.status()["messages"])
        for _, name, args in good_hand(exercise):
            if name not in ("pedal", "view", "set_collimation"):
                room.command(name, args)
        with pytest.raises(RefusedError):
            room.command("needle_move", {"advance_mm": 5.0})
    finally:
        assert room.close() == []
    (folder,) = of.attempts
    assert {"exam.json", "dose.dcm", "journal.jsonl", HAND_NAME} <= set(os.listdir(folder))
    recorded = read_recorded(folder)
    assert (recorded.complete, recorded.about["trainee"], len(recorded.shots)) == (True, "T1", 0)
    # What was refused was not done.
    assert recorded.commands[-1][1] == "needle_remove"
    score = score_exam(folder).score
    assert score.success
    assert score.value("collimation") is None


def test_a_room_that_is_not_for_training_is_scored_afterwards(exercise, exams, scenario):
    of, patient = exercise
    room = HeadlessRoom(scenario_setup(of.listed, 512), patient, None, exams=exams, seed=500)
    folder = carried_out(room, good_hand(exercise)).close()
    with pytest.raises(ValueError, match="--scenario"):
        score_exam(folder)
    assert score_exam(folder, str(scenario)).score.success
    with pytest.raises(ValueError, match="its patient is small"):
        score_exam(folder, "lumbar-puncture-easy")


def test_an_exam_without_needle_and_x_ray_leaves_nothing(exercise, exams):
    room = room_of(exercise, exams)
    room.command("view", {"name": "ap"})
    assert room.close() is None
    assert list(exams.iterdir()) == []


KILLED = textwrap.dedent(
    """
    import os, signal, sys
    from pathlib import Path
    from fluoroscope.app.serving import open_room
    from fluoroscope.app.training.exercise import exercise_of, scenario_setup
    from fluoroscope.app.training.scenario import find_scenario

    exercise, _ = exercise_of(find_scenario(sys.argv[1]), "T1")
    target = exercise.target
    room = open_room(scenario_setup(exercise.listed, 512), Path(sys.argv[2]), seed=3, exercise=exercise)
    room.command("needle_place", {"type": target.needle, "position_mm": list(target.entry_mm),
                                  "toward": target.direction.tolist()})
    for _ in range(5):
        room.command("needle_move", {"advance_mm": 4.0})
    print(room.status()["exam"]["folder"], flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
    """
)


@pytest.mark.req("REQ-GUI-071")
def test_a_killed_program_loses_nothing_of_the_attempt(exercise, exams, scenario):
    ended = subprocess.run(
        [sys.executable, "-c", KILLED, str(scenario), str(exams)], capture_output=True, text=True, check=False
    )
    assert ended.returncode == -9, ended.stderr
    (folder,) = exams.iterdir()
    before = (folder / HAND_NAME).read_bytes()
    (said,) = recover_exams(exams)
    assert "the record of the hand is kept" in said
    assert (folder / HAND_NAME).read_bytes() == before
    recorded = read_recorded(folder)
    assert recorded.complete is False
    assert [one.act for one in recorded.moments] == ["placed"] + ["pushed"] * 5
    assert recorded.moments[-1].depth_mm == pytest.approx(20.0, abs=0.01)
    score = score_exam(folder).score
    assert score.facts["complete"] is False
    assert score.value("passes") == 1.0
    # A line that was being written is left out, and the rest stands.
    (folder / HAND_NAME).write_bytes(before[:-7])
    assert len(read_recorded(folder).moments) == 5


@pytest.mark.req("REQ-GUI-076")
def test_the_expert_follows_the_plan_to_the_target_and_is_labelled_as_computed(exercise):
    of, patient = exercise
    expert = expert_attempt(patient, of.target)
    score = score_attempt(expert, of.listed.scenario.marking())
    assert score.success
    assert score.value("angle") < 1.0
    assert np.linalg.norm(np.subtract(expert.moments[-1].tip_mm, of.target.aim_mm)) < 0.5
    assert "plan" in of.target.source
    assert "computed" in EXPERT_TEXT


def test_an_expert_line_that_meets_bone_ends_there(exercise):
    of, patient = exercise
    # Straight at the lamina beside the window: no way on by touch either.
    aim = np.asarray(of.target.aim_mm)
    target = replace(
        of.target, entry_mm=tuple(aim + np.array([9.0, 75.0, 14.0])), aim_mm=tuple(aim + np.array([9.0, 8.0, 14.0]))
    )
    expert = expert_attempt(patient, target)
    assert [one.what for one in expert.touches].count("bone contact") >= 1
    assert not score_attempt(expert).success


@pytest.mark.req("REQ-GUI-076")
def test_a_debrief_shows_attempt_and_expert_where_they_were(exercise, exams, tmp_path):
    from PIL import Image

    folder = carried_out(room_of(exercise, exams), good_hand(exercise)).close()
    facts = debrief_exam(folder, tmp_path / "debrief.png")
    assert json.loads((tmp_path / "debrief.json").read_text()) == json.loads(json.dumps(facts))
    assert [(view["name"], view["run"]) for view in facts["views"]] == [("AP", 1), ("lateral", 2)]
    steps = facts["steps"]
    assert [step["error_mm"] for step in steps[:9]] == sorted((step["error_mm"] for step in steps[:9]), reverse=True)
    assert steps[-3]["error_mm"] == 0.0
    assert steps[-1]["air_kerma_mgy"] == pytest.approx(facts["score"]["criteria"][12]["value"])
    assert facts["expert"]["score"]["success"]
    # The tip in the lateral X-ray: dark there against the same place in a picture of the patient without a needle.
    pixels = np.asarray(Image.open(tmp_path / "debrief.png"))
    assert pixels.shape[1] > 1400
    orange = np.abs(pixels[92:572].astype(int) - (255, 170, 60)).sum(axis=2) < 12
    for left in (20, 520, 1020):
        assert orange[:, left : left + 480].sum() > 40


def test_the_overlay_lies_on_the_needle_of_the_x_ray(exercise, exams):
    from fluoroscope.app.training.views import carried_to, shown_views

    room = room_of(exercise, exams)
    room.command("view", {"name": "lateral"})
    empty = room.x_ray().pixels.astype(float)
    room.command("needle_place", placed(exercise) | {"type": "trocar-11G-125"})
    room.command("needle_move", {"advance_mm": 60.0})
    full = room.x_ray().pixels.astype(float)
    recorded = read_recorded(room.close())
    view = next(one for one in shown_views(recorded, exercise[1]) if one.name == "lateral")
    end = recorded.moments[-1]
    path = view.project(carried_to(recorded, view.at_s, [end.entry_mm, end.tip_mm]))
    # Sampled along the drawn line: the needle's shadow is there, and not 4 mm beside it.
    along = path[0] + np.linspace(0.1, 0.95, 80)[:, None] * (path[1] - path[0])
    along = along[((along > 15.0) & (along < 495.0)).all(axis=1)]
    assert len(along) > 20
    across = np.array([-(path[1] - path[0])[1], (path[1] - path[0])[0]]) / np.linalg.norm(path[1] - path[0])

    def shadow(points):
        rows, columns = np.rint(points).astype(int).T
        return float(np.median(np.abs(full - empty)[rows, columns]))

    assert shadow(along) > 5.0 * max(shadow(along + 12.0 * across), shadow(along - 12.0 * across), 1.0)


@pytest.mark.req("REQ-GUI-070")
@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"procedure": "appendectomy"}, "procedure"),
        ({"level": "Q7"}, "level"),
        ({"side": "left"}, "midline"),
        ({"procedure": "facet_injection"}, "left or right"),
        ({"side": "up"}, "side"),
        ({"colour": 1}, "colour"),
        ({"patient": {"age_years": 400}}, "patient"),
        ({"patient": ""}, "patient"),
        ({"position": "HFX"}, "position"),
        ({"carm": "tank"}, "carm"),
        ({"limits": {"seconds": -1}}, "limits.seconds"),
        ({"pass_mark": 101}, "pass_mark"),
        ({"marks": {"beauty": {"weight": 1}}}, "beauty"),
        ({"marks": {"time": {"full": 10, "none": 5}}}, "above full"),
        ({"start": {"primary_deg": 1000}}, "start.primary_deg"),
        ({"title": None}, "title"),
    ],
)
def test_a_scenario_that_cannot_be_used_is_refused_in_one_line(command, tmp_path, change, said):
    path = tmp_path / "bad.yaml"
    path.write_text(yaml.safe_dump(SMALL | change))
    code, out, err = command("training", "show", path)
    assert (code, out) == (2, "")
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert said in err
    assert "bad.yaml" in err


@pytest.mark.parametrize("content", ["a: [", "- 1", "", "\x00", "7", "a: &a [*a]"])
def test_files_that_are_no_scenario(command, tmp_path, content):
    path = tmp_path / "bad.yaml"
    path.write_text(content)
    code, _, err = command("training", "show", path)
    assert code == 2
    assert err.count("\n") == 1


@pytest.mark.req("REQ-GUI-070")
def test_the_list_names_packaged_and_own_scenarios_and_says_which_files_are_faulty(command):
    from fluoroscope.app.training.scenario import own_folder

    own_folder().mkdir(parents=True, exist_ok=True)
    (own_folder() / "mine.yaml").write_text(yaml.safe_dump(SMALL))
    (own_folder() / "broken.yaml").write_text("title: 1")
    try:
        code, out, err = command("training", "list", "--json")
        rows = {row["name"]: row for row in json.loads(out)["scenarios"]}
        assert code == 0
        assert len([row for row in rows.values() if not row["own"]]) >= 8
        assert len({row["procedure"] for row in rows.values()}) >= 5
        assert {row["difficulty"] for row in rows.values()} == {"easy", "medium", "hard"}
        assert rows["mine"]["own"]
        assert "broken" not in rows
        assert err.startswith("warning: ")
        assert "broken.yaml" in err
        code, out, _ = command("training", "show", "mine", "--json")
        assert json.loads(out)["marks"]["time"]["weight"] == 1.0
        code, _, err = command("training", "show", "nobody")
        assert (code, "choose one of" in err) == (2, True)
    finally:
        for path in own_folder().iterdir():
            path.unlink()


@pytest.mark.req("REQ-GUI-074")
def test_an_attempt_from_the_command_line_to_the_learning_curve(command, exercise, scenario, tmp_path):
    hand, at_s = [], 0.0
    for wait_s, name, args in good_hand(exercise):
        at_s += wait_s
        hand.append({"at_s": round(at_s, 3), "command": name, "args": args})
    script = tmp_path / "hand.yaml"
    script.write_text(yaml.safe_dump({"commands": hand}))
    out = tmp_path / "exams"
    words = ("training", "attempt", scenario, "--hand", script, "--out", out, "--matrix", "512", "--json")
    code, said, err = command(*words, "--trainee", "T1")
    assert code == 0, err
    told = json.loads(said)
    assert told["success"]
    folder, registry = told["folder"], tmp_path / "r.sqlite"
    code, said, err = command("training", "score", folder, "--trainee", "T1", "--registry", registry, "--json")
    assert (code, json.loads(said)["kept"], json.loads(said)["total"]) == (0, "new", told["total"])
    code, said, _ = command("training", "score", folder, "--trainee", "T1", "--registry", registry)
    assert "kept for T1: known" in said
    table, plot = tmp_path / "r.csv", tmp_path / "r.png"
    code, said, _ = command(
        "training", "results", "--trainee", "T1", "--csv", table, "--plot", plot, "--registry", registry, "--json"
    )
    assert code == 0
    assert json.loads(said)["trainees"][0]["passed"] == 1
    with table.open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert float(row["target_error"]) == 0.0
    assert row["trainee"] == "T1"
    assert plot.read_bytes().startswith(b"\x89PNG")
    code, said, _ = command("training", "anonymise", "T1", "--why", "course over", "--by", "me", "--registry", registry)
    assert "anonymous-1" in said
    code, said, _ = command(
        "training", "erase", "anonymous-1", "--why", "asked", "--by", "me", "--yes", "--registry", registry
    )
    assert "erased with 1 attempts" in said


def test_hand_scripts_that_cannot_be_carried_out_leave_nothing(command, exercise, scenario, tmp_path):
    place = placed(exercise)
    for commands, said in (
        ([], "commands"),
        ([{"at_s": 0, "command": "dance"}], "unknown command"),
        ([{"at_s": 0, "command": "needle_move", "args": {"advance_mm": "far"}}], "advance_mm"),
        ([{"at_s": 5, "command": "view", "args": {"name": "ap"}}, {"at_s": 1, "command": "needle_remove"}], "order"),
        ([{"at_s": 0, "command": "needle_move", "args": {"advance_mm": 5.0}}], "no needle"),
        ([{"at_s": 0, "command": "needle_place", "args": place}, {"at_s": 1, "command": "set_patient",
          "args": {"name": "anna"}}], "without a screen"),
        ([{"at_s": 0, "command": "view", "args": {"name": "ap"}}], "neither needle nor X-ray"),
    ):  # fmt: skip
        script, out = tmp_path / "hand.yaml", tmp_path / "exams"
        script.write_text(yaml.safe_dump({"commands": commands}))
        code, _, err = command("training", "attempt", scenario, "--hand", script, "--out", out, "--matrix", "512")
        assert (code, err.count("\n")) == (2, 1), err
        assert said in err
        assert not out.exists() or list(out.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("score", "nobody"), "exams list"),
        (("score", ""), "exam"),
        (("debrief", "nobody"), "exams list"),
        (("results", "--trainee", "T1"), "not in the registry"),
        (("results", "--plot", "x/y/z.png"), "folder does not exist"),
        (("results", "--registry", "missing.sqlite"), "no such file"),
        (("erase", "T1", "--yes"), "--why"),
        (("run", "nobody"), "choose one of"),
        (("attempt", "lumbar-puncture-easy", "--hand", "none.yaml"), "no such file"),
    ],
)
def test_bad_words_are_refused_in_one_line(command, words, said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FLUOROSCOPE_REGISTRY", "")
    code, out, err = command("training", *words)
    assert (code, out, err.count("\n")) == (2, "", 1), err
    assert said in err


def test_damaged_records_are_refused_in_one_line(command, exercise, exams):
    folder = carried_out(room_of(exercise, exams), good_hand(exercise)).close()
    whole = (folder / HAND_NAME).read_bytes()
    for content in (b"", b"\x00" * 50, whole[40:], whole[: len(whole.splitlines()[0]) - 9]):
        (folder / HAND_NAME).write_bytes(content)
        code, _, err = command("training", "score", folder)
        assert (code, err.count("\n")) == (2, 1), err
    (folder / HAND_NAME).unlink()
    code, _, err = command("training", "score", folder)
    assert (code, "no record of the hand" in err) == (2, True)
    (folder / HAND_NAME).write_bytes(whole)
    assert attempt_of(read_recorded(folder)).complete
