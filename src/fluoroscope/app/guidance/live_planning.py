"""Plans in a process of their own: its long loops would hold up pictures and the release of a pedal in this one."""

import copyreg
import io
import json
import os
import pickle
import subprocess
import sys
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

import numpy as np

from fluoroscope.app.guidance.live_nearby import Nearby, nearby
from fluoroscope.app.guidance.live_outline import Silhouettes
from fluoroscope.app.guidance.live_path import LivePath
from fluoroscope.app.guidance.live_slices import PathSlice, path_slices
from fluoroscope.geometry.carm import CArmModel
from fluoroscope.geometry.table import PatientPosition
from fluoroscope.guidance.planning import Trajectory, plan
from fluoroscope.guidance.registration import VertebraModel, vertebra_models
from fluoroscope.patient.instruments.tissue_probe import TissueProbe
from fluoroscope.patient.library import Patient
from fluoroscope.patient.parts import Articulation
from fluoroscope.patient.volume import BasisVolume

__all__ = ["PlanJob", "PlanMade", "child", "made_beside", "path_of"]

_CHILD = "import json, sys; sys.path[:] = json.loads(sys.argv[1]); from {room} import child; child()"
LONGEST_S = 600.0
_MOST = 6
_ROOM_MM, _NEAR_MM = 40.0, 22.0


@dataclass(frozen=True, slots=True)
class PlanJob:
    """What is to be planned, in whom, with which machine."""

    patient: Patient
    procedure: str
    level: str
    side: str
    carm: CArmModel
    position: PatientPosition


@dataclass(frozen=True, slots=True)
class PlanMade:
    """What planning found; `trouble` says in a line why nothing was.

    Attributes
    ----------
    trajectories, slices
        The best first; of each the CT cut along it.
    nearby
        What lies around the paths.
    silhouettes, models
        The bones at their level, to be drawn and to be found.
    """

    trajectories: tuple[Trajectory, ...] = ()
    slices: tuple[tuple[PathSlice, ...], ...] = ()
    nearby: Nearby | None = None
    silhouettes: Silhouettes | None = None
    models: dict[str, VertebraModel] = field(default_factory=dict)
    trouble: str = ""


def made_beside(job: PlanJob) -> PlanMade:
    """Plan in a child process; here, where none can be had."""
    light = replace(job, patient=_light(job.patient))
    if not sys.executable or getattr(sys, "frozen", False):
        return _make(light)
    words = [sys.executable, "-c", _CHILD.format(room=__name__), json.dumps(sys.path)]
    try:
        done = subprocess.run(words, input=_packed(light), capture_output=True, check=False, timeout=LONGEST_S)
    except subprocess.TimeoutExpired:
        return PlanMade(trouble=f"planning broke off: no path after {LONGEST_S / 60.0:.0f} minutes")
    except OSError:
        return _make(light)
    if done.returncode != 0:
        last = done.stderr.decode(errors="replace").strip().splitlines()[-1:]
        return PlanMade(trouble=f"planning broke off: {' '.join(last) or done.returncode}")
    made: PlanMade = pickle.loads(done.stdout)
    # Read-only again, as the compiled loops know them: arrays lose that on the way.
    models = {level: replace(model) for level, model in made.models.items()}
    return replace(made, models=models)


def child() -> None:
    """Plan the job on stdin and write what was found to stdout; nothing else may be written there."""
    out = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    job = pickle.loads(sys.stdin.buffer.read())
    with out:
        out.write(_packed(_make(job)))


def path_of(trajectory: Trajectory) -> LivePath:
    """Return a planned trajectory as live guidance uses it."""
    one = trajectory
    words = (one.bone or one.level).split("-")
    return LivePath(
        np.array(one.entry_mm),
        np.array(one.target_mm),
        one.needle.name,
        tuple("S1" if word == "sacrum" else word for word in words if word),
        one.dura_depth_mm,
        one.sigma_mm,
        max(0.0, one.safe_zone.to_mm - one.depth_mm),
    )


def _make(job: PlanJob) -> PlanMade:
    patient = job.patient
    try:
        found = plan(
            patient, job.procedure, job.level, side=job.side or None, position=job.position, carm=job.carm, limit=_MOST
        )
    except ValueError as fault:
        return PlanMade(trouble=" ".join(str(fault).split()))
    if not found or patient.labels is None:
        return PlanMade(trouble="no path was found that spares everything")
    paths = [path_of(one) for one in found]
    return PlanMade(
        tuple(found),
        tuple(path_slices(patient.volume, path) for path in paths),
        _around(patient, paths),
        Silhouettes(patient, paths[0].levels),
        vertebra_models(patient.volume, patient.labels),
    )


def _around(patient: Patient, paths: list[LivePath]) -> Nearby | None:
    from fluoroscope.guidance.planning.surroundings import Box, look_around

    if patient.labels is None:
        return None
    deep = np.array([path.at(path.depth_mm + step) for path in paths for step in (-30.0, 15.0)])
    box = Box(deep.min(axis=0) - _ROOM_MM, deep.max(axis=0) + _ROOM_MM)
    probe = TissueProbe(patient.volume, patient.labels, patient.articulation)
    around = look_around(patient.volume, patient.labels, probe, box)
    return nearby(around, deep.min(axis=0) - _NEAR_MM, deep.max(axis=0) + _NEAR_MM)


def _light(patient: Patient) -> Patient:
    """Return the patient without what planning does not look at: what the projector sees, and his movable parts."""
    nothing = np.zeros((1, 1, 1), dtype=np.int16)
    known = patient.articulation
    still = None if known is None else Articulation((), known.joints, known.landmarks)
    return replace(patient, basis=BasisVolume(nothing, nothing.copy(), np.eye(4)), articulation=still)


def _packed(thing: Any) -> bytes:
    file = io.BytesIO()
    packer = pickle.Pickler(file, protocol=pickle.HIGHEST_PROTOCOL)
    packer.dispatch_table = copyreg.dispatch_table.copy()
    packer.dispatch_table[MappingProxyType] = _unproxied
    packer.dump(thing)
    return file.getvalue()


def _unproxied(mapping: Any) -> tuple[Any, tuple[dict[Any, Any]]]:
    # The class itself has no name that could be looked up.
    return _proxied, (dict(mapping),)


def _proxied(mapping: dict[Any, Any]) -> MappingProxyType[Any, Any]:
    return MappingProxyType(mapping)
