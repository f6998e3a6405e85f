"""How like a real patient a modelled one is: CT numbers in published ranges, parts that add up, X-ray statistics."""

import os
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fluoroscope.geometry.grid import DetectorGrid
from fluoroscope.geometry.pose import CArmPose
from fluoroscope.geometry.projection import ProjectionGeometry, projection_geometry
from fluoroscope.patient.anatomy.build import build_patient
from fluoroscope.patient.anatomy.built import BuiltPatient
from fluoroscope.patient.anatomy.hounsfield import tissue_numbers
from fluoroscope.patient.anatomy.parameters import PatientParameters
from fluoroscope.patient.anatomy.structures import structures
from fluoroscope.patient.library import is_fetched, open_patient, patients
from fluoroscope.patient.motion import LivingPatient, MotionSettings
from fluoroscope.patient.tissues import to_basis
from fluoroscope.patient.volume import BasisVolume
from fluoroscope.projector.integrals import project

__all__ = ["Statistics", "bands", "depth_error_mm", "hu_means", "parts_error", "rows", "statistics", "thickness"]

Row = dict[str, Any]
TISSUE_OF = {
    "liver": "liver", "spleen": "spleen", "kidney_left": "kidney", "kidney_right": "kidney", "aorta": "blood",
    "inferior_vena_cava": "blood", "autochthon_left": "muscle", "autochthon_right": "muscle",
    "iliopsoas_left": "lean_muscle", "iliopsoas_right": "lean_muscle", "quadratus_lumborum_left": "muscle",
    "quadratus_lumborum_right": "muscle", "abdominal_wall": "muscle", "subcutaneous_fat": "subcutaneous_fat",
    "abdominal_fat": "visceral_fat", "skin": "skin", "cerebrospinal_fluid": "csf", "spinal_cord": "cord",
    "cauda_equina": "nerve", "epidural_space": "epidural_fat", "ligamentum_flavum": "ligament",
    "interspinous_ligament": "ligament", "disc_L1_L2": "disc", "disc_L2_L3": "disc", "disc_L3_L4": "disc",
    "disc_L4_L5": "disc", "lung_lower_lobe_left": "lung", "lung_lower_lobe_right": "lung", "bowel_gas": "gas",
    "small_bowel": "bowel_wall", "urinary_bladder": "urine", "gallbladder": "bile", "pancreas": "pancreas",
}  # fmt: skip
"""Which tissue's published range a structure must lie in."""
VIEWS = (("ap", 0.0), ("lateral", 90.0))
SIDE_PX, PARTS_PX, FIELD_MM = 256, 128, 130.0
BANDS = {"coarse": (0.01, 0.035, 1.5), "fine": (0.035, 0.12, 1.0)}
"""From, to (1/mm at the isocentre), tolerance (octaves): outlines, gas and bones; edges, as far as a 3 mm CT has them.

Coarse structure of the two real CTs differs by 1 (AP) to 2 (lateral) octaves from one to the other.
"""
MU_WATER_MM, MU_BONE_MM = 0.0206, 0.0604
"""Water and cortical bone at 60 keV, 1/mm (NIST XCOM)."""


def hu_means(built: BuiltPatient) -> dict[str, tuple[float, str]]:
    """Return mean CT number and tissue by structure, measured in the core: voxels whose six neighbours are of it too.

    Structures with a core of fewer than 30 voxels, as the skin at 1 mm, are left out: all their voxels share
    with others.
    """
    labels = built.labels.values
    middle = (slice(1, -1),) * 3
    core = np.ones(labels[middle].shape, dtype=np.bool_)
    for axis in range(3):
        for shift in (slice(0, -2), slice(2, None)):
            core &= labels[tuple(shift if n == axis else slice(1, -1) for n in range(3))] == labels[middle]
    inside, values = labels[middle][core], np.asarray(built.volume.values)[middle][core]
    count = np.bincount(inside, minlength=256)
    total = np.bincount(inside, weights=values, minlength=256)
    known = structures()
    return {
        name: (float(total[known[name].label] / count[known[name].label]), tissue)
        for name, tissue in TISSUE_OF.items()
        if count[known[name].label] >= 30
    }


def depth_error_mm(built: BuiltPatient) -> float:
    """Return the largest error of skin to mid-canal at L1 to L5 on the label map against the formula."""
    wanted = float(str(built.facts["skin_to_canal_formula_mm"]))
    index = np.linalg.inv(built.volume.world_from_index)
    pitch = float(built.volume.spacing_mm[1])
    worst = 0.0
    for level in ("L1", "L2", "L3", "L4", "L5"):
        landmark = built.articulation.landmarks.get(f"{level}/canal_center")
        if landmark is None:
            continue
        i, j, k = index[:3, :3] @ np.array(landmark.position_mm) + index[:3, 3]
        line = built.labels.values[round(i), :, round(k)]
        last = int(np.flatnonzero(line)[-1])
        worst = max(worst, abs((last + 0.5 - j) * pitch - wanted))
    return worst


def _geometry(place: NDArray[np.float64], primary_deg: float, side_px: int) -> ProjectionGeometry:
    isocenter = (float(place[0]), float(place[1]), float(place[2]))
    # The field at the isocentre is what the detector shows, made smaller by the magnification.
    pitch = FIELD_MM / side_px * 1020.0 / 600.0
    return projection_geometry(
        CArmPose(primary_deg, 0.0, 600.0, 1020.0, isocenter_mm=isocenter), DetectorGrid(side_px, side_px, pitch)
    )


def thickness(
    volume: BasisVolume, place: NDArray[np.float64], primary_deg: float, side_px: int = SIDE_PX
) -> NDArray[np.float64]:
    """Return -log of the transmission at 60 keV (side_px, side_px) of a field of 130 mm around a place."""
    water, bone = project(volume, _geometry(place, primary_deg, side_px)).astype(np.float64)
    return np.asarray(MU_WATER_MM * water + MU_BONE_MM * bone)


def parts_error(built: BuiltPatient) -> float:
    """Return the rms difference of the parts' sum and the volume itself, % of the picture's rms, worst of two views."""
    whole, place = to_basis(built.volume), np.zeros(3)
    worst = 0.0
    for _, angle in VIEWS:
        wanted = thickness(whole, place, angle, PARTS_PX)
        got = np.zeros_like(wanted)
        for part in built.articulation.parts:
            got += thickness(part.volume, place, angle, PARTS_PX)
        worst = max(worst, float(np.sqrt(np.mean((got - wanted) ** 2)) / np.sqrt(np.mean(wanted**2))))
    return 100.0 * worst


def bands(built: BuiltPatient, pull_n: float = 600.0) -> float:
    """Return the rms of bands across the trunk when the spine is pulled, in -log of the transmission.

    Where slabs of soft tissue crowd or part, rows of the AP picture turn brighter or darker: mean change of each row of
    what the slabs and the base alone show, less its own running mean over 40 mm.
    """
    living = LivingPatient(built.articulation, MotionSettings.still())
    living.pull(0.0, pull_n, 1.0)
    rows, geometry = np.zeros(PARTS_PX), _geometry(np.zeros(3), 0.0, PARTS_PX)
    for sign, time_s in ((-1.0, 0.0), (1.0, 900.0)):
        for body in living.at(time_s).bodies:
            if body.name.startswith(("base", "soft_")):
                water, bone = project(body.volume, geometry, world_from_body=body.world_from_body).astype(np.float64)
                rows += sign * (MU_WATER_MM * water + MU_BONE_MM * bone).mean(axis=1)
    run = 2 * round(20.0 / FIELD_MM * PARTS_PX) + 1
    smooth = np.convolve(rows, np.ones(run) / run, mode="valid")
    return float(np.std(rows[run // 2 : run // 2 + len(smooth)] - smooth))


@dataclass(frozen=True, slots=True)
class Statistics:
    """What an X-ray is like after the logarithm.

    Attributes
    ----------
    edges, histogram
        Bins of the deviation from the median (1/1) and the share of pixels in each.
    frequency_per_mm, power
        Radially averaged power spectrum at the isocentre's scale.
    spread
        Between the 5th and the 95th percentile.
    """

    edges: NDArray[np.float64]
    histogram: NDArray[np.float64]
    frequency_per_mm: NDArray[np.float64]
    power: NDArray[np.float64]
    spread: float

    def rms(self, low_per_mm: float, high_per_mm: float) -> float:
        """Return the rms of what lies in a band of frequencies."""
        used = (self.frequency_per_mm > low_per_mm) & (self.frequency_per_mm < high_per_mm)
        at = self.frequency_per_mm[used]
        return float(np.sqrt(np.trapezoid(2.0 * np.pi * at * self.power[used], at)))


def statistics(picture: NDArray[np.float64]) -> Statistics:
    """Measure a log picture (n, n) of a field of 130 mm."""
    flat = picture - np.median(picture)
    edges = np.linspace(-2.0, 2.0, 81)
    histogram, _ = np.histogram(np.clip(flat, -1.999, 1.999), edges, density=False)
    window = np.hanning(len(picture))[:, np.newaxis] * np.hanning(len(picture))[np.newaxis]
    pitch = FIELD_MM / len(picture)
    spectrum = np.abs(np.fft.fft2((picture - picture.mean()) * window)) ** 2 * pitch**2 / (window**2).sum()
    frequency = np.fft.fftfreq(len(picture), pitch)
    radius = np.hypot(frequency[:, np.newaxis], frequency[np.newaxis])
    ring = np.rint(radius * FIELD_MM).astype(int).ravel()
    power = np.bincount(ring, spectrum.ravel()) / np.maximum(np.bincount(ring), 1)
    rings = np.arange(1, len(picture) // 2)
    low, high = np.percentile(flat, [5.0, 95.0])
    return Statistics(edges, histogram / flat.size, rings / FIELD_MM, power[rings], float(high - low))


@lru_cache(maxsize=2)
def real_statistics() -> dict[str, dict[str, Statistics]]:
    """Return the statistics by view of the real CTs that are at hand."""
    found = {}
    for name, level in (("lumbar", "vertebrae_L3"), ("thoracolumbar", "vertebrae_T12")):
        record = next(one for one in patients() if one.name == name)
        if not (is_fetched(record) or os.environ.get("FLUOROSCOPE_TEST_DATA")):
            continue
        patient = _open(name)
        if patient is None:
            continue
        labels = patient.labels
        place = None if labels is None else labels.center_mm(level, patient.volume.world_from_index)
        middle = patient.reference_mm if place is None else place
        found[name] = {view: statistics(thickness(patient.basis, middle, angle)) for view, angle in VIEWS}
    return found


def _open(name: str) -> Any:
    from fluoroscope.patient.stored import PatientFileError

    try:
        return open_patient(name)
    except PatientFileError:
        pass
    folder = Path(os.environ.get("FLUOROSCOPE_TEST_DATA", "")) / "ct" / name
    files = {"lumbar": ("example_ct.nii.gz", "example_seg_fast_force_split.nii.gz", "totalsegmentator"),
             "thoracolumbar": ("cxr.nii.gz", "mask.nii.gz", folder / "structures.csv")}[name]  # fmt: skip
    try:
        return open_patient(folder / str(files[0]), labels=folder / str(files[1]), names=str(files[2]))
    except PatientFileError:
        return None


def rows(full: bool) -> list[Row]:
    """Return the scorecard's rows of modelled patients; ``full`` builds four of them, else one, coarser."""
    people = [PatientParameters(seed=7, bmi=26.0)]
    if full:
        people += [
            PatientParameters(seed=8, sex="male", age_years=67.0, bmi=33.0),
            PatientParameters(seed=9, age_years=24.0, bmi=20.0),
            PatientParameters(seed=10, sex="male", age_years=8.0, height_cm=128.0),
        ]
    built = [build_patient(one, pitch_mm=1.0 if full else 2.0) for one in people]
    numbers = tissue_numbers()
    outside = [
        max(0.0, numbers[tissue].low_hu - mean, mean - numbers[tissue].high_hu)
        for one in built
        for mean, tissue in hu_means(one).values()
    ]
    found = [
        _row(
            "patient.hu",
            f"mean CT number of {len(outside)} structures outside its range",
            "published ranges",
            0.0,
            max(outside),
            "HU",
        ),
        _row(
            "patient.depth",
            "skin to mid-canal on the label map, worst level",
            "Nayate 2016, Bailie",
            3.0,
            max(map(depth_error_mm, built)),
            "mm",
        ),
        _row(
            "patient.parts",
            "parts against the volume, AP and lateral",
            "the volume projected",
            1.0,
            max(map(parts_error, built)),
            "%",
        ),
        _row(
            "patient.bands",
            "bands across the AP picture under 600 N of traction, rms",
            "tissue that gives way sideways: none",
            0.01,
            bands(built[0]),
            "-log",
        ),
    ]
    return found + _likeness_rows(built[0])


def _likeness_rows(built: BuiltPatient) -> list[Row]:
    """Compare rms by bands and grey values with the nearer of the real CTs; nothing where none is at hand."""
    real, basis, found = real_statistics(), to_basis(built.volume), []
    nearer = "nearer of two real CTs"
    for view, angle in VIEWS:
        others = [one[view] for one in real.values()]
        if not others:
            continue
        ours = statistics(thickness(basis, np.zeros(3), angle))
        for name, (low, high, tolerance) in BANDS.items():
            ratio = min(abs(np.log2(ours.rms(low, high) / other.rms(low, high))) for other in others)
            what = f"rms of {1 / high:.0f} to {1 / low:.0f} mm periods, {view}"
            found.append(_row(f"likeness.{name}_{view}", what, nearer, tolerance, ratio, "octaves"))
        shared = max(float(np.minimum(ours.histogram, other.histogram).sum()) for other in others)
        what = f"grey values not shared, {view}"
        found.append(_row(f"likeness.histogram_{view}", what, nearer, 0.5, 1.0 - shared, "1"))
    return found


def _row(identity: str, what: str, reference: str, tolerance: float, value: float, unit: str) -> Row:
    return {"id": identity, "what": what, "reference": reference, "tolerance": tolerance, "value": float(value),
            "unit": unit, "pass": bool(value <= tolerance)}  # fmt: skip
