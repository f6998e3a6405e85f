"""A needle, wire, catheter or lead in the hand: how it goes through tissue, and what it knows of itself."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fluoroscope.geometry.rigid import Matrix, apply, inverse, rotation
from fluoroscope.patient.instruments.catalogue import Instrument
from fluoroscope.patient.instruments.resistance import (
    BONE_STOP_N,
    cutting_n,
    friction_n_per_mm,
    puncture_n,
    turning,
)
from fluoroscope.patient.instruments.shaft import InPlace, piece
from fluoroscope.patient.instruments.tissue_probe import Tissue, TissueProbe
from fluoroscope.patient.parts import REST
from fluoroscope.patient.scene import Point

__all__ = ["Advance", "Needle", "NeedleEvent", "NeedleTruth"]

Float = NDArray[np.float64]
Frames = Mapping[str, Matrix] | None
STEP_MM = 0.25
SMOOTH_MM = 0.8
"""Path over which the force follows a change of tissue (tissue gives before it is cut; unverified)."""
FREE_MM = 20.0
"""Depth at which half of an angulation still turns the whole needle about its entry (unverified)."""


@dataclass(frozen=True, slots=True)
class Advance:
    """What became of a push: how far the tip went, and what stopped it ("" when nothing did)."""

    moved_mm: float
    stopped_by: str = ""
    structure: str = ""


@dataclass(frozen=True, slots=True)
class NeedleEvent:
    """Something the hand feels: "skin", "loss of resistance", "dural puncture", "bone contact" and the like."""

    what: str
    depth_mm: float
    force_n: float
    structure: str = ""


@dataclass(frozen=True, slots=True)
class NeedleTruth:
    """What an instrument knows of itself at one moment, world mm.

    Attributes
    ----------
    name, type
        As put in, and of the catalogue.
    entry_mm, tip_mm, opening_mm
        Where it goes through the skin, its tip, the middle of its opening.
    direction
        Of the tip, unit.
    depth_mm
        Path from skin to tip.
    tissue, structure
        What the tip is in.
    opening_tissue
        What the opening is in.
    force_n
        That the hand feels.
    stylet
        Whether it is in.
    bend_mm
        How far the tip lies from the line it was put in on.
    bevel
        Unit, the way the bevel or side hole looks.
    returns
        "CSF", "blood", "CSF and blood" or "": what drips from the hub.
    frame
        What carries it.
    path_mm
        From hub to tip, at most 24 points.
    events
        In order.
    beyond_mm
        Of a catheter or lead: how far it is out of the needle it lies in.
    """

    name: str
    type: str
    entry_mm: Point
    tip_mm: Point
    opening_mm: Point
    direction: Point
    depth_mm: float
    tissue: str
    structure: str
    opening_tissue: str
    force_n: float
    stylet: bool
    bend_mm: float
    bevel: Point
    returns: str
    frame: str
    path_mm: tuple[Point, ...]
    events: tuple[NeedleEvent, ...]
    beyond_mm: float


class Needle:
    """One instrument in one patient, kept where the patient rests and carried by the frame its tip lies in.

    Not for several threads; `OperatingField` guards it.

    Parameters
    ----------
    kind
        What it is.
    probe
        The patient's tissue.
    name
        What it is called.
    """

    def __init__(self, kind: Instrument, probe: TissueProbe, name: str = "needle") -> None:
        self.kind, self.name = kind, name
        self.frame = REST
        self.stylet = kind.has_stylet
        self._probe = probe
        self._path = np.zeros((1, 3))
        self._direction, self._bevel = np.array([0.0, -1.0, 0.0]), np.array([0.0, 0.0, 1.0])
        self._first_direction = self._direction
        self._entry = np.zeros(3)
        self._tip_force = 0.0
        self._drag = 0.0
        self._deepest_mm = 0.0
        self._flavum_mm = -np.inf
        self._events: list[NeedleEvent] = []
        self._space = ""
        self._channel: tuple[Float, Float] | None = None
        """Of a catheter or lead: the path (n, 3) through the needle it lies in and the way out; None without one."""

    # Commands

    def place(self, entry_mm: ArrayLike, direction: ArrayLike, frames: Frames = None) -> None:
        """Set the tip on the skin where a line through ``entry_mm`` (3,) enters the patient.

        Raises
        ------
        ValueError
            When the line misses him or the direction has no length.
        """
        along = np.asarray(direction, dtype=np.float64)
        length = float(np.linalg.norm(along))
        if not np.isfinite(along).all() or length == 0.0:
            raise ValueError("the needle's direction has no length: give the way from the skin to the target")
        rest = self._probe.rest_of(entry_mm, frames)
        ahead = self._probe.rest_of(np.asarray(entry_mm) + 10.0 * along / length, frames)
        along = (ahead - rest) / np.linalg.norm(ahead - rest)
        skin = self._probe.skin_on(rest, along)
        if skin is None:
            raise ValueError("the needle's line misses the patient: give an entry on him and a direction into him")
        self._start(skin, along)
        self.frame = self._probe.frame_of(skin)

    def thread(self, path_mm: Float, direction: Float, frame: str) -> None:
        """Bring a flexible instrument through a needle: it comes out at the end of ``path_mm`` (n, 3), at rest."""
        self._start(path_mm[0], direction)
        self._path = path_mm.copy()
        self._channel = (path_mm.copy(), direction)
        self._deepest_mm = self.depth_mm
        self.frame = frame
        self._space = self._probe.at_rest(path_mm[-1]).tissue

    def unsheathe(self) -> None:
        """Go on without the needle it came through: it was taken out over it."""
        self._channel = None

    def advance(self, by_mm: float, frames: Frames = None) -> Advance:
        """Push by so much, or pull when negative; say how far the tip went and what stopped it."""
        if not np.isfinite(by_mm):
            raise ValueError("a needle's advance must be a finite number of mm")
        if by_mm < 0.0:
            return self.withdraw(-by_mm)
        gone, stop, where = 0.0, "", ""
        while gone < by_mm - 1e-9:
            step = min(STEP_MM, by_mm - gone)
            if (inside := -self.beyond_mm) > 1e-9:
                step = min(step, inside)
                self._follow_channel(step)
                gone += step
                continue
            if self.depth_mm + step > self.kind.length_mm:
                stop = "hub at the skin" if self.kind.has_hub else "end of the wire at the skin"
                break
            if (blocked := self._push(step)) is not None:
                stop, where = blocked.tissue, blocked.structure
                break
            gone += step
        self._carry(frames)
        return Advance(gone, stop, where)

    def withdraw(self, by_mm: float) -> Advance:
        """Pull by so much along the path it came, at most to the skin."""
        kept = max(self.depth_mm - by_mm, 0.0)
        gone = self.depth_mm - kept
        self._path = _upto(self._path, kept)
        if len(self._path) > 1:
            last = self._path[-1] - self._path[-2]
            self._direction = last / np.linalg.norm(last)
        else:
            self._direction = self._first_direction
        self._square_bevel()
        self._tip_force = 0.0
        self._drag = self._drag_along()
        return Advance(gone, "" if gone >= by_mm - 1e-9 else "the skin")

    def steer(self, left_deg: float, head_deg: float) -> None:
        """Angulate the hub so that the tip goes to the patient's left and head.

        Near the surface the whole needle turns about its entry; the deeper it lies, the less it turns and the more
        its tip alone is bent (share 1/(1 + (depth/20 mm)²): unverified).
        """
        if not (abs(left_deg) <= 60.0 and abs(head_deg) <= 60.0):
            raise ValueError(f"steer by {left_deg:g} and {head_deg:g} deg: choose −60 to 60")
        left, head = self._across()
        wanted = self._direction + np.tan(np.deg2rad(left_deg)) * left + np.tan(np.deg2rad(head_deg)) * head
        wanted /= np.linalg.norm(wanted)
        axis = np.cross(self._direction, wanted)
        size = float(np.linalg.norm(axis))
        if size < 1e-12:
            return
        angle = float(np.degrees(np.arctan2(size, self._direction @ wanted)))
        free = 1.0 / (1.0 + (self.depth_mm / FREE_MM) ** 2)
        angle *= self._share_beside_bone(axis, free * angle)
        self._path = apply(rotation(axis, free * angle, self._path[0]), self._path)
        # The way ahead is another: what lies on it has not been met, however deep the needle was before.
        self._deepest_mm = min(self._deepest_mm, self.depth_mm)
        self._direction = rotation(axis, (free + 0.15 * (1.0 - free)) * angle)[:3, :3] @ self._direction
        if self.depth_mm < 1.0:
            self._first_direction = self._direction
        self._square_bevel()

    def rotate(self, by_deg: float) -> None:
        """Turn about the axis, clockwise seen from the hub when positive; the bevel turns with it."""
        self._bevel = rotation(self._direction, by_deg)[:3, :3] @ self._bevel
        self._square_bevel()

    def set_stylet(self, inside: bool) -> None:
        """Put the stylet in or take it out.

        Raises
        ------
        ValueError
            When the instrument has none.
        """
        if not self.kind.has_stylet:
            raise ValueError(f"{self.kind.name} has no stylet")
        self.stylet = inside

    # What it is like

    @property
    def depth_mm(self) -> float:
        """Path from skin to tip."""
        return _length(self._path)

    @property
    def beyond_mm(self) -> float:
        """How far a catheter or lead is out of the needle it lies in, negative inside it; its depth without one."""
        return self.depth_mm - (0.0 if self._channel is None else _length(self._channel[0]))

    @property
    def force_n(self) -> float:
        """Force the hand feels while pushing."""
        return self._tip_force + self._drag

    def rest_path(self) -> Float:
        """Return (n, 3) from hub to tip where the patient rests."""
        outside = self.kind.length_mm - self.depth_mm
        first = self._path[1] - self._path[0] if len(self._path) > 1 else self._direction
        first = first / np.linalg.norm(first)
        outside = min(outside, 120.0) if self.kind.flexible else outside
        hub = self._path[0] - max(outside, 0.01) * first
        return np.concatenate([hub[None], self._path if len(self._path) > 1 else self._path[:1]])

    def opening(self) -> Float:
        """Return the middle of the opening (3,) where the patient rests; the tip of what has none."""
        path = self.rest_path()
        back = self.kind.opening_mm
        middle = piece(path, back, back + 0.5)[-1] if back else path[-1]
        if self.kind.tip in ("whitacre", "sprotte"):
            middle = middle + self.kind.outer_mm / 2.0 * self._bevel
        return np.asarray(middle, dtype=np.float64)

    def channel(self) -> tuple[Float, Float]:
        """Return the path (n, 3) from skin to opening and the way out of it, where the patient rests."""
        path = _upto(self._path, max(self.depth_mm - self.kind.opening_mm, 0.0))
        out = self._direction
        if self.kind.tip == "tuohy":
            out = out + 0.5 * self._bevel
        return path, out / np.linalg.norm(out)

    def in_place(self, frames: Frames = None) -> InPlace:
        """Return it as it lies in the patient moved by ``frames``."""
        carried = self._carrier(frames)
        return InPlace(self.kind, apply(carried, self.rest_path()), carried[:3, :3] @ self._bevel, self.stylet)

    def state(self, frames: Frames = None) -> NeedleTruth:
        """Return what it knows of itself in the patient moved by ``frames``."""
        carried = self._carrier(frames)
        at_tip, at_opening = self._probe.at_rest(self._path[-1]), self._probe.at_rest(self.opening())
        path = self.rest_path()
        thin = path[np.unique(np.linspace(0, len(path) - 1, 24).astype(int))]
        off = self._path[-1] - self._path[0]
        off = off - (off @ self._first_direction) * self._first_direction
        return NeedleTruth(
            self.name, self.kind.name, _point(apply(carried, self._path[0])), _point(apply(carried, self._path[-1])),
            _point(apply(carried, self.opening())), _point(carried[:3, :3] @ self._direction), self.depth_mm,
            at_tip.tissue, at_tip.structure, at_opening.tissue, self.force_n, self.stylet,
            float(np.linalg.norm(off)), _point(carried[:3, :3] @ self._bevel), self._returns(at_opening), self.frame,
            tuple(_point(one) for one in apply(carried, thin)), tuple(self._events), self.beyond_mm,
        )  # fmt: skip

    def status(self, frames: Frames = None) -> dict[str, Any]:
        """Return `state` JSON-ready."""
        return asdict(self.state(frames))

    # Inner works

    def _start(self, entry: Float, direction: Float) -> None:
        self._path, self._entry = entry[None].copy(), entry.copy()
        self._direction = self._first_direction = direction / np.linalg.norm(direction)
        head = np.array([0.0, 0.0, 1.0])
        self._bevel = head if abs(self._direction[2]) < 0.9 else np.array([0.0, 1.0, 0.0])
        self._square_bevel()
        self._tip_force = self._drag = self._deepest_mm = 0.0
        self._flavum_mm = -np.inf
        self._events, self._channel, self._space = [], None, ""

    def _push(self, step: float) -> Tissue | None:
        """Go one step; return what stops it, if something does."""
        here = self._probe.at_rest(self._path[-1])
        if self.kind.flexible and not self._find_way(step):
            return Tissue("end of the space", here.structure, here.label, here.hu)
        there = self._path[-1] + step * self._direction
        tissue = self._probe.at_rest(there)
        if tissue.tissue == "metal" or (tissue.tissue == "bone" and not self.kind.enters_bone):
            self._tip_force = BONE_STOP_N
            self._happen("bone contact" if tissue.tissue == "bone" else "metal contact", tissue.structure)
            return tissue
        self._path = np.concatenate([self._path, there[None]])
        self._feel(here, tissue, step)
        turn = turning(self.kind, tissue.tissue) * step
        if turn:
            self._direction = self._direction - turn * self._bevel
            self._direction /= np.linalg.norm(self._direction)
            self._square_bevel()
        return None

    def _feel(self, here: Tissue, there: Tissue, step: float) -> None:
        """Let the force follow the tissue, and note the membranes that give way for the first time."""
        cutting = cutting_n(self.kind, there.tissue, there.structure)
        self._tip_force += (cutting - self._tip_force) * (1.0 - np.exp(-step / SMOOTH_MM))
        self._drag += friction_n_per_mm(self.kind, there.tissue) * step
        depth = self.depth_mm
        if depth <= self._deepest_mm:
            return
        self._deepest_mm = depth
        if len(self._path) == 2:
            self._happen("skin", "skin", puncture_n(self.kind, "skin"))
        if there.structure == "ligamentum_flavum":
            self._flavum_mm = depth
        if here.tissue == there.tissue and here.structure == there.structure:
            return
        # A gap of a voxel between ligament and epidural fat is one of the label map.
        if depth - self._flavum_mm < 2.5 and there.tissue in ("epidural space", "CSF", "vessel", "fat"):
            self._happen("loss of resistance", "ligamentum_flavum", puncture_n(self.kind, "ligamentum flavum"))
            self._flavum_mm = -np.inf
        if there.tissue == "CSF" and here.tissue not in ("CSF", "nerve root", "cord"):
            self._happen("dural puncture", there.structure, puncture_n(self.kind, "dura") + self._drag)
        words = {
            "vessel": "vessel entered", "nerve root": "paraesthesia", "cord": "cord touched", "disc": "disc entered",
            "bowel": "bowel entered", "bone": "bone entered", "fetus": "uterus entered", "organ": "organ entered",
            "lung": "lung entered", "facet joint": "joint entered",
        }  # fmt: skip
        if there.tissue in words and there.tissue != here.tissue:
            self._happen(words[there.tissue], there.structure)

    def _happen(self, what: str, structure: str, force_n: float | None = None) -> None:
        force = self.force_n if force_n is None else force_n
        last = self._events[-1] if self._events else None
        event = NeedleEvent(what, self.depth_mm, float(force), structure)
        if last is not None and last.what == what and abs(last.depth_mm - event.depth_mm) < 0.5:
            self._events[-1] = event
        else:
            self._events.append(event)

    def _find_way(self, step: float) -> bool:
        """Turn a flexible tip so that it stays in its space, as little as will do; False when it cannot."""
        left, head = self._across()
        best, best_score = None, 0.0
        for around in range(17):
            tilt = 0.0 if around == 0 else (0.05 if around <= 8 else 0.3) * step / STEP_MM
            spin = np.pi / 4.0 * around
            way = np.cos(tilt) * self._direction + np.sin(tilt) * (np.cos(spin) * left + np.sin(spin) * head)
            ahead = self._path[-1] + np.arange(1, 13)[:, None] * 0.5 * way
            free = [self._probe.at_rest(point).tissue == self._space for point in ahead]
            run = next((n for n, inside in enumerate(free) if not inside), len(free))
            score = run - 4.0 * tilt
            if run and score > best_score:
                best, best_score = way, score
        if best is None:
            return False
        self._direction = best / np.linalg.norm(best)
        self._square_bevel()
        return True

    def _across(self) -> tuple[Float, Float]:
        """Return unit vectors across the tip: toward the patient's left (or back, from the side), and the head."""
        along = self._direction
        head = np.array([0.0, 0.0, 1.0]) if abs(along[2]) < 0.9 else np.array([0.0, 1.0, 0.0])
        head = head - (head @ along) * along
        head /= np.linalg.norm(head)
        left = np.cross(head, along)
        sign = left[0] if abs(left[0]) > 0.3 else left[1]
        return (left if sign >= 0.0 else -left), head

    def _square_bevel(self) -> None:
        bevel = self._bevel - (self._bevel @ self._direction) * self._direction
        self._bevel = bevel / np.linalg.norm(bevel)

    def _share_beside_bone(self, axis: Float, angle_deg: float) -> float:
        """Return the share of a swing that leaves the tip beside bone: what cannot be pushed in is not swung in."""
        barred = ("metal",) if self.kind.enters_bone else ("bone", "metal")
        for share in (1.0, 0.75, 0.5, 0.25, 0.1):
            tip = apply(rotation(axis, share * angle_deg, self._path[0]), self._path[-1])
            met = self._probe.at_rest(tip)
            if met.tissue not in barred:
                return share
            self._tip_force = BONE_STOP_N
            self._happen("bone contact" if met.tissue == "bone" else "metal contact", met.structure)
        return 0.0

    def _follow_channel(self, step: float) -> None:
        """Go one step inside the needle, at most to its opening."""
        if self._channel is None:
            return
        path, way_out = self._channel
        self._path = _upto(path, self.depth_mm + step)
        self._direction = way_out
        self._square_bevel()

    def _drag_along(self) -> float:
        steps = np.linalg.norm(np.diff(self._path, axis=0), axis=1)
        return sum(
            friction_n_per_mm(self.kind, self._probe.at_rest(point).tissue) * float(step)
            for point, step in zip(self._path[1:], steps, strict=True)
        )

    def _carry(self, frames: Frames) -> None:
        """Hand it over to the frame its tip lies in now, without a jump."""
        frame = self._probe.frame_of(self._path[-1])
        if frame == self.frame:
            return
        if frames:
            old, new = frames.get(self.frame, np.eye(4)), frames.get(frame, np.eye(4))
            moved = inverse(new) @ old
            self._path = apply(moved, self._path)
            turn = moved[:3, :3]
            self._direction, self._bevel = turn @ self._direction, turn @ self._bevel
            self._first_direction = turn @ self._first_direction
            if self._channel is not None:
                self._channel = (apply(moved, self._channel[0]), turn @ self._channel[1])
        self.frame = frame

    def _carrier(self, frames: Frames) -> Matrix:
        return np.eye(4) if not frames else frames.get(self.frame, frames.get(REST, np.eye(4)))

    def _returns(self, at_opening: Tissue) -> str:
        open_bore = self.kind.bore_mm > 0.0 and not self.stylet and not self.kind.flexible
        if not open_bore or len(self._path) < 2:
            return ""
        if at_opening.tissue in ("CSF", "nerve root") and at_opening.structure.startswith(("cerebro", "cauda")):
            traumatic = any(event.what == "vessel entered" for event in self._events)
            return "CSF and blood" if traumatic else "CSF"
        if at_opening.tissue == "CSF":
            return "CSF"
        return "blood" if at_opening.tissue == "vessel" else ""


def _point(values: Float) -> Point:
    return (float(values[0]), float(values[1]), float(values[2]))


def _length(path: Float) -> float:
    return float(np.linalg.norm(np.diff(path, axis=0), axis=1).sum())


def _upto(path: Float, depth_mm: float) -> Float:
    """Return a path (n, 3) as far as a depth along it."""
    steps = np.linalg.norm(np.diff(path, axis=0), axis=1)
    at = np.concatenate([[0.0], np.cumsum(steps)])
    kept = path[at < depth_mm - 1e-9]
    end = np.array([np.interp(depth_mm, at, path[:, axis]) for axis in range(3)])
    return np.concatenate([kept, end[None]]) if len(kept) else path[:1]
