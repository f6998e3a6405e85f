"""Rows of the scorecard about the modelled spine: measured dimensions, bones apart, real surfaces.

The real surfaces (`mesh/vhm-lumbosacral` of the test data) are one man's: he is 180 cm tall in the model, which is
then aligned to him by a similarity, and nothing else of him goes in.
"""

import itertools
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from fluoroscope.geometry.rigid import rotation
from fluoroscope.patient.anatomy.measured import measure_spine
from fluoroscope.patient.anatomy.morphometry import DISCS, MORPHOMETRY
from fluoroscope.patient.anatomy.parameters import PatientParameters
from fluoroscope.patient.anatomy.spine import Spine, make_spine, vertebra_bone
from fluoroscope.patient.anatomy.surfaces import clearance_mm, surface_of

__all__ = ["anatomy_rows", "clearance_at_bending", "sampled_dimensions", "surface_distances_mm"]

Row = dict[str, Any]
LEVELS = ("L1", "L2", "L3", "L4", "L5")
BENDING_DEG = {"T11_T12": 5.0, "T12_L1": 6.0, "L1_L2": 9.0, "L2_L3": 10.7, "L3_L4": 10.0, "L4_L5": 8.2}
"""Flexion to extension of each joint (guidance 2.2; above L2 unverified); a degree is added to either half."""


def anatomy_rows(*, full: bool, mesh_folder: Path | None = None) -> list[Row]:
    """Return the rows: dimensions, pelvis, bones apart and, where the meshes are, surface distances."""
    rows = _dimension_rows(500 if full else 2)
    rows += [_pelvis_row(), _apart_row(500 if full else 2)]
    if mesh_folder is not None and mesh_folder.is_dir():
        rows += [row for level in LEVELS for row in _mesh_rows(level, mesh_folder)]
    return rows


def _row(identity: str, what: str, reference: str, tolerance: float, value: float, unit: str) -> Row:
    passed = bool(value <= tolerance)
    row: Row = {"id": identity, "what": what, "reference": reference, "tolerance": tolerance}
    return row | {"value": value, "unit": unit, "pass": passed}


def _samples(count: int) -> list[Spine]:
    return [make_spine(PatientParameters(seed=n, sex="male" if n % 2 else "female")) for n in range(count)]


def sampled_dimensions(count: int) -> dict[str, tuple[float, float, float, float]]:
    """Return by "level/quantity" measured mean and spread, then those of the source, for L1 to L5."""
    measured = [measure_spine(spine) for spine in _samples(count)]
    found = {}
    for quantity, (means, spreads) in MORPHOMETRY.items():
        names = ("facet_left_deg", "facet_right_deg") if quantity == "facet_deg" else (quantity,)
        for n, level in enumerate(LEVELS, start=2):
            values = np.array([one[level][name] for one in measured for name in names])
            found[f"{level}/{quantity}"] = (float(values.mean()), float(values.std()), means[n], spreads[n])
    for end, (means, spread) in DISCS.items():
        for n, (upper, lower) in enumerate(itertools.pairwise(LEVELS), start=2):
            values = np.array([one["spine"][f"{upper}_{lower}/{end}"] for one in measured])
            found[f"{upper}_{lower}/disc_{end}"] = (float(values.mean()), float(values.std()), means[n], spread)
    lordosis = np.array([one["spine"]["lordosis_deg"] for one in measured])
    found["lordosis_deg"] = (float(lordosis.mean()), float(lordosis.std()), 36.8, 13.2)
    return found


def _dimension_rows(count: int) -> list[Row]:
    """Every quantity's mean; its spread where the sample is large enough to have one."""
    rows = []
    for name, (mean, spread, wanted, wanted_spread) in sampled_dimensions(count).items():
        if count >= 100:
            off, wide = 100.0 * abs(mean / wanted - 1.0), 100.0 * abs(spread / wanted_spread - 1.0)
            rows.append(_row(f"anatomy.mean.{name}", f"mean of {count} spines", "guidance 6", 5.0, off, "%"))
            rows.append(_row(f"anatomy.spread.{name}", f"spread of {count} spines", "guidance 6", 20.0, wide, "%"))
    if not rows:
        worst = max(abs(one[0] - one[2]) / one[3] for one in sampled_dimensions(count).values())
        rows.append(
            _row("anatomy.dimensions", f"{count} spines, farthest mean in spreads", "guidance 6", 3.0, worst, "SD")
        )
    return rows


def _pelvis_row() -> Row:
    worst = 0.0
    for spine in _samples(20):
        frame = spine.frames["sacrum"]
        slope = float(np.degrees(np.arctan2(-frame[1, 2], frame[2, 2])))
        tilt, incidence = (float(str(spine.facts[name])) for name in ("pelvic_tilt_deg", "pelvic_incidence_deg"))
        worst = max(worst, abs(incidence - tilt - slope))
    return _row("anatomy.pelvis", "PI − PT − slope measured on the endplate", "geometry", 1e-6, worst, "deg")


def clearance_at_bending(spine: Spine, upper: str, lower: str, share: float) -> float:
    """Return the proven room in mm between two vertebrae bent by a share of half their range (+1 flexed or −1)."""
    name = f"{upper}_{lower}"
    place = spine.facet_joints[name].world_from_joint
    angle = share * (0.5 * BENDING_DEG.get(name, 6.8) + 1.0)
    moved = place @ rotation((1.0, 0.0, 0.0), angle) @ np.linalg.inv(place)
    bones = [vertebra_bone(level, spine).solids for level in (upper, lower)]
    return clearance_mm(bones[0], bones[1], first_moved=moved)


def _apart_row(count: int) -> Row:
    meetings = 0
    for spine in _samples(count):
        for upper, lower in zip(spine.levels, spine.levels[1:], strict=False):
            meetings += sum(clearance_at_bending(spine, upper, lower, share) <= 0.0 for share in (-1.0, 0.0, 1.0))
    return _row(
        "anatomy.apart",
        f"pairs not proven apart, {count} spines, bent and at rest",
        "bounds of distance",
        0.0,
        float(meetings),
        "1",
    )


def surface_distances_mm(level: str, mesh_folder: Path, spine: Spine) -> NDArray[np.float64]:
    """Return distances both ways between a modelled vertebra and the real one, aligned by a similarity, mm."""
    real = _read_points(mesh_folder / f"{level}.obj")
    place = np.linalg.inv(spine.frames[f"vertebrae_{level}"])
    vertices = surface_of(vertebra_bone(level, spine).solids, 1.0).vertices_mm.astype(np.float64)
    model = vertices @ place[:3, :3].T + place[:3, 3]
    best = np.full(1, np.inf)
    for lean in (-20.0, 0.0, 20.0):
        moved = (model - model.mean(axis=0)) @ rotation((1.0, 0.0, 0.0), lean)[:3, :3].T + real.mean(axis=0)
        moved = _aligned(moved, real)
        apart = np.concatenate([cKDTree(real).query(moved)[0], cKDTree(moved).query(real)[0]])
        if apart.mean() < best.mean():
            best = apart
    return best


def _read_points(path: Path) -> NDArray[np.float64]:
    """Return the vertices and triangle centres of a mesh, mm, x left, y back, z up."""
    lines = [line.split() for line in path.read_text(encoding="ascii").splitlines()]
    points = 1000.0 * np.array([[float(word) for word in line[1:4]] for line in lines if line[:1] == ["v"]])
    corners = np.array([[int(word.split("/")[0]) - 1 for word in line[1:4]] for line in lines if line[:1] == ["f"]])
    every = np.concatenate([points, points[corners].mean(axis=1)])
    return np.stack([every[:, 1], -every[:, 0], every[:, 2]], axis=1)


def _aligned(model: NDArray[np.float64], real: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the model brought to the real one by iterated closest points, both ways, with scale (Umeyama 1991)."""
    forward = cKDTree(real)
    for _ in range(60):
        there, back = forward.query(model)[1], cKDTree(model).query(real)[1]
        source, target = np.concatenate([model, model[back]]), np.concatenate([real[there], real])
        a, b = source - source.mean(axis=0), target - target.mean(axis=0)
        u, stretch, v = np.linalg.svd(b.T @ a)
        sign = np.array([1.0, 1.0, np.sign(np.linalg.det(u @ v))])
        scale = float((stretch * sign).sum() / (a**2).sum())
        model = scale * (model - source.mean(axis=0)) @ (u * sign @ v).T + target.mean(axis=0)
    return model


def _mesh_rows(level: str, mesh_folder: Path) -> list[Row]:
    spine = make_spine(PatientParameters(seed=4, sex="male", age_years=39, height_cm=180.0))
    apart = surface_distances_mm(level, mesh_folder, spine)
    found = (("mean", 2.0, float(apart.mean())), ("p95", 5.0, float(np.percentile(apart, 95.0))))
    what = "distance both ways to the real surface, a man of average dimensions"
    return [_row(f"anatomy.surface.{level}.{name}", what, "Visible Human", most, at, "mm") for name, most, at in found]
