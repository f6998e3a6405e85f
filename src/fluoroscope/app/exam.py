"""What the room needs of an exam: implemented by the recording of one, and by the session of a recorded clip."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from fluoroscope.acquisition.event import IrradiationEvent
from fluoroscope.app.reference import PlayedRun
from fluoroscope.live.subscription import LivePicture

__all__ = ["Exam", "StoredImage"]


@dataclass(frozen=True, slots=True)
class StoredImage:
    """A picture that was kept, and what it was taken with."""

    name: str
    time: str
    event_number: int
    pixels: NDArray[np.uint16]
    window: tuple[float, float]
    pitch_mm: float | None
    taken: dict[str, Any]

    @classmethod
    def of(cls, picture: LivePicture, number: int, taken: dict[str, Any]) -> Self:
        """Return ``picture`` as stored image ``number`` of its exam."""
        return cls(
            name=f"{number:03d}",
            time=f"{datetime.now(UTC).astimezone():%H:%M:%S}",
            event_number=picture.event_number,
            pixels=picture.shown.pixels,
            window=picture.window,
            pitch_mm=picture.shown.pitch_mm,
            taken=taken,
        )

    @property
    def markers(self) -> tuple[str, str]:
        """Letters at the left and the right edge; "" where not known."""
        known = self.taken.get("markers") or {}
        return str(known.get("column_left", "")), str(known.get("column_right", ""))

    @property
    def label(self) -> str:
        """Shown with the picture."""
        return f"image {self.name}, run {self.event_number}, {self.time}"

    def status(self) -> dict[str, Any]:
        """Return its line in the status."""
        return {
            "id": self.name,
            "label": f"run {self.event_number}",
            "time": self.time,
            "event_number": self.event_number,
        }


class Exam(Protocol):
    """From the first press for a patient to the dose report."""

    folder: Path

    @property
    def uid(self) -> str:
        """Study Instance UID."""
        ...

    @property
    def started(self) -> datetime:
        """UTC."""
        ...

    @property
    def images(self) -> Sequence[StoredImage]:
        """The stored images, in order."""
        ...

    @property
    def last_run_number(self) -> int | None:
        """Event number of the newest run, None before the first."""
        ...

    def patient_status(self) -> dict[str, Any]:
        """Return the patient part of the status."""
        ...

    def run_status(self) -> list[dict[str, Any]]:
        """Return a line for every run."""
        ...

    def played_run(self, event_number: int) -> PlayedRun:
        """Return a run to be played again; raise `RefusedError` when there is none."""
        ...

    def log_event(self, event: IrradiationEvent) -> None:
        """Take note of a press that ended."""
        ...

    def store_image(self, picture: LivePicture, taken: dict[str, Any]) -> StoredImage:
        """Keep a picture."""
        ...

    def take_messages(self) -> list[tuple[str, str]]:
        """Return the messages (level, text) left since the last call."""
        ...

    def close(self) -> None:
        """Finish the records. May be called twice."""
        ...
