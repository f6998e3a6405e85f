"""PySkinDose beside the skin kernel: the same cells, beams, tables and beam qualities, both doses.

PySkinDose runs in an interpreter of its own. Theirs are: where cells, source, field and table are, half-value layer,
k_med and k_tab. Ours are: inverse square, backscatter, which cells the field covers and which rays cross the table.
Theirs of backscatter and of everything else is what they are compared with.
"""

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fluoroscope.dose.skin_dose import SkinBeam, SkinDose, TableTop
from fluoroscope.dose.skin_factors import BeamQuality
from fluoroscope.dose.skin_phantoms import SkinPhantom

__all__ = ["PEER_PYTHON", "Compared", "compare", "peer_python", "run_pyskindose"]

Array = NDArray[np.float64]

PEER_PYTHON = "FLUOROSCOPE_PYSKINDOSE_PYTHON"
"""Names the interpreter that has PySkinDose; else the one that scripts/install_peer_pythons.sh makes."""
_FEWEST_CELLS = 4
"""Fewer cells in an event trip PySkinDose 25.1.1: its inverse square then runs along the wrong axis."""


def peer_python() -> Path | None:
    """Return the interpreter that has PySkinDose; None when there is none."""
    caches = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    peers = os.environ.get("FLUOROSCOPE_PEERS") or Path(caches) / "fluoroscope-peers"
    made = Path(peers) / "pyskindose" / "bin" / "python"
    for path in (os.environ.get(PEER_PYTHON), str(made)):
        if path and shutil.which(path):
            return Path(path)
    return None


def run_pyskindose(python: Path, report: Path, model: str, seconds: float = 300.0) -> dict[str, Array]:
    """Return what `pyskindose_session` wrote of a report with phantom ``model``.

    Raises
    ------
    RuntimeError
        When it fails; with its last line.
    """
    script = Path(__file__).with_name("pyskindose_session.py")
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out.npz"
        # It writes a data base of its corrections where it runs.
        command = [str(python.absolute()), str(script), str(report.absolute()), str(out), model]
        kept = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONWARNINGS")}
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=seconds, check=False, cwd=folder, env=kept
        )
        if done.returncode:
            raise RuntimeError(f"PySkinDose failed on {report.name}: {done.stderr.strip().splitlines()[-1:]}")
        with np.load(out) as told:
            return {name: told[name] for name in told.files}


@dataclass(frozen=True, slots=True)
class Compared:
    """One report on one phantom.

    Attributes
    ----------
    peak_mgy, their_peak_mgy
        Of all events.
    largest_error
        Of a cell's dose over theirs less 1, cells above a hundredth of the peak.
    disagreeing
        Cells that one of the two has hit and the other has not, over all hits.
    events, left_out
        Compared, and those with 1 to 3 cells.
    cells
        Of the phantom.
    seconds, their_seconds
        For the doses alone, without reading.
    """

    peak_mgy: float
    their_peak_mgy: float
    largest_error: float
    disagreeing: float
    events: int
    left_out: int
    cells: int
    seconds: float
    their_seconds: float


def compare(told: Mapping[str, Array]) -> Compared:
    """Feed the kernel with PySkinDose's geometry and factors and compare the doses."""
    hits = told["hits"].sum(axis=1)
    wanted = np.flatnonzero((hits == 0) | (hits >= _FEWEST_CELLS))
    whole, seconds, disagreeing = np.zeros(told["cells"].shape[1]), 0.0, 0
    for event in map(int, wanted):
        phantom, beam = _phantom(told, event), _beam(told, event)
        skin = SkinDose(phantom)
        if event == wanted[0]:
            SkinDose(phantom).add(beam)  # the loop is compiled before it is timed
        began = time.perf_counter()
        skin.add(beam)
        seconds += time.perf_counter() - began
        dose = skin.dose_mgy
        disagreeing += int(((dose > 0.0) != (told["hits"][event] & (told["kerma"][event] > 0.0))).sum())
        whole += dose
    theirs = told["dose_mgy"]
    shown = theirs > 0.01 * theirs.max()
    error = np.abs(whole[shown] / theirs[shown] - 1.0) if shown.any() else np.zeros(1)
    return Compared(
        float(whole.max()),
        float(theirs.max()),
        float(error.max()),
        disagreeing / max(int(told["hits"].sum()), 1),
        len(wanted),
        len(hits) - len(wanted),
        whole.size,
        seconds,
        float(told["dose_s"]),
    )


def _phantom(told: Mapping[str, Array], event: int) -> SkinPhantom:
    """Return PySkinDose's vertices as cells without extent, mm."""
    centers = np.ascontiguousarray(10.0 * told["cells"][event])
    n = len(centers)
    plane = bool(told["plane"])
    normals = np.tile([0.0, -1.0, 0.0], (n, 1)) if plane else np.ascontiguousarray(told["normals"][event])
    return SkinPhantom(
        "peer", (1, n), centers, normals, np.zeros((n, 2, 3)), np.ones(n), 1.0, plane, np.zeros((2, 2, 3))
    )


def _beam(told: Mapping[str, Array], event: int) -> SkinBeam:
    corners = 10.0 * told["beam"][event]
    source, (a, b, _, d) = corners[0], corners[1:]
    middle = corners[1:].mean(axis=0)
    toward = (middle - source) / np.linalg.norm(middle - source)
    u, v = (a - d) / np.linalg.norm(a - d), (a - b) / np.linalg.norm(a - b)
    reference, detector = 10.0 * float(told["reference"][event]), 10.0 * float(told["detector"][event])
    half_u = 5.0 * float(told["across"][event]) * reference / detector
    half_v = 5.0 * float(told["along"][event]) * reference / detector
    quality = BeamQuality.given(
        float(told["kv"][event]), float(told["hvl"][event]), float(told["k_med"][event]), float(told["k_tab"][event])
    )
    edges = (half_u, half_u, half_v, half_v)
    return SkinBeam(source, toward, u, v, edges, float(told["kerma"][event]), reference, quality, _table(told, event))


def _table(told: Mapping[str, Array], event: int) -> TableTop:
    """Return the rectangle of PySkinDose's table; oblique rays do not go the longer way in it."""
    a, b, _, d = 10.0 * told["table"][event]
    across, along = b - a, d - a
    if np.linalg.norm(across) > np.linalg.norm(along):
        across, along, b, d = along, across, d, b
    width, length = float(np.linalg.norm(across)), float(np.linalg.norm(along))
    across, along = across / width, along / length
    up = np.cross(across, along)
    up = up if up[1] < 0.0 else -up  # y goes down
    return TableTop((a + b) / 2.0, up, across, along, width, length, oblique=False)


def facts(one: Compared) -> dict[str, Any]:
    """Return the figures by name."""
    return {name: getattr(one, name) for name in one.__dataclass_fields__}
