"""The hand on needle and syringe: the page's commands, and what the hand feels and sees."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fluoroscope.app.bedside import Bedside
from fluoroscope.geometry.pose import beam_axes
from fluoroscope.monitor.control import Asset, RefusedError
from fluoroscope.patient.instruments.catalogue import CATALOGUE, Instrument
from fluoroscope.patient.instruments.field import OperatingField
from fluoroscope.patient.instruments.needle import NeedleTruth
from fluoroscope.patient.instruments.resistance import BONE_STOP_N

__all__ = ["HubSigns", "NeedleHand"]

Vector = NDArray[np.float64]

NEEDLE, CATHETER = "needle", "catheter"
FIRST_CHOICE = "spinal-22G-89"
_LOSSES = ("loss of resistance", "dural puncture")
_GROUPS = {
    "spinal": "Spinal needles",
    "introducer": "Introducers",
    "epidural": "Epidural needles",
    "wire": "Wires",
    "trocar": "Trocars",
}
"""What is put in through the skin by hand; a catheter or lead goes through a needle."""
_RETURNS = {"CSF": "csf", "blood": "blood", "CSF and blood": "blood"}
_READ_STEP_MM = 5.0
_BACK_MM = 60.0
"""A needle's line begins so far outside, that it meets the skin of a patient who has breathed since."""


@dataclass(frozen=True, slots=True)
class HubSigns:
    """What is seen at the hub without X-ray: what drips out, and whether the stylet is in."""

    returns: str | None
    stylet_in: bool


class NeedleHand:
    """One needle in the patient of a bedside, and one syringe on it.

    Parameters
    ----------
    bedside
        Of the patient; his scene holds the needle.
    """

    COMMANDS = ("needle_place", "needle_move", "needle_stylet", "needle_remove", "inject", "inject_stop")

    def __init__(self, bedside: Bedside) -> None:
        self._bedside = bedside
        self._planned: Callable[[], tuple[str, Vector, Vector]] | None = None
        self._of: object = None
        self._turned_deg = 0.0
        self._stopped = ""
        self._syringe: tuple[float, float, float, float] | None = None

    def follow_plan(self, planned: Callable[[], tuple[str, Vector, Vector]]) -> None:
        """Take needle type, entry and direction (LPS) of the plan chosen from ``planned`` when asked to place there."""
        self._planned = planned

    # Commands: their names and arguments are those of docs/reference/page-protocol.md

    def needle_place(
        self, *, type: str, at_marker: bool = False, toward: str | list[float] = "beam", **place: Any
    ) -> None:
        """Set a needle on the skin; the one that was in is taken out."""
        if isinstance(toward, str) and toward == "plan":
            self._place_at_plan(type)
            return
        if type not in CATALOGUE or CATALOGUE[type].kind not in _GROUPS:
            raise RefusedError(f"needle {type!r}: there is none of this name; choose one of the list", "type")
        bedside = self._bedside
        if at_marker:
            marker = bedside.marker_mm
            if marker is None:
                raise RefusedError("there is no marker: place it first")
            entry, out = marker, bedside.skin.outward(marker)
        else:
            entry, out = bedside.skin_at(**place)
        if toward == "beam":
            way = bedside.toward_source(entry)
        else:
            way = -out if isinstance(toward, str) else np.asarray(toward, dtype=np.float64)
        length = float(np.linalg.norm(way))
        if length == 0.0:
            raise RefusedError("toward: a direction needs a length", "toward")
        way = way / length
        self._set(type, entry, way)

    def _place_at_plan(self, type: str) -> None:
        """Set the plan's own needle, or another type, at its entry along its path."""
        if self._planned is None:
            raise RefusedError("nothing is planned here", "toward")
        planned, entry, way = self._planned()
        chosen = planned if type == "plan" else type
        if chosen not in CATALOGUE:
            raise RefusedError(f"needle {type!r}: there is none of this name; choose one of the list", "type")
        self._set(chosen, entry, way)

    def _set(self, type: str, entry: Vector, way: Vector) -> None:
        if CATHETER in self._field.names:
            raise RefusedError("take the catheter out before another needle is placed")
        self._field.add(type, entry - _BACK_MM * way, way, time_s=self._bedside.now_s, name=NEEDLE)
        self._forget()

    def needle_move(
        self,
        *,
        advance_mm: float = 0.0,
        steer_x_deg: float = 0.0,
        steer_y_deg: float = 0.0,
        rotate_deg: float = 0.0,
    ) -> dict[str, Any]:
        """Turn, swing, then push the needle; what stops it is told."""
        field, state = self._field, self._state()
        if rotate_deg:
            field.rotate(rotate_deg, name=NEEDLE)
            self._turned_deg = (self._turned_deg + rotate_deg) % 360.0
        if steer_x_deg or steer_y_deg:
            left_deg, head_deg = self._tip_way(np.asarray(state.direction), steer_x_deg, steer_y_deg)
            field.steer(left_deg, head_deg, name=NEEDLE)
        if advance_mm:
            gone = field.advance(advance_mm, time_s=self._bedside.now_s, name=NEEDLE)
            self._stopped = gone.stopped_by if advance_mm > 0.0 else ""
            return {"moved_mm": gone.moved_mm, "stopped_by": gone.stopped_by}
        return {}

    def needle_stylet(self, *, inside: bool) -> None:
        """Put the stylet in or take it out."""
        self._state()
        self._field.set_stylet(inside, name=NEEDLE)

    def needle_remove(self) -> None:
        """Take the needle out, over the catheter when one is through it; contrast medium stays where it went."""
        self._state()
        if CATHETER not in self._field.names:
            self._field.stop_injection(time_s=self._bedside.now_s)
            self._syringe = None
        self._field.remove(NEEDLE)
        self._turned_deg, self._stopped = 0.0, ""

    def inject(self, *, volume_ml: float, concentration_mgi_ml: float, rate_ml_s: float) -> None:
        """Press the syringe: contrast medium flows from now on, out of the catheter when one is in."""
        outlet = CATHETER if CATHETER in self._field.names else NEEDLE
        if outlet == NEEDLE:
            self._state()
        now_s = self._bedside.now_s
        self._field.inject(volume_ml, concentration_mgi_ml, rate_ml_s, time_s=now_s, name=outlet)
        self._syringe = (now_s, volume_ml, concentration_mgi_ml, rate_ml_s)

    def inject_stop(self) -> None:
        """Let go of the syringe."""
        if self._syringe is None:
            return
        now_s = self._bedside.now_s
        begun_s, volume_ml, concentration, rate = self._syringe
        self._field.stop_injection(time_s=now_s)
        self._syringe = (begun_s, min(volume_ml, rate * (now_s - begun_s)), concentration, rate)

    # What the page is told

    @staticmethod
    def kinds() -> Asset:
        """Return ``needles.json``: what can be put in."""
        kinds = [
            {
                "name": kind.name,
                # The group says what it is; a narrow list has room for the rest.
                "label": kind.title.removeprefix("spinal needle "),
                "length_mm": kind.length_mm,
                "bore_mm": kind.bore_mm,
                "group": _GROUPS[kind.kind],
            }
            for kind in CATALOGUE.values()
            if kind.kind in _GROUPS
        ]
        preferred = sorted(kinds, key=lambda kind: kind["name"] != FIRST_CHOICE)
        return Asset(json.dumps(preferred).encode(), "application/json")

    @property
    def needle_in(self) -> bool:
        """Whether a needle is in the patient."""
        return NEEDLE in self._field.names

    @property
    def something_in(self) -> str:
        """What is in the patient, in a word: "needle", "catheter", or "" for nothing."""
        return next((name for name in (NEEDLE, CATHETER) if name in self._field.names), "")

    def status(self) -> dict[str, Any]:
        """Return the parts of the status that belong to needle and syringe."""
        return {"needle": self._told(), "contrast": self._medium()}

    def hub_signs(self) -> HubSigns:
        """Return what is seen at the hub; raises `RefusedError` when no needle is in."""
        state = self._state()
        return HubSigns(_RETURNS.get(state.returns), bool(state.stylet))

    def read_depth_mm(self) -> float:
        """Return the depth as a hand reads it off the shaft's marks at the skin, 5 mm apart.

        The needle's length less what stands out of the skin, that to the nearest mark: what a hand can read in a
        real patient too.
        """
        state = self._state()
        length_mm = CATALOGUE[state.type].length_mm
        outside_mm = length_mm - state.depth_mm
        return float(length_mm - _READ_STEP_MM * round(outside_mm / _READ_STEP_MM))

    def _told(self) -> dict[str, Any] | None:
        if not self.needle_in:
            return None
        state = self._state()
        kind: Instrument = CATALOGUE[state.type]
        returns = _RETURNS.get(state.returns)
        equipment = self._bedside.equipment
        path = equipment(state.path_mm)
        truth = {"tissue": state.tissue, "structure": state.structure, "force_n": round(float(state.force_n), 2)}
        return {
            "type": state.type,
            "label": kind.title,
            "length_mm": kind.length_mm,
            "depth_mm": round(state.depth_mm, 2),
            "stylet_in": state.stylet if kind.has_stylet else None,
            "rotation_deg": round(self._turned_deg, 1),
            "entry_mm": equipment(state.entry_mm),
            "tip_mm": equipment(state.tip_mm),
            "hub_mm": path[0],
            "path_mm": path,
            "resistance": round(min(1.0, float(state.force_n) / BONE_STOP_N), 3),
            "losses": sum(event.what in _LOSSES for event in state.events),
            "returns": returns,
            "blocked": f"{self._stopped} stops it" if self._stopped else None,
            "truth": truth if self._bedside.tells_truth else None,
        }

    def _medium(self) -> dict[str, Any] | None:
        if self._syringe is None:
            return None
        now_s = self._bedside.now_s
        begun_s, volume_ml, concentration, rate = self._syringe
        given_ml = min(volume_ml, rate * (now_s - begun_s))
        truth = None
        if self._bedside.tells_truth:
            _, places = self._field.truth(now_s)
            truth = {one["pattern"]: round(one["injected_ml"], 3) for one in places.values()}
        return {
            "injecting": given_ml < volume_ml,
            "given_ml": round(given_ml, 3),
            "asked_ml": volume_ml,
            "concentration_mgi_ml": concentration,
            "rate_ml_s": rate,
            "truth": truth,
        }

    # Inner works

    @property
    def _field(self) -> OperatingField:
        field = self._bedside.scene.field
        if self._of is not field:
            # Another patient lies there: nothing of the hand's memory is about him.
            self._of = field
            self._forget()
        return field

    def _state(self) -> NeedleTruth:
        needles, _ = self._field.truth(self._bedside.now_s)
        found = next((needle for needle in needles if needle.name == NEEDLE), None)
        if found is None:
            raise RefusedError("there is no needle in: place it first")
        return found

    def _forget(self) -> None:
        self._turned_deg = 0.0
        self._stopped = ""
        self._syringe = None

    def _tip_way(self, along: Vector, hub_right_deg: float, hub_up_deg: float) -> tuple[float, float]:
        """Return by how much the tip goes to the patient's left and head when the hub swings as the picture shows it.

        The needle turns about the skin: the tip goes the other way than the hub. What of the swing lies along the
        needle does nothing.
        """
        axes = beam_axes(self._bedside.carm_pose)
        turned = self._bedside.patient_from_equipment()[:3, :3]
        way = -hub_right_deg * (turned @ axes.u) + hub_up_deg * (turned @ axes.v)
        head = np.array([0.0, 0.0, 1.0]) if abs(along[2]) < 0.9 else np.array([0.0, 1.0, 0.0])
        head = head - (head @ along) * along
        head /= np.linalg.norm(head)
        left = np.cross(head, along)
        # As `Needle.steer` counts: toward the left, from the side toward the back.
        left = left if (left[0] if abs(left[0]) > 0.3 else left[1]) >= 0.0 else -left
        return float(way @ left), float(way @ head)
