"""The hand on a catheter or lead that goes through the needle: the page's commands, and what is told of it."""

import json
from typing import Any

from fluoroscope.app.bedside import Bedside
from fluoroscope.app.needle_hand import CATHETER, NEEDLE
from fluoroscope.monitor.control import Asset, RefusedError
from fluoroscope.patient.instruments.catalogue import CATALOGUE
from fluoroscope.patient.instruments.field import OperatingField
from fluoroscope.patient.instruments.needle import NeedleTruth

__all__ = ["CatheterHand"]


class CatheterHand:
    """One catheter or lead in the patient of a bedside, brought in through the needle.

    Parameters
    ----------
    bedside
        Of the patient; his scene holds it.
    """

    COMMANDS = ("catheter_thread", "catheter_move", "catheter_remove")

    def __init__(self, bedside: Bedside) -> None:
        self._bedside = bedside
        self._stopped = ""

    # Commands: their names and arguments are those of docs/reference/page-protocol.md

    def catheter_thread(self, *, type: str) -> None:
        """Bring one through the needle to its opening."""
        if type not in CATALOGUE or not CATALOGUE[type].flexible:
            raise RefusedError(f"catheter {type!r}: there is none of this name; choose one of the list", "type")
        if NEEDLE not in self._field.names:
            raise RefusedError("there is no needle in to go through: place one first")
        if CATHETER in self._field.names:
            raise RefusedError("a catheter is in: take it out first")
        self._field.thread(type, through=NEEDLE, name=CATHETER)
        self._stopped = ""

    def catheter_move(self, *, advance_mm: float) -> dict[str, Any]:
        """Push it on, or pull it back when negative; what stops it is told."""
        self._state()
        gone = self._field.advance(advance_mm, time_s=self._bedside.now_s, name=CATHETER)
        self._stopped = gone.stopped_by if advance_mm > 0.0 else ""
        return {"moved_mm": gone.moved_mm, "stopped_by": gone.stopped_by}

    def catheter_remove(self) -> None:
        """Take it out; contrast medium stays where it went."""
        self._state()
        self._field.stop_injection(time_s=self._bedside.now_s)
        self._field.remove(CATHETER)
        self._stopped = ""

    # What the page is told

    @staticmethod
    def kinds() -> Asset:
        """Return ``catheters.json``: what goes through a needle."""
        kinds = [
            {"name": kind.name, "label": kind.title, "length_mm": kind.length_mm, "outer_mm": kind.outer_mm}
            for kind in CATALOGUE.values()
            if kind.flexible
        ]
        return Asset(json.dumps(kinds).encode(), "application/json")

    def status(self) -> dict[str, Any]:
        """Return the part of the status that belongs to the catheter."""
        if CATHETER not in self._field.names:
            return {"catheter": None}
        state, equipment = self._state(), self._bedside.equipment
        kind = CATALOGUE[state.type]
        truth = {"tissue": state.tissue, "structure": state.structure, "force_n": round(float(state.force_n), 2)}
        told = {
            "type": state.type,
            "label": kind.title,
            "depth_mm": round(state.depth_mm, 2),
            "beyond_mm": round(state.beyond_mm, 2) if NEEDLE in self._field.names else None,
            "hollow": kind.bore_mm > 0.0,
            "tip_mm": equipment(state.tip_mm),
            "path_mm": equipment(state.path_mm),
            "blocked": f"{self._stopped} stops it" if self._stopped else None,
            "truth": truth if self._bedside.tells_truth else None,
        }
        return {"catheter": told}

    # Inner works

    @property
    def _field(self) -> OperatingField:
        return self._bedside.scene.field

    def _state(self) -> NeedleTruth:
        needles, _ = self._field.truth(self._bedside.now_s)
        found = next((needle for needle in needles if needle.name == CATHETER), None)
        if found is None:
            raise RefusedError("there is no catheter in: bring one through a needle first")
        return found
