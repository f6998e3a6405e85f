"""An attempt read back from the folder of its exam: also from one that was cut short, or is still open."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from fluoroscope.app.training.hand import HAND_NAME
from fluoroscope.evaluation.training_attempt import Attempt, Flow, Moment, Place, Shot, Target, Touch, Zone
from fluoroscope.geometry.carm import C_ARMS
from fluoroscope.geometry.rigid import Matrix
from fluoroscope.live.encoding import collimation_from_json
from fluoroscope.live.journal import JournalReading, read_journal, recover_exam
from fluoroscope.records.exam_store import exams_folder

__all__ = [
    "AttemptError",
    "Recorded",
    "attempt_of",
    "exam_folder",
    "read_recorded",
    "target_from_json",
    "target_to_json",
]

JOURNAL_NAME = "journal.jsonl"


class AttemptError(ValueError):
    """An exam's folder holds no attempt that can be scored: one line, what, where, what to do."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """What the folder of an exam holds of an attempt.

    Attributes
    ----------
    folder
        Of the exam.
    about
        First line of the hand's file: patient, position, trainee, scenario, target.
    moments, carried
        The needle, and at each moment the ``world_from_rest`` (4, 4) that carried it.
    touches, flows, shots
        As in `Attempt`.
    commands
        (at_s, name, args), in order.
    frames
        Journal's lines of the frames, with ``at_s`` the scene's time.
    began_s, seconds
        Scene time at the beginning; time to the last thing that was done.
    complete
        Whether the exam was closed.
    """

    folder: Path
    about: Mapping[str, Any]
    moments: tuple[Moment, ...]
    carried: tuple[Matrix, ...]
    touches: tuple[Touch, ...]
    flows: tuple[Flow, ...]
    shots: tuple[Shot, ...]
    commands: tuple[tuple[float, str, dict[str, Any]], ...]
    frames: tuple[dict[str, Any], ...]
    began_s: float
    seconds: float
    complete: bool

    @property
    def exam(self) -> str:
        """Id of the exam: the name of its folder."""
        return self.folder.name


def exam_folder(exam: str) -> Path:
    """Return the folder of an exam named by id or folder; raises `AttemptError` when there is none."""
    given = Path(exam)
    folder = given if given.is_dir() else exams_folder() / exam
    if not exam.strip() or not folder.is_dir():
        raise AttemptError(f"exam {exam or '(empty)'}: there is none of this name; see  fluoroscope exams list")
    return folder.resolve()


def read_recorded(folder: Path) -> Recorded:
    """Read the hand's file and the journal of an exam.

    Raises
    ------
    AttemptError
        There is no record of the hand, or it cannot be read.
    """
    path = folder / HAND_NAME
    try:
        hand = read_journal(path).entries
    except FileNotFoundError as fault:
        raise AttemptError(
            f"exam {folder.name}: it holds no record of the hand ({HAND_NAME}); only exams of the virtual C-arm do"
        ) from fault
    except OSError as fault:
        raise AttemptError(f"{path} cannot be read ({fault.strerror or fault}); check the file") from fault
    if not hand or hand[0]["type"] != "hand":
        raise AttemptError(f"{path}: its first line is missing or damaged; the attempt cannot be scored")
    try:
        return _recorded(folder, hand)
    except (KeyError, TypeError, ValueError, IndexError) as fault:
        raise AttemptError(
            f"{path}: a line is not as this version writes it ({fault!r}); it cannot be scored"
        ) from fault


def _recorded(folder: Path, hand: tuple[dict[str, Any], ...]) -> Recorded:
    first = hand[0]
    needle = [one for one in hand if one["type"] == "needle"]
    flows: list[dict[str, Any]] = next((one["flows"] for one in reversed(hand) if one["type"] == "contrast"), [])
    journal = _journal(folder)

    def scene_s(at_ns: int) -> float:
        return float(first["began_s"] + (at_ns - first["at_ns"]) / 1e9)

    frames = tuple({**one, "at_s": scene_s(one["acquired_ns"])} for one in journal.entries if one["type"] == "frame")
    shots = _shots(folder, journal, frames, first)
    acts = [one["at_s"] for one in hand if one["type"] in ("needle", "touch")]
    acts += [one["at_s"] for one in hand if one["type"] == "command" and one["name"].startswith("inject")]
    last_s = max([*acts, *(one.at_s + one.seconds for one in shots)], default=float(first["began_s"]))
    return Recorded(
        folder,
        {name: value for name, value in first.items() if name not in ("type", "n")},
        tuple(Moment(**_tuples({key: one[key] for key in _names(Moment)})) for one in needle),
        tuple(np.asarray(one["world_from_rest"], dtype=np.float64) for one in needle),
        tuple(Touch(**_tuples({key: one[key] for key in _names(Touch)})) for one in hand if one["type"] == "touch"),
        tuple(Flow(one["pattern"], one["structure"], float(one["volume_ml"])) for one in flows),
        shots,
        tuple((float(one["at_s"]), one["name"], one["args"]) for one in hand if one["type"] == "command"),
        frames,
        float(first["began_s"]),
        max(0.0, last_s - float(first["began_s"])),
        any(one["type"] == "end" for one in hand),
    )


def attempt_of(recorded: Recorded, target: Target | None = None) -> Attempt:
    """Return what is judged; the target of the record unless another is given.

    Raises
    ------
    AttemptError
        The exam had no scenario, and none is given.
    """
    known = recorded.about.get("target")
    if target is None and not known:
        raise AttemptError(f"exam {recorded.exam}: it was no training; say which scenario with --scenario NAME")
    return Attempt(
        target or target_from_json(known or {}), recorded.moments, recorded.touches, recorded.shots, recorded.flows,
        recorded.seconds, recorded.complete,
    )  # fmt: skip


def target_to_json(target: Target) -> dict[str, Any]:
    """Return a target as plain values."""
    return asdict(target)


def target_from_json(data: Mapping[str, Any]) -> Target:
    """Return the target of `target_to_json`; raises `AttemptError` for what is none."""
    try:
        values = _tuples(dict(data))
        zone = Zone(**_tuples(dict(data["zone"])))
        places = tuple(Place(one["name"], _tuples(one)["center_mm"]) for one in data["places"])
        return Target(**{**values, "zone": zone, "places": places})
    except (KeyError, TypeError, ValueError) as fault:
        raise AttemptError(f"the target of the record cannot be read ({fault}); give --scenario") from fault


def _names(kind: Any) -> list[str]:
    return [one.name for one in fields(kind)]


def _tuples(values: Mapping[str, Any]) -> dict[str, Any]:
    def frozen(value: Any) -> Any:
        return tuple(frozen(one) for one in value) if isinstance(value, list | tuple) else value

    return {name: frozen(value) for name, value in values.items()}


def _journal(folder: Path) -> JournalReading:
    try:
        return read_journal(folder / JOURNAL_NAME)
    except FileNotFoundError:
        return JournalReading((), 0, 0)
    except OSError as fault:
        raise AttemptError(f"{folder / JOURNAL_NAME} cannot be read ({fault.strerror or fault})") from fault


def _shots(
    folder: Path, journal: JournalReading, frames: tuple[dict[str, Any], ...], first: Mapping[str, Any]
) -> tuple[Shot, ...]:
    if not frames:
        return ()
    pressed = {one["event_uid"]: one["pressed_ns"] for one in journal.entries if one["type"] == "press"}
    largest_mm = C_ARMS[str(first["carm"])].detector.fields[0].size_mm if first.get("carm") in C_ARMS else None
    found = []
    for event in recover_exam(folder / JOURNAL_NAME).events:
        own = [one for one in frames if one["event_uid"] == event.uid]
        at_ns = pressed.get(event.uid, own[0]["acquired_ns"] if own else first["at_ns"])
        at_s = float(first["began_s"]) + (at_ns - first["at_ns"]) / 1e9
        share = _field_share(own, largest_mm)
        found.append(Shot(at_s, event.pedal_time_s, event.pulses, event.air_kerma_mgy, event.kap_gy_cm2, share))
    return tuple(found)


def _field_share(frames: list[dict[str, Any]], largest_mm: float | None) -> float:
    """Return the irradiated part of the largest field, weighted by air kerma; 1 where it is not known."""
    total = kerma = 0.0
    for one in frames:
        side_mm = one["rows"] * (one["pitch_mm"] or 0.0), one["columns"] * (one["pitch_mm"] or 0.0)
        whole = (largest_mm or max(side_mm)) ** 2
        edges = collimation_from_json(one["collimation"])
        area = side_mm[0] * side_mm[1]
        if edges is not None:
            half_r, half_c = side_mm[0] / 2.0, side_mm[1] / 2.0
            width = min(edges.left_mm, half_c) + min(edges.right_mm, half_c)
            height = min(edges.upper_mm, half_r) + min(edges.lower_mm, half_r)
            area = min(area, max(width, 0.0) * max(height, 0.0))
        weight = float((one["kerma"] or {}).get("air_kerma_mgy") or 0.0) or 1e-12
        total += weight * (min(1.0, area / whole) if whole else 1.0)
        kerma += weight
    return total / kerma if kerma else 1.0
