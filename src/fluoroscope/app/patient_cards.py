"""The patients one can choose, and their X-ray cards, drawn when somebody looks for them."""

import threading
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

from fluoroscope.acquisition.clock import Clock
from fluoroscope.app.patient_making import card_of
from fluoroscope.app.setup import patient_rows

__all__ = ["PatientCards"]

_FRESH_NS = 2_000_000_000
"""So long the list holds: a patient fetched or made beside this program appears then."""


class PatientCards:
    """Rows of patients for the status, cheap to ask for, and the cards that are there.

    Parameters
    ----------
    clock
        Tells how old the list is.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._rows: list[dict[str, Any]] = []
        self._read_ns: int | None = None
        self._cards: dict[str, bytes] = {}
        self._drawing: threading.Thread | None = None

    def rows(self) -> list[dict[str, Any]]:
        """Return the patients as JSON-ready rows; ``thumbnail`` is the card's address, None while there is none."""
        now_ns = self._clock.monotonic_ns()
        with self._lock:
            if self._read_ns is None or now_ns - self._read_ns > _FRESH_NS:
                self._rows, self._read_ns = patient_rows(), now_ns
                for row in self._rows:
                    self._look(row["name"])
            return [{**row, "thumbnail": self._address(row["name"])} for row in self._rows]

    def forget(self) -> None:
        """Read the list anew when it is asked for next."""
        with self._lock:
            self._read_ns = None

    def picture(self, name: str) -> bytes | None:
        """Return a card, PNG; None while there is none."""
        with self._lock:
            return self._cards.get(name)

    def draw(self, may_go_on: Callable[[], bool]) -> None:
        """Draw the cards that are missing, one after the other in a thread; asked before each whether it may go on."""
        with self._lock:
            if self._drawing is not None and self._drawing.is_alive():
                return
            missing = [row["name"] for row in self._rows if row["available"] and row["name"] not in self._cards]
            # A CT is opened whole for its card: only who is modelled is drawn unasked.
            modelled = {row["name"] for row in self._rows if row.get("synthetic")}
            wanted = sorted(missing, key=lambda name: name not in modelled)
            self._drawing = threading.Thread(
                target=self._draw_all, args=(wanted, may_go_on), name="patient cards", daemon=True
            )
            self._drawing.start()

    def _draw_all(self, names: list[str], may_go_on: Callable[[], bool]) -> None:
        for name in names:
            if not may_go_on():
                return
            try:
                card = card_of(name, draw=True)
            except (OSError, ValueError, RuntimeError, MemoryError):
                # A card that cannot be drawn is left out: the patient can be chosen without it.
                continue
            if card is not None:
                with self._lock:
                    self._cards[name] = card

    def _look(self, name: str) -> None:
        if name in self._cards:
            return
        try:
            card = card_of(name)
        except OSError:
            return
        if card is not None:
            self._cards[name] = card

    def _address(self, name: str) -> str | None:
        return f"/room/patients/{quote(name, safe='')}.png" if name in self._cards else None
