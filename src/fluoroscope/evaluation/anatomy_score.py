"""Rows of the scorecard about the modelled spine: measured dimensions, bones apart, real surfaces.

The real surfaces (`mesh/vhm-lumbosacral` of the test data) are one man's. Of him the model knows the 14 dimensions of
each vertebra, as a measured patient's would be given; its shape numbers are those of everybody. It is then aligned
to him by a similarity. A second row leaves him out: a man of average dimensions, to tell, not to pass.
"""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from fluoroscope.geometry.rigid import rotation
from fluoroscope.patient.anatomy.measured import measure_spine
from fluoroscope.patient.anatomy.morphometry import DISCS, MORPHOMETRY, levels_of, sample_morphometry
from fluoroscope.patient.anatomy.parameters import PatientParameters
from fluoroscope.patient.anatomy.skeleton import make_skeleton
from fluoroscope.patient.anatomy.solids import Solid
from fluoroscope.patient.anatomy.spine import Spine, assemble_spine, make_spine, vertebra_bone
from fluoroscope.patient.anatomy.surfaces import clearance_mm, surface_of
from fluoroscope.patient.anatomy.vertebra import VertebraMorphometry

__all__ = [
    "anatomy_rows",
    "clearance_at_bending",
    "pairs_not_apart",
    "real_man",
    "sampled_dimensions",
    "surface_distances_mm",
]

Row = dict[str, Any]
LEVELS = ("L1", "L2", "L3", "L4", "L5")
REAL_MAN = {
    "L1": (51.3, 40.5, 48.8, 42.3, 31.6, 32.7, 12.0, 20.6, 5.4, 16.8, 13.1, 73.5, 34.8, 33.3),
    "L2": (52.9, 42.2, 51.7, 43.9, 30.4, 31.9, 11.9, 19.6, 4.0, 18.4, 11.8, 86.0, 37.7, 16.7),
    "L3": (52.9, 46.4, 53.8, 42.3, 31.9, 31.5, 13.8, 20.8, 4.0, 16.2, 11.0, 94.1, 40.7, 20.7),
    "L4": (50.8, 41.4, 53.7, 38.7, 33.2, 31.4, 15.9, 18.2, 10.9, 19.2, 13.8, 93.3, 35.3, 53.7),
    "L5": (58.8, 39.5, 56.9, 35.2, 35.1, 26.3, 12.2, 12.2, 22.1, 24.5, 13.3, 96.0, 29.0, 39.7),
}
"""Dimensions of the man of the meshes, in the order of `MORPHOMETRY`: fitted to his surfaces, mm and degrees."""
BENDING_DEG = {"T11_T12": 5.0, "T12_L1": 6.0, "L1_L2": 9.0, "L2_L3": 10.7, "L3_L4": 10.0, "L4_L5": 8.2}
"""Flexion to extension of each joint (guidance 2.2; above L2 unverified); a degree is added to either half."""


def anatomy_rows(*, full: bool, mesh_folder: Path | None = None) -> list[Row]:
    """Return the rows: dimensions, pelvis, bones apart and, where the meshes are, surface distances."""
    rows = _dimension_rows(500 if full else 6)
    rows += [_pelvis_row(20 if full else 1), _apart_row(500 if full else 1)]
    if mesh_folder is not None and mesh_folder.is_dir():
        rows += [row for level in LEVELS for row in _mesh_rows(level, mesh_folder)]
    return rows


def _row(identity: str, what: str, reference: str, tolerance: float, value: float, unit: str) -> Row:
    passed = bool(value <= tolerance)
    row: Row = {"id": identity, "what": what, "reference": reference, "tolerance": tolerance}
    return row | {"value": value, "unit": unit, "pass": passed}


def _person(seed: int) -> PatientParameters:
    """Return a woman or a man by turns."""
    return PatientParameters(seed=seed, sex="male" if seed % 2 else "female")


def _samples(count: int) -> list[Spine]:
    return [make_spine(_person(n)) for n in range(count)]


def sampled_dimensions(count: int) -> dict[str, tuple[float, float, float, float]]:
    """Return by "level/quantity" measured mean and spread, then those of the source, for L1 to L5."""
    measured = [measure_spine(spine) for spine in _samples(count)]
    found = {}
    for quantity, (means, spreads) in MORPHOMETRY.items():
        names = ("facet_left_deg", "facet_right_deg") if quantity == "facet_deg" else (quantity,)
        for n, level in enumerate(LEVELS, start=2):
            values = np.array([one[level][name] for one in measured for name in names])
            found[f"{level}/{quantity}"] = (float(np.nanmean(values)), float(np.nanstd(values)), means[n], spreads[n])
    for end, (means, spread) in DISCS.items():
        for n, (upper, lower) in enumerate(itertools.pairwise(LEVELS), start=2):
            values = np.array([one["spine"][f"{upper}_{lower}/{end}"] for one in measured])
            found[f"{upper}_{lower}/disc_{end}"] = (
                float(np.nanmean(values)),
                float(np.nanstd(values)),
                means[n],
                spread,
            )
    lordosis = np.array([one["spine"]["lordosis_deg"] for one in measured])
    found["lordosis_deg"] = (float(lordosis.mean()), float(lordosis.std()), 36.8, 13.2)
    return found


def _dimension_rows(count: int) -> list[Row]:
    """Every quantity's mean; its spread where the sample is large enough to have one."""
    rows = []
    sampled = sampled_dimensions(count)
    for name, (mean, spread, wanted, wanted_spread) in sampled.items():
        if count >= 100:
            off, wide = 100.0 * abs(mean / wanted - 1.0), 100.0 * abs(spread / wanted_spread - 1.0)
            rows.append(_row(f"anatomy.mean.{name}", f"mean of {count} spines", "guidance 6", 5.0, off, "%"))
            rows.append(_row(f"anatomy.spread.{name}", f"spread of {count} spines", "guidance 6", 20.0, wide, "%"))
    if not rows:
        worst = max(abs(one[0] - one[2]) / one[3] for one in sampled.values())
        rows.append(
            _row("anatomy.dimensions", f"{count} spines, farthest mean in spreads", "guidance 6", 1.5, worst, "SD")
        )
    return rows


def _pelvis_row(count: int) -> Row:
    """Measure incidence on the built bones: at the S1 endplate to the middle of the femoral heads."""
    worst = 0.0
    for n in range(count):
        skeleton, _ = make_skeleton(_person(n))
        spine = make_spine(_person(n))
        heads = [np.array(skeleton.landmarks[f"femur_{side}/head_center"].position_mm) for side in ("left", "right")]
        frame = spine.frames["sacrum"]
        down = frame[:3, 3] - 0.5 * (heads[0] + heads[1])
        slope = float(np.degrees(np.arctan2(-frame[1, 2], frame[2, 2])))
        tilt = float(np.degrees(np.arctan2(down[1], down[2])))
        worst = max(worst, abs(float(str(spine.facts["pelvic_incidence_deg"])) - tilt - slope))
    return _row("anatomy.pelvis", "PI − PT − slope, on endplate and femoral heads", "geometry", 0.1, worst, "deg")


def clearance_at_bending(
    spine: Spine, upper: str, lower: str, share: float, bones: Mapping[str, Sequence[Solid]] | None = None
) -> float:
    """Return the proven room in mm between two neighbours, the upper bent by a share of half its range.

    Parameters
    ----------
    spine, upper, lower
        Levels, "L5" and "S1" last.
    share
        +1 flexed, 0 at rest, −1 extended; a degree more than half the range either way.
    bones
        Solids by name, "vertebrae_L4" …, "sacrum", where they are not those of the bare spine (pathologies).
    """
    name = f"{upper}_{lower}"
    place = spine.facet_joints[name].world_from_joint
    angle = share * (0.5 * BENDING_DEG.get(name, 6.8) + 1.0)
    moved = place @ rotation((1.0, 0.0, 0.0), angle) @ np.linalg.inv(place)
    if bones is None:
        bones = {f"vertebrae_{level}": vertebra_bone(level, spine).solids for level in (upper, lower)}
    below = "sacrum" if lower == "S1" else f"vertebrae_{lower}"
    return clearance_mm(bones[f"vertebrae_{upper}"], bones[below], first_moved=moved)


def pairs_not_apart(parameters: PatientParameters) -> list[tuple[str, float]]:
    """Return the discs and shares of bending at which a patient's neighbours, T11 to the sacrum, are not proven apart.

    Pathologies are part of the bones; implants are not (a fused joint does not bend).
    """
    spine = make_spine(parameters)
    skeleton, _ = make_skeleton(parameters)
    bones = {bone.name: bone.solids for bone in skeleton.bones}
    found = []
    for upper, lower in itertools.pairwise((*spine.levels, "S1")):
        for share in (-1.0, 0.0, 1.0):
            if clearance_at_bending(spine, upper, lower, share, bones) <= 0.0:
                found.append((f"{upper}_{lower}", share))
    return found


def _apart_row(count: int) -> Row:
    return _row(
        "anatomy.apart",
        f"pairs not proven apart, T11 to sacrum, {count} spines, flexed, extended and at rest",
        "bounds of distance",
        0.0,
        float(sum(len(pairs_not_apart(_person(n))) for n in range(count))),
        "1",
    )


def surface_distances_mm(level: str, mesh_folder: Path, spine: Spine) -> NDArray[np.float64]:
    """Return distances both ways between a modelled vertebra and the real one, aligned by a similarity, mm."""
    real = _read_points(mesh_folder / f"{level}.obj")
    place = np.linalg.inv(spine.frames[f"vertebrae_{level}"])
    vertices = surface_of(vertebra_bone(level, spine).solids, 1.0).vertices_mm.astype(np.float64)
    model = vertices @ place[:3, :3].T + place[:3, 3]
    starts = []
    for lean in (-20.0, 0.0, 20.0):
        moved = (model - model.mean(axis=0)) @ rotation((1.0, 0.0, 0.0), lean)[:3, :3].T + real.mean(axis=0)
        moved = _aligned(moved, real, turns=12)
        starts.append((float(np.mean(cKDTree(real[::7]).query(moved[::7])[0])), moved))
    moved = _aligned(min(starts, key=lambda one: one[0])[1], real, turns=40)
    return np.concatenate([cKDTree(real).query(moved)[0], cKDTree(moved).query(real)[0]])


def _read_points(path: Path) -> NDArray[np.float64]:
    """Return points spread over the surface of a mesh, mm, x left, y back, z up."""
    lines = [line.split() for line in path.read_text(encoding="ascii").splitlines()]
    points = 1000.0 * np.array([[float(word) for word in line[1:4]] for line in lines if line[:1] == ["v"]])
    corners = np.array([[int(word.split("/")[0]) - 1 for word in line[1:4]] for line in lines if line[:1] == ["f"]])
    every = _dense(points, corners)
    return np.stack([every[:, 1], -every[:, 0], every[:, 2]], axis=1)


def _dense(points: NDArray[np.float64], corners: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return vertices and a few points in each triangle: the nearest is nearly the foot on the surface."""
    inside = [(a, b, 6 - a - b) for a, b in itertools.product((1, 2, 4), repeat=2) if a + b < 6]
    shares = np.array(inside) / 6.0
    return np.concatenate([points, np.einsum("kc,ncd->nkd", shares, points[corners]).reshape(-1, 3)])


def _aligned(model: NDArray[np.float64], real: NDArray[np.float64], turns: int) -> NDArray[np.float64]:
    """Return the model brought to the real one by iterated closest points, both ways, with scale (Umeyama 1991)."""
    # Every seventh point is enough to find the place by.
    real = real[::7]
    forward = cKDTree(real)
    for _ in range(turns):
        few = model[::7]
        there, back = forward.query(few)[1], cKDTree(few).query(real)[1]
        source, target = np.concatenate([few, few[back]]), np.concatenate([real[there], real])
        a, b = source - source.mean(axis=0), target - target.mean(axis=0)
        u, stretch, v = np.linalg.svd(b.T @ a)
        sign = np.array([1.0, 1.0, np.sign(np.linalg.det(u @ v))])
        scale = float((stretch * sign).sum() / (a**2).sum())
        model = scale * (model - source.mean(axis=0)) @ (u * sign @ v).T + target.mean(axis=0)
    return model


def real_man() -> Spine:
    """Return the modelled spine of the man whose surfaces the test data have."""
    parameters = PatientParameters(seed=4, sex="male", age_years=39, height_cm=180.0)
    drawn = sample_morphometry(parameters)
    vertebrae = dict(drawn.vertebrae)
    for level, values in REAL_MAN.items():
        own = dict(zip(MORPHOMETRY, values, strict=True))
        angle = own.pop("facet_deg")
        vertebrae[level] = VertebraMorphometry(**own, facet_left_deg=angle, facet_right_deg=angle, irregular=0)
    return assemble_spine(replace(drawn, vertebrae=vertebrae), levels=levels_of(parameters))


def _mesh_rows(level: str, mesh_folder: Path) -> list[Row]:
    average = make_spine(PatientParameters(seed=4, sex="male", age_years=39, height_cm=180.0))
    what = "distance both ways to the real surface"
    rows = []
    for name, who, spine, most in (
        ("surface", "his 14 dimensions, shape numbers of everybody, no bumps", real_man(), (2.0, 5.0)),
        ("surface_average", "a man of average dimensions, for information", average, (10.0, 20.0)),
    ):
        apart = surface_distances_mm(level, mesh_folder, spine)
        found = (("mean", float(apart.mean())), ("p95", float(np.percentile(apart, 95.0))))
        for (figure, value), limit in zip(found, most, strict=True):
            identity = f"anatomy.{name}.{level}.{figure}"
            rows.append(_row(identity, f"{what}: {who}", "Visible Human", limit, value, "mm"))
    return rows
