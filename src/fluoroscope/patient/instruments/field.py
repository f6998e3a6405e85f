"""The operating field: everything put into one patient, as a function of time."""

import threading
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fluoroscope.geometry.rigid import Matrix, apply
from fluoroscope.patient.instruments.catalogue import instrument
from fluoroscope.patient.instruments.contrast import Bolus, Injection
from fluoroscope.patient.instruments.needle import Advance, Needle, NeedleTruth
from fluoroscope.patient.instruments.shaft import ruler, shapes_of, skin_marker
from fluoroscope.patient.instruments.tissue_probe import TissueProbe
from fluoroscope.patient.parts import REST
from fluoroscope.patient.scene import Body, Point, Shape

__all__ = ["OperatingField"]

Float = NDArray[np.float64]
SAME_PLACE_MM = 2.0
"""A needle that lets out medium again within this distance adds to what is there."""


class OperatingField:
    """Instruments, markers and contrast medium in one patient. Safe for several threads.

    Points and directions are of the world at the time given; what is put in rides with the patient.

    Parameters
    ----------
    probe
        The patient's tissue.
    frames_at
        ``world_from_rest`` by frame at a time (`LivingPatient.frames_at`); None for a patient at rest.
    """

    def __init__(self, probe: TissueProbe, frames_at: Callable[[float], Mapping[str, Matrix]] | None = None) -> None:
        self._probe, self._frames_at = probe, frames_at
        self._lock = threading.RLock()
        self._syringe = threading.Lock()
        self._needles: dict[str, Needle] = {}
        self._active = ""
        self._through: dict[str, str] = {}
        """Catheter or lead, and the needle it lies in."""
        self._injections: dict[str, Injection] = {}
        self._markers: dict[str, tuple[Float, Float, str]] = {}
        self._rulers: dict[str, tuple[Float, Float]] = {}
        self._down: list[tuple[float, Float]] = []
        self._drawn: dict[str, tuple[tuple[Any, ...], tuple[Shape, ...]]] = {}
        self._changes = 0

    # Instruments

    @property
    def active(self) -> str:
        """Name of the instrument that commands go to, "" for none."""
        return self._active

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the instruments, in the order they were put in."""
        with self._lock:
            return tuple(self._needles)

    def add(
        self, type_name: str, entry_mm: ArrayLike, direction: ArrayLike, *, time_s: float = 0.0, name: str = ""
    ) -> str:
        """Set an instrument's tip on the skin and make it the active one; return its name.

        Parameters
        ----------
        type_name
            Of the catalogue: "spinal-22G-89".
        entry_mm, direction
            A point (3,) on the line of the needle and the way into the patient; it is set where the line enters him.
        time_s
            Now.
        name
            What to call it; the type's name and a number when not given. One of the same name is replaced.

        Raises
        ------
        ValueError
            When there is no such type or the line misses the patient.
        """
        with self._lock:
            called = name or self._free_name(type_name)
            needle = Needle(instrument(type_name), self._probe, called)
            needle.place(entry_mm, direction, self._frames(time_s))
            self._unsheathe(called)
            self._keep(called, needle)
            return called

    def thread(self, type_name: str, *, through: str = "", name: str = "") -> str:
        """Bring a catheter or lead through a needle to its opening and make it the active one; return its name.

        Raises
        ------
        ValueError
            When it does not fit: not flexible, wider than the bore, the stylet is in, or something is through already.
        """
        with self._lock:
            kind, needle = instrument(type_name), self._needle(through)
            if not kind.flexible:
                raise ValueError(f"{type_name} is not flexible: only a catheter or lead goes through a needle")
            if kind.outer_mm > needle.kind.bore_mm:
                raise ValueError(
                    f"{type_name} is {kind.outer_mm:g} mm wide, the bore of {needle.kind.name} {needle.kind.bore_mm:g}"
                )
            if needle.stylet:
                raise ValueError(f"the stylet of {needle.name} is in: take it out first")
            self._refuse_occupied(needle)
            called = name or self._free_name(type_name)
            wire = Needle(kind, self._probe, called)
            path, direction = needle.channel()
            space = self._probe.at_rest(path[-1]).tissue
            if space in ("skin", "ligament", "bone", "disc"):
                raise ValueError(f"the opening of {needle.name} lies in {space}: nothing can be threaded there")
            wire.thread(path, direction, needle.frame)
            self._through[called] = needle.name
            self._keep(called, wire)
            return called

    def select(self, name: str) -> None:
        """Make an instrument the one that commands go to; ValueError when there is none of this name."""
        with self._lock:
            self._active = self._needle(name).name

    def remove(self, name: str = "") -> None:
        """Take an instrument out: the active one, or the one named. A needle comes out over what is through it."""
        with self._lock:
            gone = self._needle(name).name
            del self._needles[gone]
            self._through.pop(gone, None)
            self._unsheathe(gone)
            self._drawn.pop(gone, None)
            if self._active == gone:
                self._active = next(reversed(self._needles), "")

    def advance(self, by_mm: float, *, time_s: float = 0.0, name: str = "") -> Advance:
        """Push an instrument (pull when negative); say how far it went and what stopped it."""
        with self._lock:
            return self._changed(name).advance(by_mm, self._frames(time_s))

    def withdraw(self, by_mm: float, *, name: str = "") -> Advance:
        """Pull an instrument back along its path, at most to the skin."""
        with self._lock:
            return self._changed(name).withdraw(by_mm)

    def steer(self, left_deg: float, head_deg: float, *, name: str = "") -> None:
        """Angulate an instrument so that its tip goes to the patient's left and head."""
        with self._lock:
            self._changed(name).steer(left_deg, head_deg)

    def rotate(self, by_deg: float, *, name: str = "") -> None:
        """Turn an instrument about its axis, its bevel with it."""
        with self._lock:
            self._changed(name).rotate(by_deg)

    def set_stylet(self, inside: bool, *, name: str = "") -> None:
        """Put the stylet in or take it out."""
        with self._lock:
            self._changed(name).set_stylet(inside)

    # Contrast medium

    def inject(
        self, volume_ml: float, concentration_mgi_ml: float, rate_ml_s: float, *, time_s: float, name: str = ""
    ) -> str:
        """Let contrast medium out of an instrument from now on; return the name of the place it goes to.

        Raises
        ------
        ValueError
            When a number is out of range, the instrument is solid or its stylet in, or there is no room at its
            opening.
        """
        bolus = Bolus(time_s, volume_ml, concentration_mgi_ml, rate_ml_s)
        with self._syringe:
            with self._lock:
                needle = self._needle(name)
                called, place = self._place_at(needle)
            # The way through the tissue takes a while to find: pictures go on meanwhile.
            way = place.way_for(bolus)
            with self._lock:
                if self._needles.get(needle.name) is not needle:
                    raise ValueError(f"{needle.name} was taken out before anything flowed")
                if called not in self._injections:
                    for at_s, down in self._down:
                        place.pull(at_s, down)
                    self._injections[called] = place
                place.inject(bolus, way)
            return called

    def _place_at(self, needle: Needle) -> tuple[str, Injection]:
        """Return where an instrument's opening lets out, by name: a place there is already, or a new one."""
        if needle.kind.bore_mm <= 0.0:
            raise ValueError(f"{needle.kind.name} is solid: nothing can be injected through it")
        if needle.stylet:
            raise ValueError(f"the stylet of {needle.name} is in: take it out before injecting")
        self._refuse_occupied(needle)
        opening = needle.opening()
        for called, place in self._injections.items():
            if float(np.linalg.norm(place.opening_mm - opening)) <= SAME_PLACE_MM:
                return called, place
        place = Injection(self._probe, opening, needle.frame)
        count = sum(one.pattern == place.pattern for one in self._injections.values())
        return f"contrast {place.pattern}" + (f" {count + 1}" if count else ""), place

    def stop_injection(self, *, time_s: float) -> None:
        """Stop everything that flows."""
        with self._lock:
            for called, place in list(self._injections.items()):
                place.stop(time_s)
                if not place.boluses:
                    del self._injections[called]

    def set_down(self, down: ArrayLike, *, time_s: float = 0.0) -> None:
        """Say which way is down for the patient from now on, (3,) LPS: prone on a flat table (0, −1, 0)."""
        way = np.asarray(down, dtype=np.float64)
        length = float(np.linalg.norm(way))
        if not np.isfinite(way).all() or length == 0.0:
            raise ValueError("the way down has no length")
        with self._lock:
            self._down = [(at, old) for at, old in self._down if at < time_s] + [(time_s, way / length)]
            for place in self._injections.values():
                place.pull(time_s, way / length)

    # Markers

    def mark(self, through_mm: ArrayLike, direction: ArrayLike, *, time_s: float = 0.0, name: str = "marker") -> Point:
        """Tape a lead ball on the skin where a line enters the patient; return where.

        Raises
        ------
        ValueError
            When the line misses him.
        """
        with self._lock:
            frames = self._frames(time_s)
            along = np.asarray(direction, dtype=np.float64)
            along = along / np.linalg.norm(along)
            rest = self._probe.rest_of(through_mm, frames)
            skin = self._probe.skin_on(rest, along)
            if skin is None:
                raise ValueError("the marker's line misses the patient")
            self._markers[name] = (skin, along, self._probe.frame_of(skin))
            return self.markers(time_s)[name]

    def move_marker(self, left_mm: float, head_mm: float, *, time_s: float = 0.0, name: str = "marker") -> Point:
        """Shift a marker along the skin to the patient's left and head; return where it lies now.

        Raises
        ------
        ValueError
            When there is no such marker or it would leave the patient.
        """
        with self._lock:
            if name not in self._markers:
                raise ValueError(f"marker {name!r}: there is none; place one first")
            skin, along, frame = self._markers[name]
            moved = apply(self._carrier(frame, time_s), skin + np.array([left_mm, 0.0, head_mm]))
            return self.mark(moved, along, time_s=time_s, name=name)

    def unmark(self, name: str = "marker") -> None:
        """Take a marker off; nothing happens when there is none."""
        with self._lock:
            self._markers.pop(name, None)

    def markers(self, time_s: float) -> dict[str, Point]:
        """Return where the markers lie."""
        with self._lock:
            return {
                name: _point(apply(self._carrier(frame, time_s), skin))
                for name, (skin, _, frame) in self._markers.items()
            }

    def lay_ruler(self, start_mm: ArrayLike, end_mm: ArrayLike, *, name: str = "ruler") -> None:
        """Lay a radiopaque ruler on the table from one point to another; it does not move with the patient."""
        start, end = np.asarray(start_mm, dtype=np.float64), np.asarray(end_mm, dtype=np.float64)
        if not (np.isfinite([start, end]).all() and 10.0 <= np.linalg.norm(end - start) <= 1000.0):
            raise ValueError("a ruler is 10 to 1000 mm long")
        with self._lock:
            self._rulers[name] = (start, end)

    def take_ruler(self, name: str = "ruler") -> None:
        """Take a ruler away; nothing happens when there is none."""
        with self._lock:
            self._rulers.pop(name, None)

    @property
    def rulers(self) -> dict[str, tuple[Point, Point]]:
        """Where rulers lie: begin and end."""
        with self._lock:
            return {name: (_point(start), _point(end)) for name, (start, end) in self._rulers.items()}

    # As functions of time

    def shapes(self, time_s: float, frames: Mapping[str, Matrix] | None = None) -> tuple[Shape, ...]:
        """Return what the projector draws of instruments and markers; ``frames`` saves asking for them again."""
        with self._lock:
            known = self._frames(time_s) if frames is None else frames
            found: list[Shape] = []
            for name, needle in self._needles.items():
                carried = self._carried(needle.frame, known)
                key = (self._changes, carried.tobytes())
                drawn = self._drawn.get(name)
                if drawn is None or drawn[0] != key:
                    drawn = self._drawn[name] = (key, shapes_of(needle.in_place(known)))
                found += drawn[1]
            for skin, along, frame in self._markers.values():
                found += skin_marker(apply(self._carried(frame, known), skin), -along)
            for start, end in self._rulers.values():
                found += ruler(start, end)
            return tuple(found)

    def bodies(self, time_s: float, frames: Mapping[str, Matrix] | None = None) -> tuple[Body, ...]:
        """Return the contrast medium; a body's volume is the same object until its next update."""
        with self._lock:
            if not self._injections:
                return ()
            known = self._frames(time_s) if frames is None else frames
            found = (place.body(name, time_s, known) for name, place in self._injections.items())
            return tuple(body for body in found if body is not None)

    def truth(
        self, time_s: float, frames: Mapping[str, Matrix] | None = None
    ) -> tuple[tuple[NeedleTruth, ...], dict[str, Any]]:
        """Return what the instruments know of themselves, and the contrast medium by place, JSON-ready."""
        with self._lock:
            known = self._frames(time_s) if frames is None else frames
            needles = tuple(needle.state(known) for needle in self._needles.values())
            return needles, {name: place.status(time_s) for name, place in self._injections.items()}

    def status(self, time_s: float) -> dict[str, Any]:
        """Return instruments, markers and contrast medium, JSON-ready."""
        with self._lock:
            known = self._frames(time_s)
            return {
                "active": self._active,
                "instruments": {name: needle.status(known) for name, needle in self._needles.items()},
                "markers": {name: list(point) for name, point in self.markers(time_s).items()},
                "contrast": {name: place.status(time_s) for name, place in self._injections.items()},
            }

    # Inner works

    def _frames(self, time_s: float) -> Mapping[str, Matrix]:
        return {} if self._frames_at is None else self._frames_at(time_s)

    def _carried(self, frame: str, frames: Mapping[str, Matrix]) -> Matrix:
        return frames.get(frame, frames.get(REST, np.eye(4)))

    def _carrier(self, frame: str, time_s: float) -> Matrix:
        return self._carried(frame, self._frames(time_s))

    def _free_name(self, type_name: str) -> str:
        number = 1
        while f"{type_name} #{number}" in self._needles:
            number += 1
        return f"{type_name} #{number}"

    def _keep(self, name: str, needle: Needle) -> None:
        self._needles[name] = needle
        self._active = name
        self._changes += 1

    def _needle(self, name: str) -> Needle:
        wanted = name or self._active
        if wanted not in self._needles:
            raise ValueError(
                f"instrument {wanted!r}: there is none in the patient" if wanted else "no instrument is in"
            )
        return self._needles[wanted]

    def _changed(self, name: str) -> Needle:
        needle = self._needle(name)
        self._refuse_occupied(needle)
        self._changes += 1
        return needle

    def _refuse_occupied(self, needle: Needle) -> None:
        for wire, through in self._through.items():
            if through == needle.name:
                raise ValueError(f"{wire} is through {needle.name}: take it out first, or the needle out over it")

    def _unsheathe(self, needle: str) -> None:
        for wire in [wire for wire, through in self._through.items() if through == needle]:
            del self._through[wire]
            self._needles[wire].unsheathe()


def _point(values: Float) -> Point:
    return (float(values[0]), float(values[1]), float(values[2]))
