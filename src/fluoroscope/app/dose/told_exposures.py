"""What a patient tells of exposures elsewhere, on disk before the registry has it: one small file for each.

A file stands in the folder from when it was told, or taken back, until the registry holds it. The registry knows it by
its UID, so that a program that is ended between the two hands it over once more and nothing is there twice.
"""

import contextlib
import json
import secrets
import threading
import time
from dataclasses import asdict, dataclass, replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from fluoroscope.records.identity import PatientIdentity
from fluoroscope.records.whole_file import whole_file

__all__ = ["TOLD_FOLDER", "ToldExposures", "ToldWaiting"]

TOLD_FOLDER = "told-waiting"
"""Beside the exams: the folder of an exam without X-ray is removed, what its patient told must stay."""

FIRST_UID = 1 << 51
"""UIDs are numbers from here to 2^52: a page's script keeps them exactly, and no registry counts so far."""

_FORMAT = 1
_MOST_BYTES = 100_000
_HALF_WRITTEN_S = 60.0
"""Older ones are of programs that were killed, not of another room that is writing now."""


@dataclass(frozen=True, slots=True)
class ToldWaiting:
    """One exposure that the registry does not have yet, or does not know to be taken back.

    Attributes
    ----------
    uid
        Of the exposure, from `FIRST_UID` on; of one that came to the registry by another way its number there.
    told
        Fields of `registry.outside.ToldExposure`; None where the registry has them.
    by, at
        Who wrote it down, and when: UTC, ISO 8601.
    removed_by, removed_why
        Who took it back, and why; "" and "" while it stands.
    """

    uid: int
    patient: PatientIdentity
    told: dict[str, Any] | None
    by: str
    at: str
    removed_by: str = ""
    removed_why: str = ""

    @property
    def removed(self) -> bool:
        """Whether it was taken back."""
        return bool(self.removed_by)

    @property
    def in_registry(self) -> int | str:
        """What the registry knows it by: its own number, or the UID."""
        return self.uid if self.uid < FIRST_UID else str(self.uid)

    def row(self) -> dict[str, Any]:
        """Return it as a row of ``outside`` of a history, JSON-ready."""
        told = self.told or {}
        shown = {name: told.get(name) or "" for name in ("kind", "body_part", "place", "when")}
        return {"id": self.uid, **shown, "confirmed": bool(told.get("confirmed")), "waiting": True}


class ToldExposures:
    """The files of one ``folder``, which is made with the first. Safe from several threads.

    ``faults`` has a line for each file that could not be read when the folder was last looked at.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lock = threading.Lock()
        self._entries: dict[int, ToldWaiting] = {}
        _sweep(folder)
        self.faults: list[str] = []
        self.read()

    def read(self) -> list[str]:
        """Look at the folder anew; return a line for each file that cannot be read, which stays as it is."""
        entries, faults = {}, []
        with self._lock:
            for path in sorted(self.folder.glob("*.json")):
                try:
                    one = _read(path)
                    entries[one.uid] = one
                except FileNotFoundError:
                    continue  # another room has just handed it over
                except (OSError, ValueError, TypeError, KeyError, AttributeError) as fault:
                    reason = " ".join(str(fault).split())[:200]
                    faults.append(f"{path}: what a patient told cannot be read ({reason}); look at the file")
            self._entries, self.faults = entries, faults
        return faults

    def waiting(self) -> list[ToldWaiting]:
        """Return what the registry does not have yet, in the order in which it was told."""
        with self._lock:
            return sorted(self._entries.values(), key=lambda one: (one.at, one.uid))

    def add(self, patient: PatientIdentity, told: dict[str, Any], by: str) -> int:
        """Keep what a patient told; return its UID. Raise OSError when it cannot be written."""
        one = ToldWaiting(FIRST_UID + secrets.randbelow(FIRST_UID), patient, told, by, datetime.now(UTC).isoformat())
        with self._lock:
            self._write(one)
        return one.uid

    def take_back(self, patient: PatientIdentity, uid: int, by: str, why: str) -> None:
        """Keep that an exposure is taken back: one that waits, or one of the registry by UID or number."""
        with self._lock:
            known = self._entries.get(uid) or ToldWaiting(uid, patient, None, by, datetime.now(UTC).isoformat())
            self._write(replace(known, removed_by=by, removed_why=why))

    def handed_over(self, one: ToldWaiting) -> None:
        """Forget what the registry holds now; what has changed in the meantime stays, to be handed over again."""
        with self._lock:
            if self._entries.get(one.uid) == one:
                (self.folder / f"{one.uid}.json").unlink(missing_ok=True)
                del self._entries[one.uid]

    def _write(self, one: ToldWaiting) -> None:
        facts = asdict(one) | {"format": _FORMAT}
        birth = one.patient.birth_date
        facts["patient"] = asdict(one.patient) | {"birth_date": None if birth is None else birth.isoformat()}
        self.folder.mkdir(parents=True, exist_ok=True)
        with whole_file(self.folder / f"{one.uid}.json") as file:
            file.write(json.dumps(facts, ensure_ascii=False, indent=1).encode())
        self._entries[one.uid] = one


def _sweep(folder: Path) -> None:
    """Remove what a killed program had half written: nobody was told that it is kept, and it may name a patient."""
    for half in folder.glob(".*.partial"):
        with contextlib.suppress(OSError):
            if time.time() - half.stat().st_mtime > _HALF_WRITTEN_S:
                half.unlink()


def _read(path: Path) -> ToldWaiting:
    if path.stat().st_size > _MOST_BYTES:
        raise ValueError(f"over {_MOST_BYTES} bytes")
    facts = json.loads(path.read_text(encoding="utf-8"))
    if facts.pop("format") != _FORMAT:
        raise ValueError("made by a newer version of this program")
    patient = facts.pop("patient")
    birth = patient.pop("birth_date")
    who = PatientIdentity(**patient, birth_date=None if birth is None else date.fromisoformat(birth))
    one = ToldWaiting(patient=who, **facts)
    datetime.fromisoformat(one.at)
    if f"{one.uid}.json" != path.name:
        raise ValueError(f"it holds another exposure, {one.uid}")
    return one
