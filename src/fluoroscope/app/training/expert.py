"""An expert run: the planned line followed exactly by the needle's own mechanics, computed and labelled as such."""

from dataclasses import asdict
from typing import Any

import numpy as np

from fluoroscope.app.room_scene import RoomScene
from fluoroscope.app.training.hand import NEEDLE, NeedleWatch
from fluoroscope.evaluation.training_attempt import Attempt, Flow, Moment, Target, Touch
from fluoroscope.patient.instruments.catalogue import instrument
from fluoroscope.patient.instruments.tissue_probe import TissueProbe
from fluoroscope.patient.library import Patient
from fluoroscope.patient.motion import MotionSettings

__all__ = ["EXPERT_TEXT", "expert_attempt", "expert_facts"]

EXPERT_TEXT = "computed: the planned line, followed by the needle's mechanics without X-ray; nobody's hand"
_STEP_MM = 2.0
_STEP_S = 1.0
_OUTSIDE_MM = 60.0
_FEEL_MM, _FURTHEST_MM = 0.25, 5.0
_SPACES = {"epidural": "epidural space", "facet joint": "facet joint", "disc": "disc", "intraosseous": "bone"}
_SHOWN_ML, _RATE_ML_S, _STRENGTH_MGI_ML = 0.5, 0.2, 240.0


def expert_attempt(patient: Patient, target: Target) -> Attempt:
    """Return the attempt of a needle that follows the expert's line of ``target`` in the resting patient.

    The bevel is turned by half a turn every 2 mm, so that its deflection takes itself back. Where the opening behind
    the tip is not in its space at the end of the line, the needle goes on by touch, at most 5 mm and into nothing that
    must be spared. Then the stylet comes out, and contrast medium is injected where the procedure asks for some.
    """
    scene = RoomScene(patient, MotionSettings.still())
    field, watch = scene.field, NeedleWatch(scene)
    probe = TissueProbe(patient.volume, patient.labels, patient.articulation)
    moments: list[Moment] = []
    touches: list[Touch] = []
    now_s = 0.0

    def note(name: str, args: dict[str, Any]) -> None:
        moment, met, _ = watch.after(name, args, now_s)
        moments.extend([] if moment is None else [moment])
        touches.extend(met)

    kind = instrument(target.needle)
    start = np.asarray(target.entry_mm) - _OUTSIDE_MM * target.direction
    field.add(kind.name, start, target.direction, time_s=now_s, name=NEEDLE)
    note("needle_place", {})
    left_mm = float(np.linalg.norm(np.subtract(target.aim_mm, moments[-1].tip_mm)))
    while left_mm > 1e-6:
        step, now_s = min(_STEP_MM, left_mm), now_s + _STEP_S
        field.rotate(180.0, name=NEEDLE)
        gone = field.advance(step, time_s=now_s, name=NEEDLE)
        note("needle_move", {"advance_mm": step})
        left_mm -= step
        if gone.stopped_by:
            break
    while len(moments) > 1 and moments[-1].act == "pushed" and _goes_on(probe, target, moments[-1]):
        now_s += _STEP_S
        gone = field.advance(_FEEL_MM, time_s=now_s, name=NEEDLE)
        note("needle_move", {"advance_mm": _FEEL_MM})
        if gone.stopped_by:
            break
    if kind.has_stylet:
        now_s += _STEP_S
        field.set_stylet(inside=False, name=NEEDLE)
        note("needle_stylet", {"inside": False})
    flows = _shown(scene, target, now_s)
    if flows:
        note("inject", {})
    return Attempt(target, tuple(moments), tuple(touches), flows=flows, seconds=now_s)


def _goes_on(probe: TissueProbe, target: Target, last: Moment) -> bool:
    """Whether the opening, which lies behind the tip, is not in its space yet and nothing wrong lies just ahead."""
    wanted = set(target.zone.tissues) | {_SPACES[pattern] for pattern in target.patterns if pattern in _SPACES}
    beyond = float(np.subtract(last.tip_mm, target.aim_mm) @ target.direction)
    if not wanted or last.opening_tissue in wanted or beyond > _FURTHEST_MM or "soft tissue" in target.patterns:
        return False
    ahead = probe.at_rest(np.asarray(last.tip_mm) + 2.0 * _FEEL_MM * np.asarray(last.direction)).tissue
    return ahead not in ("nerve root", "vessel", "cord", "bowel", "organ", "lung", "metal") and (
        ahead != "CSF" or "dural puncture" not in target.unwanted
    )


def _shown(scene: RoomScene, target: Target, now_s: float) -> tuple[Flow, ...]:
    """Inject where the procedure asks for it; return where it went."""
    if not target.patterns:
        return ()
    try:
        scene.field.inject(_SHOWN_ML, _STRENGTH_MGI_ML, _RATE_ML_S, time_s=now_s, name=NEEDLE)
    except ValueError:
        return ()
    _, places = scene.field.truth(now_s + _SHOWN_ML / _RATE_ML_S + 1.0)
    return tuple(Flow(one["pattern"], one["structure"], float(one["injected_ml"])) for one in places.values())


def expert_facts(attempt: Attempt) -> dict[str, Any]:
    """Return an expert's attempt, JSON-ready."""
    return {
        "label": EXPERT_TEXT,
        "line": attempt.target.source,
        "entry_mm": list(attempt.target.entry_mm),
        "aim_mm": list(attempt.target.aim_mm),
        "moments": [asdict(one) for one in attempt.moments],
    }
