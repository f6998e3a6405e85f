"""Make the picture of a debrief.

    python docs/pictures/make_debrief.py

A lumbar puncture by a hand that meets bone, begins anew along the plan and gets there, drawn beside the expert.
"""

import tempfile
from pathlib import Path

import numpy as np

from fluoroscope.app.training.debrief import debrief_exam
from fluoroscope.app.training.exercise import exercise_of, scenario_setup
from fluoroscope.app.training.headless import HeadlessRoom
from fluoroscope.app.training.scenario import find_scenario

HERE = Path(__file__).parent


def main() -> None:
    listed = find_scenario("lumbar-puncture-easy")
    exercise, patient = exercise_of(listed, "demo")
    target = exercise.target
    length = float(np.linalg.norm(np.subtract(target.aim_mm, target.entry_mm)))
    with tempfile.TemporaryDirectory() as folder:
        room = HeadlessRoom(scenario_setup(listed), patient, exercise, exams=Path(folder), seed=4)

        def act(seconds: float, command: str, /, **args: object) -> None:
            room.wait(seconds)
            room.command(command, args)

        act(1, "view", name="ap")
        act(4, "set_collimation", left_mm=80.0, right_mm=80.0, upper_mm=90.0, lower_mm=90.0)
        room.x_ray(3.0)
        # Too steep toward the head by 12 degrees: it ends on the lamina.
        turned = target.direction + np.array([0.0, 0.0, 0.21])
        act(20, "needle_place", type=target.needle, position_mm=list(target.entry_mm), toward=turned.tolist())
        room.x_ray(1.0)
        for _ in range(10):
            stopped = room.command("needle_move", {"advance_mm": 6.0})["stopped_by"]
            room.wait(4)
            if stopped:
                break
        act(2, "view", name="lateral")
        act(2, "move_table", height_mm=-45.0)
        room.x_ray(1.0)
        act(5, "needle_move", advance_mm=-45.0)
        act(3, "needle_remove")
        act(5, "needle_place", type=target.needle, position_mm=list(target.entry_mm), toward=target.direction.tolist())
        for part in range(12):
            act(3, "needle_move", advance_mm=(length - 1.0) / 12.0, rotate_deg=180.0)
            if part in (5, 9, 11):
                room.x_ray(1.0)
        act(3, "needle_move", advance_mm=2.0, rotate_deg=180.0)
        room.x_ray(1.0)
        act(2, "needle_stylet", inside=False)
        act(2, "view", name="ap")
        act(1, "move_table", height_mm=0.0)
        room.x_ray(0.5)
        exam = room.close()
        if exam is None:
            raise SystemExit("nothing was recorded")
        drawn = Path(folder) / "debrief.png"
        facts = debrief_exam(exam, drawn)
        (HERE / "debrief.png").write_bytes(drawn.read_bytes())
    print(round(facts["score"]["total"]), facts["score"]["reasons"])


if __name__ == "__main__":
    main()
