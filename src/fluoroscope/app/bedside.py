"""At the bedside: how the patient breathes and bends, the marker on his skin, and what the page is told of both."""

import json
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fluoroscope.acquisition.clock import Clock
from fluoroscope.app.console import Console
from fluoroscope.app.room_scene import RoomScene
from fluoroscope.app.skin import Skin
from fluoroscope.geometry.pose import CArmPose
from fluoroscope.geometry.projection import ProjectionGeometry
from fluoroscope.geometry.rigid import Matrix, apply, inverse
from fluoroscope.geometry.table import patient_from_equipment
from fluoroscope.monitor.control import Asset, RefusedError

__all__ = ["Bedside"]

Vector = NDArray[np.float64]

MARKER, RULER = "marker", "ruler"
RULER_MM, RULER_ACROSS_MM = 300.0, 200.0
_RULER_OVER_MM = 1.0
_OVER_S = 2.0
_SAME_WAY = 1.0 - 1e-6
"""Cosine of a tenth of a degree."""
_LIFT_MM = 60.0
"""A marker is lifted so far off the skin before it is laid down beside where it was."""


class Bedside:
    """Carries out the page's commands at the patient who lies on the table, and tells how he is.

    Parameters
    ----------
    console
        Of the C-arm: where patient and table stand.
    clock
        The C-arm's: a scene's time is counted from when its patient was laid down.
    """

    COMMANDS = (
        "breathing",
        "bend",
        "marker_place",
        "marker_move",
        "marker_remove",
        "ruler_lay",
        "ruler_take",
        "show_truth",
    )

    def __init__(self, console: Console, clock: Clock) -> None:
        self._console, self._clock = console, clock
        self._seen_by: Callable[[], ProjectionGeometry | None] = lambda: None

    def take(self, scene: RoomScene, began_ns: int) -> None:
        """Go on with another patient: his C-arm's scene began at ``began_ns``."""
        self.scene, self._began_ns = scene, began_ns
        self.skin = Skin(scene.patient.volume)
        self._held_since_s: float | None = None
        self._bent = (0.0, 0.0)
        self._truth = False
        self._shape: bytes | None = None
        self._down: Vector | None = None
        self.lean()

    def lean(self) -> None:
        """Tell the scene which way is down: contrast medium runs there as table and patient lie now."""
        down: Vector = self.patient_from_equipment()[:3, :3] @ np.array([0.0, 1.0, 0.0])
        if self._down is None or float(self._down @ down) < _SAME_WAY:
            self._down = down
            self.scene.field.set_down(down, time_s=self.now_s)

    def look_through(self, seen_by: Callable[[], ProjectionGeometry | None]) -> None:
        """Take the geometry of the picture on LIVE from ``seen_by``; a place on it is a ray in the patient."""
        self._seen_by = seen_by

    @property
    def now_s(self) -> float:
        """The scene's time."""
        return max(0, self._clock.monotonic_ns() - self._began_ns) / 1e9

    @property
    def marker_mm(self) -> Vector | None:
        """(3,) the marker, LPS mm; None when there is none."""
        at = self.scene.field.markers(self.now_s).get(MARKER)
        return None if at is None else np.asarray(at)

    @property
    def carm_pose(self) -> CArmPose:
        """Where the C-arm stands."""
        return self._console.carm.pose

    @property
    def tells_truth(self) -> bool:
        """Whether the page is told what a real room does not know."""
        return self._truth

    # Commands: their names and arguments are those of docs/reference/page-protocol.md

    def breathing(self, *, mode: str) -> None:
        """Breathe, hold the breath or cough."""
        living = self._living()
        if mode == "breathe":
            living.breathe(self.now_s)
            self._held_since_s = None
        elif mode == "hold":
            living.hold_breath(self.now_s)
            self._held_since_s = self.now_s
        else:
            living.cough(self.now_s)

    def bend(self, *, flexion_deg: float | None = None, side_bend_deg: float | None = None) -> None:
        """Bend the spine; what is left out stays as it was last asked for."""
        living = self._living()
        if not self.scene.bends:
            raise RefusedError("this patient cannot bend: the discs of the spine are not known")
        flexion = self._bent[0] if flexion_deg is None else flexion_deg
        side = self._bent[1] if side_bend_deg is None else side_bend_deg
        living.bend(self.now_s, flexion, side, over_s=_OVER_S)
        self._bent = (flexion, side)

    def marker_place(self, **place: Any) -> None:
        """Lay the marker on the skin."""
        self._lay(self.skin_at(**place)[0])

    def marker_move(self, *, left_mm: float = 0.0, head_mm: float = 0.0) -> None:
        """Move the marker over the skin."""
        at = self.marker_mm
        if at is None:
            raise RefusedError("there is no marker: place it first")
        out = self.skin.outward(at)
        # Along the skin: to the left on a back that slopes goes down its slope.
        left, head = (_along_skin(way, out) for way in ((1.0, 0.0, 0.0), (0.0, 0.0, 1.0)))
        met = self.skin.met(at + left_mm * left + head_mm * head + _LIFT_MM * out, -out)
        if met is None:
            raise RefusedError("there is no skin: the marker stays where it is")
        self._lay(met)

    def marker_remove(self) -> None:
        """Take the marker away."""
        self.scene.field.unmark(MARKER)

    def ruler_lay(self, *, along: str = "spine", **place: Any) -> None:
        """Lay the ruler on the skin, its middle at a place, along the spine or across."""
        at, out = self.skin_at(**place)
        spine = along == "spine"
        way = _along_skin((0.0, 0.0, 1.0) if spine else (1.0, 0.0, 0.0), out)
        if not way.any():
            raise RefusedError(f"the ruler cannot lie {along} there: choose a flatter place", "along")
        length_mm = RULER_MM if spine else RULER_ACROSS_MM
        steps = np.arange(-0.5 * length_mm, 0.5 * length_mm + 1.0, 10.0)
        # Straight and stiff, it lies on what is highest under it.
        over = max(self._height(at + step * way, out) for step in steps)
        middle = at + (over + _RULER_OVER_MM) * out
        half = 0.5 * length_mm * way
        self.scene.field.lay_ruler(middle - half, middle + half, name=RULER)

    def ruler_take(self) -> None:
        """Take the ruler away."""
        self.scene.field.take_ruler(RULER)

    def _height(self, at: Vector, out: Vector) -> float:
        """Return how far the skin rises over ``at`` along ``out``; minus infinity where there is none."""
        met = self.skin.met(at + _LIFT_MM * out, -out)
        return -np.inf if met is None else float((met - at) @ out)

    def show_truth(self, *, on: bool) -> None:
        """Teach: tell what a real room does not know, or stop telling it."""
        self._truth = on

    def skin_at(
        self,
        *,
        picture: Mapping[str, float] | None = None,
        ray: Mapping[str, list[float]] | None = None,
        position_mm: list[float] | None = None,
    ) -> tuple[Vector, Vector]:
        """Return the skin's point that a place of the protocol means, and the way out of the body there."""
        if sum(one is not None for one in (picture, ray, position_mm)) > 1:
            raise RefusedError("name one place: picture, ray or position_mm")
        if position_mm is not None:
            at = np.asarray(position_mm)
            return at, self.skin.outward(at)
        if ray is not None:
            placed = self.patient_from_equipment()
            start, toward = (apply(placed, ray[key]) for key in ("from_mm", "toward_mm"))
            if not np.linalg.norm(toward - start) > 0.0:
                raise RefusedError("ray: from_mm and toward_mm must differ")
            way = toward - start
        else:
            start, way = self._picture_ray(picture or {"row": 0.5, "col": 0.5})
        met = self.skin.met(start, way)
        if met is None:
            raise RefusedError("there is no skin there: point at the patient")
        return met, self.skin.outward(met)

    def toward_source(self, at_mm: Vector) -> Vector:
        """Return the unit direction along the beam from the detector's side through ``at_mm``."""
        way = self._geometry().source_mm - at_mm
        along: Vector = way / np.linalg.norm(way)
        return along

    # What the page is told

    def equipment(self, points_mm: Any) -> list[Any]:
        """Return patient points (..., 3) in the equipment frame, JSON-ready."""
        told: list[Any] = apply(inverse(self.patient_from_equipment()), points_mm).round(2).tolist()
        return told

    def movement(self) -> dict[str, Any] | None:
        """Return how the patient moves now; None for one who cannot."""
        living = self.scene.living
        if living is None:
            return None
        now_s = self.now_s
        told = living.status(now_s)
        held = self._held_since_s
        extension, flexion, side = living.bend_limits_deg if self.scene.bends else (0.0, 0.0, 0.0)
        bends = self.scene.bends
        return {
            "breathing": ("breathe" if held is None else "hold") if self.scene.breathes else None,
            "breath_phase": round(told["breath_phase"], 3),
            "coughing": told["coughing"],
            "held_s": None if held is None else round(now_s - held, 1),
            "flexion_deg": round(told["flexion_deg"], 1) if bends else None,
            "side_bend_deg": round(told["side_bend_deg"], 1) if bends else None,
            "limits": {
                "flexion_deg": [extension, flexion] if bends else None,
                "side_bend_deg": [-side, side] if bends else None,
            },
        }

    def status(self) -> dict[str, Any]:
        """Return the parts of the status that belong to the bedside."""
        marker, ruler = self.marker_mm, self.scene.field.rulers.get(RULER)
        return {
            "marker": None
            if marker is None
            else {"position_mm": self.equipment(marker), "picture": self._seen(marker)},
            "ruler": None if ruler is None else {"ends_mm": self.equipment(ruler)},
            "teaching": {"show_truth": self._truth},
        }

    def shape(self) -> Asset:
        """Return ``shape.json``: outlines of the skin and the vertebrae, about the point at the isocentre."""
        if self._shape is None:
            patient = self.scene.patient
            about = patient.reference_mm
            spine = [
                {"name": name, "position_mm": (np.asarray(at) - about).round(1).tolist()}
                for name, at in self.scene.vertebrae().items()
            ]
            content = {"uid": patient.record.name, "skin": self.skin.outlines(about), "spine": spine}
            self._shape = json.dumps(content).encode()
        return Asset(self._shape, "application/json")

    # Inner works

    def _living(self) -> Any:
        if self.scene.living is None:
            raise RefusedError("this patient lies still: no parts of him are known that could move")
        return self.scene.living

    def _lay(self, at: Vector) -> None:
        out = self.skin.outward(at)
        self.scene.field.mark(at + _LIFT_MM * out, -out, time_s=self.now_s, name=MARKER)

    def patient_from_equipment(self) -> Matrix:
        """Return (4, 4) from the equipment frame to patient coordinates, as the table stands now."""
        carm = self._console.carm
        return patient_from_equipment(carm.table, carm.position, carm.setup.reference_mm)

    def _geometry(self) -> ProjectionGeometry:
        seen = self._seen_by()
        return seen if seen is not None else self._console.carm.beam.geometry

    def _seen(self, at: Vector) -> dict[str, float] | None:
        """Return where a point lies on LIVE, in fractions of the picture as it was taken; None beside it."""
        geometry = self._seen_by()
        if geometry is None:
            return None
        row, column, weight = geometry.pixel_from_world @ np.append(at, 1.0)
        if weight <= 0.0:
            return None
        grid = geometry.grid
        spot = {"row": (row / weight + 0.5) / grid.rows, "col": (column / weight + 0.5) / grid.columns}
        inside = all(0.0 <= one <= 1.0 for one in spot.values())
        return {name: round(float(one), 4) for name, one in spot.items()} if inside else None

    def _picture_ray(self, spot: Mapping[str, float]) -> tuple[Vector, Vector]:
        """Return where the ray through a place of the picture leaves the detector, and its way to the source."""
        geometry = self._geometry()
        pixel = np.array([spot["row"] * geometry.grid.rows - 0.5, spot["col"] * geometry.grid.columns - 0.5, 1.0])
        ray = geometry.source_to_detector_mm * (geometry.direction_from_pixel @ pixel)
        return geometry.source_mm + ray, -ray


def _along_skin(way: tuple[float, float, float], out: Vector) -> Vector:
    """Return the unit vector in the plane of the skin that goes most nearly ``way``."""
    flat = np.asarray(way) - (np.asarray(way) @ out) * out
    length = float(np.linalg.norm(flat))
    return flat / length if length > 0.05 else np.zeros(3)
