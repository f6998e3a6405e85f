"""Loads what records are written with, when it is first needed: a room opens half a second sooner without."""

import importlib
import threading

__all__ = ["load_records"]

_LOADING = threading.Lock()


def load_records() -> None:
    """Load pydicom and the dose report, or wait until another thread has: two that load it at once both fail."""
    with _LOADING:
        importlib.import_module("fluoroscope.records.rdsr")
