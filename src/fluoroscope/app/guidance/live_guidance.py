"""Live guidance behind the page: a plan, what the pictures show beside it, and what is to be done next.

Nothing here knows where the tip or the bone really is: what is told comes from the pictures, from the encoders of
C-arm and table, from the planning CT, and from the hand at the hub: how far it pushed and how it swung, the shaft's
marks at the skin (length less what stands out, to 5 mm), the stylet, and what drips out.
"""

import json
import threading
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fluoroscope.acquisition.clock import Clock
from fluoroscope.acquisition.frame import Frame
from fluoroscope.app.bedside import Bedside
from fluoroscope.app.console import Console
from fluoroscope.app.guidance.live_choices import plan_choices
from fluoroscope.app.guidance.live_door import NOTHING
from fluoroscope.app.guidance.live_eyes import bone_eye, needle_eye
from fluoroscope.app.guidance.live_hint import Situation, hint
from fluoroscope.app.guidance.live_path import LivePath, coaxial_joints, confirm_joints, json_point, view_kind
from fluoroscope.app.guidance.live_plans import Plans, Request
from fluoroscope.app.guidance.live_scene import LiveScene
from fluoroscope.app.guidance.live_tip import HandMoved
from fluoroscope.app.guidance.live_warming import GuidanceWarming
from fluoroscope.app.guidance.live_watch import BoneSeen, LiveWatch, NeedleFound
from fluoroscope.app.needle_hand import NeedleHand
from fluoroscope.geometry.carm import OutOfReachError
from fluoroscope.geometry.pose import beam_axes
from fluoroscope.geometry.positioner import positioner_angles, view_text
from fluoroscope.geometry.projection import projection_geometry
from fluoroscope.geometry.rigid import Matrix, apply, inverse, translation
from fluoroscope.geometry.table import TablePose, patient_from_equipment
from fluoroscope.guidance.planning import PROCEDURES
from fluoroscope.live.loop import LiveLoop
from fluoroscope.monitor.control import Asset, RefusedError

__all__ = ["LiveGuidance"]

Vector = NDArray[np.float64]

_ARM = ("move_joints", "nudge_joints", "view", "move_table", "nudge_table", "plan_view", "set_field")
_PATIENT = ("bend", "breathing", "set_position")


class LiveGuidance:
    """Carries out the page's commands for guidance and tells what it shows.

    Parameters
    ----------
    loop
        Whose pictures are looked at.
    clock
        Of the loop.
    console, bedside, hand
        The C-arm, the patient on the table, and the hand on the needle.
    changed
        Called when something changed by itself.
    """

    def __init__(
        self,
        loop: LiveLoop,
        clock: Clock,
        console: Console,
        bedside: Bedside,
        hand: NeedleHand,
        *,
        changed: Callable[[], None] = lambda: None,
    ) -> None:
        self._loop, self._clock, self._console = loop, clock, console
        self._bedside, self._hand, self._changed = bedside, hand, changed
        self._on = self._has_bone = False
        self._lock = threading.RLock()
        self._plans = Plans(changed)
        self._warming = GuidanceWarming()
        self._scene = LiveScene()
        self._watch: LiveWatch | None = None
        self._watched: LivePath | None = None
        self._of: object = None
        self._arm_ns = self._patient_ns = self._needle_ns = 0

    def end(self) -> None:
        """Forget the plan and look at no more pictures: guidance is withheld from now on."""
        self._on = False
        self._plans.clear()
        self._follow()

    def close(self) -> None:
        """Look at no more pictures; wait for a plan being made."""
        self._on = False
        watch = self._watch
        self._follow()
        if watch is not None:
            watch.join()
        self._plans.join()

    # Commands: their names and arguments are those of docs/reference/page-protocol.md

    def plan_make(self, *, procedure: str, level: str, side: str = "") -> None:
        """Plan a path, beside the room."""
        if procedure not in PROCEDURES:
            raise RefusedError(f"procedure {procedure!r}: choose one of {', '.join(PROCEDURES)}", "procedure")
        if self._plans.planning is not None:
            raise RefusedError("a path is being planned: wait a moment")
        self._warming.begin()
        carm = self._console.carm
        self._plans.make(self._bedside.scene.patient, Request(procedure, level, side), carm.model, carm.position)
        self._on = True

    def plan_choose(self, *, index: int) -> None:
        """Choose one of the paths found."""
        self._plans.choose(index)

    def plan_clear(self) -> None:
        """Forget the plan."""
        self._plans.clear()

    def plan_view(self, *, view: str) -> None:
        """Turn the C-arm down the barrel of the path, or across it."""
        path = self._path()
        if path is None:
            raise RefusedError("no path is chosen: plan one first (G)")
        carm = self._console.carm
        joints_for = coaxial_joints if view == "coaxial" else confirm_joints
        try:
            joints = joints_for(path, self._placed_now(), carm.model, carm.pose, carm.joints)
        except OutOfReachError as fault:
            raise RefusedError(f"this view of the path is out of the C-arm's reach: {fault}") from fault
        carm.set_joints(joints)

    def guidance(self, *, on: bool) -> None:
        """Show guidance, or not."""
        if on:
            self._warming.begin()
        self._on = on

    def plan_place(self) -> tuple[str, Vector, Vector]:
        """Return needle type, entry and direction of the chosen path (LPS), where the bone lies now.

        Raises
        ------
        RefusedError
            When there is none.
        """
        path = self._path()
        if path is None:
            raise RefusedError("no path is chosen: plan one first (G)")
        # Planned on the CT, placed where the bone was last found.
        shifted = self._scene.shifted
        entry, target = apply(shifted, path.entry_mm), apply(shifted, path.target_mm)
        return path.needle, entry, (target - entry) / np.linalg.norm(target - entry)

    def places(self) -> dict[str, Matrix]:
        """Return what other programs may be told, in the equipment frame: the CT by its bone as found, needle's tip.

        Nothing while no path is followed or no bone was found; the tip's axes are those of the CT.
        """
        shifted, tip = self._scene.shifted, self._scene.tip_mm
        if not self._on or self._path() is None or np.array_equal(shifted, np.eye(4)):
            return {}
        placed = self._placed_now()
        return {"Ct": placed} if tip is None else {"Ct": placed, "NeedleTip": placed @ translation(tip)}

    def noted(self, name: str, args: Mapping[str, Any], result: Mapping[str, Any]) -> None:
        """Take note of a command that was carried out: what moved, and what the hand did."""
        now_ns = self._clock.monotonic_ns()
        if name in _ARM:
            self._arm_ns = now_ns
        elif name in _PATIENT:
            self._patient_ns = now_ns
        elif name in ("needle_place", "needle_remove"):
            self._needle_ns = now_ns
            self._scene.new_needle(self._hand.read_depth_mm if name == "needle_place" else None)
        elif name == "needle_move":
            self._needle_ns = now_ns
            pushed = abs(float(result.get("moved_mm", 0.0)))
            right, up = (float(args.get(name, 0.0)) for name in ("steer_x_deg", "steer_y_deg"))
            self._scene.hand_moved(HandMoved(pushed, float(np.hypot(right, up)), self._tip_way(right, up)))
        self._follow()

    # What the page is told

    def choices(self) -> Asset:
        """Return ``guidance.json``: what can be planned for the patient on the table."""
        return Asset(json.dumps(plan_choices(self._bedside.scene.patient)).encode(), "application/json")

    def slice(self, name: str) -> Asset | None:
        """Return a cut of the CT along the chosen path, by the name its address ends with."""
        chosen = self._plans.chosen
        if chosen is None:
            return None
        found = next((cut for cut in chosen.slices if _slice_name(chosen.index, cut.name) == name), None)
        return None if found is None else Asset(found.png, "image/png")

    def status(self, shown: Frame | None) -> dict[str, Any]:
        """Return the part ``guidance`` of the status; ``shown`` is the frame on LIVE."""
        self._follow()
        plans = self._plans
        chosen = plans.chosen
        told = {
            **NOTHING,
            "on": self._on,
            "planning": plans.planning,
            "trouble": plans.trouble,
            "request": None if plans.request is None else plans.request.status(),
            "plans": list(plans.rows),
            "chosen": None,
        }
        if chosen is not None:
            told["chosen"] = self._chosen_status()
        told["hint"] = hint(Situation(planning=plans.planning is not None, has_plan=chosen is not None))
        if chosen is not None and self._on:
            told |= self._live(chosen.path, shown)
        if not self._on:
            told["hint"] = None
        return told

    def _live(self, path: LivePath, shown: Frame | None) -> dict[str, Any]:
        """Return what is told of the picture on LIVE and of the needle in it."""
        now_ns = self._clock.monotonic_ns()
        moved_ns = max(self._arm_ns, self._patient_ns)
        planned = None if shown is None else self._planned(shown)
        fresh = shown is not None and shown.acquired_ns > max(moved_ns, self._needle_ns)
        self._scene.may_outline = self._warming.wait(0.0)
        told = self._scene.status(path, shown, planned, now_ns, moved_ns, self._plans.made.nearby)
        hand = self._hand.hub_signs() if self._hand.needle_in else None
        csf = hand is not None and hand.returns == "csf"
        situation = Situation(
            has_plan=True,
            stands=self._stands(path),
            fresh=fresh,
            needle_in=hand is not None,
            stylet_in=hand is not None and hand.stylet_in,
            csf=csf,
            needle_seen=self._scene.sees_needle(shown),
            bone_awaited=self._has_bone and self._scene.awaits_bone(shown),
            error=self._scene.error if told["error"] is not None and told["error"]["depth_mm"] is not None else None,
            miss_px=self._scene.miss_px,
        )
        told["hint"] = hint(situation)
        told["reached"] = "Clear fluid returns: the needle is in the dural sac" if csf else None
        return told

    def _chosen_status(self) -> dict[str, Any]:
        chosen = self._plans.chosen
        if chosen is None:
            return {}
        path, one = chosen.path, chosen.trajectory
        placed = self._placed_now()
        tip = self._scene.tip_mm
        dura = None if path.dura_mm is None else json_point(apply(placed, path.at(path.dura_mm)))
        urls = [f"/room/guidance/{_slice_name(chosen.index, cut.name)}" for cut in chosen.slices]
        return {
            "index": chosen.index,
            "entry_mm": json_point(apply(placed, path.entry_mm)),
            "target_mm": json_point(apply(placed, path.target_mm)),
            "dura_mm": dura,
            "depth_mm": round(path.depth_mm, 1),
            "dura_depth_mm": None if path.dura_mm is None else round(path.dura_mm, 1),
            "coaxial_text": self._view_text(path, "coaxial") or one.coaxial.text,
            "confirm_text": self._view_text(path, "confirm") or one.confirm.text,
            "depth_check": _depth_check(one.expected_depth_mm),
            "slices": [cut.status(path, url, tip) for cut, url in zip(chosen.slices, urls, strict=True)],
        }

    # Inner works

    def _path(self) -> LivePath | None:
        chosen = self._plans.chosen
        return None if chosen is None else chosen.path

    def _placed_now(self) -> Matrix:
        """Return ``equipment_from_ct`` as the table stands now, with the bone where it was last found."""
        return inverse(self._bedside.patient_from_equipment()) @ self._scene.shifted

    def _tip_way(self, hub_right_deg: float, hub_up_deg: float) -> Vector:
        """Return where the tip goes, per mm beyond the skin (LPS), when the hub swings so on the picture."""
        axes = beam_axes(self._console.carm.pose)
        right, up = np.tan(np.deg2rad([hub_right_deg, hub_up_deg]))
        way: Vector = self._placed_now()[:3, :3].T @ (up * axes.v - right * axes.u)
        return way

    def _planned(self, frame: Frame) -> Matrix:
        """Return where planning and the table said the CT lies when a frame was made."""
        setup = self._console.carm.setup
        return inverse(patient_from_equipment(frame.table or TablePose(), setup.position, setup.reference_mm))

    def _stands(self, path: LivePath) -> str:
        carm = self._console.carm
        return view_kind(path, projection_geometry(carm.pose, carm.grid), self._placed_now())

    def _view_text(self, path: LivePath, view: str) -> str:
        carm = self._console.carm
        joints_for = coaxial_joints if view == "coaxial" else confirm_joints
        try:
            pose = carm.model.pose(joints_for(path, self._placed_now(), carm.model, carm.pose, carm.joints))
        except ValueError as fault:
            return f"out of reach: {fault}"
        return view_text(*positioner_angles(pose, carm.table, carm.position))

    def _follow(self) -> None:
        """Begin or end to look at the pictures, as guidance is on and a path chosen; forget another patient's plan."""
        with self._lock:
            patient = self._bedside.scene
            if self._of is not patient:
                if self._of is not None:
                    self._plans.clear()
                self._of = patient
                self._scene.forget()
            path = self._path() if self._on else None
            if path is self._watched:
                return
            if self._watch is not None:
                self._watch.close()
                self._watch = None
            self._watched = path
            eye = None if path is None else bone_eye(self._plans.made.models, path)
            self._has_bone = eye is not None
            self._scene.aim(path, self._plans.made.silhouettes, patient.vertebrae())
            if path is not None:
                self._watch = LiveWatch(
                    self._loop, self._planned, needle_eye(), eye,
                    partial(self._needle_found, path), partial(self._bone_seen, path),
                    self._warming.wait, self._scene.end_on,
                )  # fmt: skip

    def _needle_found(self, path: LivePath, found: NeedleFound) -> None:
        if path is not self._watched:
            return
        self._scene.take_needle(found, self._planned(found.frame), self._hand.needle_in)
        self._changed()

    def _bone_seen(self, path: LivePath, seen: BoneSeen) -> None:
        if path is not self._watched:
            return
        self._scene.take_bone(seen)
        self._changed()


def _slice_name(index: int, name: str) -> str:
    return f"path-{index + 1}-{name}.png"


def _depth_check(expected_mm: float | None) -> str:
    return "" if expected_mm is None else f"by formula, skin to mid-canal {expected_mm:.0f} mm"
