"""``fluoroscope scorecard``: accuracy, each figure with its reference and tolerance.

References: exact chords of solids, itk-rtk, published half-value layers, NIST attenuation, Poisson statistics, the
geometry of a ray meeting a plane. Three rows hold a fast path against a plain one of the same physics and say so in
their reference: the projector's agreement, the table of response, the exposure control.
"""

import importlib.util
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from fluoroscope.acquisition.clock import SteppedClock
from fluoroscope.beam.basis import basis_of
from fluoroscope.beam.materials import MATERIALS, linear_attenuation_per_mm
from fluoroscope.beam.spectrum import tube_spectrum
from fluoroscope.beam.technique import Filtration, Technique
from fluoroscope.detector.expose import Detector
from fluoroscope.detector.response import detected_beam
from fluoroscope.evaluation.analytic_phantom import torso_phantom
from fluoroscope.evaluation.anatomy_score import anatomy_rows
from fluoroscope.evaluation.detection_score import detection_rows
from fluoroscope.evaluation.dose_score import dose_rows
from fluoroscope.evaluation.needle_score import needle_rows
from fluoroscope.evaluation.operator_score import operator_rows
from fluoroscope.evaluation.projector_bench import (
    accuracy_rows,
    peer_rows,
)
from fluoroscope.evaluation.pulse_bench import bench_carm
from fluoroscope.evaluation.registration_runs import registration_rows
from fluoroscope.evaluation.tracked_score import tracked_rows
from fluoroscope.evaluation.two_view_score import two_view_rows
from fluoroscope.evaluation.xray_likeness import rows as patient_rows
from fluoroscope.geometry.carm import C_ARMS
from fluoroscope.geometry.grid import DetectorGrid
from fluoroscope.geometry.pose import CArmPose, beam_axes
from fluoroscope.geometry.projection import project_points, projection_geometry

__all__ = ["scorecard_rows"]

Row = dict[str, Any]
Progress = Callable[[float, str], None]

RQR_AL_MM = (
    (40.0, 2.474, 1.42), (50.0, 2.441, 1.78), (60.0, 2.607, 2.19), (70.0, 2.719, 2.58),
)  # fmt: skip
"""IEC 61267 qualities RQR 2 to 5: kV, total filtration that gives the quality (12° anode), HVL1 in mm Al."""
OUTPUT_UGY_PER_MAS = ((0.0, 69.5), (0.1, 36.6), (0.3, 17.3))
"""Copper in mm, air kerma at 1 m of 80 kV, 3.1 mm Al, 11° anode (SpekPy 2.5)."""
ATTENUATION_PER_CM = {
    "water": (0.268, 0.206, 0.184), "adipose": (0.228, 0.188, 0.171), "muscle": (0.282, 0.215, 0.191),
    "spine_bone": (0.706, 0.381, 0.292), "cortical_bone": (1.278, 0.604, 0.428), "steel_304": (28.2, 9.39, 4.65),
}  # fmt: skip
"""Linear attenuation at 40, 60 and 80 keV (NIST XCOM with ICRU 44 compositions)."""


def scorecard_rows(
    *, full: bool, progress: Progress, peak_of: Callable[[Path], float | None] | None = None
) -> list[Row]:
    """Return the rows of the scorecard.

    Parameters
    ----------
    full
        More poses and pixels for the projector, and itk-rtk and PySkinDose where they are installed.
    progress
        Told the fraction done.
    peak_of
        Gives the peak skin dose of a dose report; None leaves the row of it out.
    """
    progress(0.0, "geometry")
    rows = [_pixels()]
    progress(0.1, "beam")
    rows += [_attenuation(), _water_transmission(), _half_value_layers(), _output(), _two_basis_materials()]
    progress(0.2, "detector")
    rows += [_noise_and_dose(), _table_of_response(), *_exposure_control()]
    progress(0.4, "projector")
    rows += _projector(full)
    if full and importlib.util.find_spec("itk") is not None:
        progress(0.8, "itk-rtk")
        rows += [
            score(one["id"], one["what"], "itk-rtk JosephForwardProjectionImageFilter", 0.2, one["value"], "%")
            for one in peer_rows((100, 128, 128), (4.0, 3.2, 3.2), pixels=(256,), frames=3)
            if "difference" in one["id"]
        ]
    progress(0.85, "the modelled patient")
    rows += anatomy_rows(full=full, mesh_folder=_meshes()) + patient_rows(full)
    progress(0.95, "needles")
    rows += needle_rows() if full else needle_rows(gauges=(22, 27), sizes=(512,), views=1)
    rows += detection_rows(score, full=full)
    progress(0.97, "dose")
    rows += dose_rows(score, full=full, peak_of=peak_of)
    if full:
        progress(0.98, "a guided operator")
        rows += operator_rows(score, progress=lambda share: progress(0.98, f"a guided operator, {100.0 * share:.0f} %"))
        rows += two_view_rows(score)
    progress(0.98, "registration")
    rows += registration_rows(score, full=full) + tracked_rows(score, full=full)
    progress(1.0, "done")
    return rows


def _meshes() -> Path | None:
    """Return the folder of real surfaces to compare with, where the test data is at hand."""
    data = os.environ.get("FLUOROSCOPE_TEST_DATA")
    return Path(data) / "mesh" / "vhm-lumbosacral" if data else None


def score(identity: str, what: str, reference: str, tolerance: float, value: float, unit: str) -> Row:
    """Return one line: ``value`` is an error and passes at or below ``tolerance``."""
    return {
        "id": identity,
        "what": what,
        "reference": reference,
        "tolerance": tolerance,
        "value": float(value),
        "unit": unit,
        "pass": bool(value <= tolerance),
    }


def _pixels() -> Row:
    """Compare the projection matrix with rays met with the detector plane, for every C-arm over its limits."""
    rng = np.random.default_rng(20261122)
    worst = 0.0
    for model in C_ARMS.values():
        for _ in range(50):
            joints = {joint.name: rng.uniform(joint.minimum, joint.maximum) for joint in model.joints}
            pose, grid = model.pose(joints), DetectorGrid(1000, 768, 0.3)
            axes, center = beam_axes(pose), np.asarray(pose.isocenter_mm)
            point = center + rng.uniform(-100.0, 100.0, 3)
            source = center - pose.source_to_isocenter_mm * axes.d
            ray = point - source
            hit = source + ray * (pose.source_to_detector_mm / (ray @ axes.d)) - center
            expected = np.array([hit @ axes.v, hit @ axes.u]) / grid.pitch_mm + [499.5, 383.5]
            found = project_points(projection_geometry(pose, grid), point)
            worst = max(worst, float(np.abs(found - expected).max()))
    return score(
        "geometry.pixel",
        "largest error of a projected point, 150 poses",
        "ray meets plane",
        1e-6,
        worst,
        "px",
    )


def _attenuation() -> Row:
    worst = 0.0
    for name, wanted in ATTENUATION_PER_CM.items():
        found = 10.0 * linear_attenuation_per_mm(MATERIALS[name], np.array([40.0, 60.0, 80.0]))
        worst = max(worst, float(np.abs(found / np.array(wanted) - 1.0).max()))
    what = "largest deviation of linear attenuation, six materials, 40/60/80 keV"
    return score("beam.attenuation", what, "NIST XCOM, ICRU 44", 1.0, 100.0 * worst, "%")


def _water_transmission() -> Row:
    mu = float(linear_attenuation_per_mm(MATERIALS["water"], np.array([60.0]))[0])
    error = abs(np.exp(-300.0 * mu) / 2.077e-3 - 1.0)
    return score("beam.water", "transmission of 300 mm water at 60 keV", "2.077e-3 (NIST)", 1.0, 100.0 * error, "%")


def _half_value_layers() -> Row:
    errors = [abs(tube_spectrum(kv, Filtration(al, 0.0), 12.0).hvl_mm_al() / hvl - 1.0) for kv, al, hvl in RQR_AL_MM]
    what = "largest deviation of HVL1, RQR 2 to 5"
    return score("beam.hvl", what, "IEC 61267", 2.0, 100.0 * max(errors), "%")


def _output() -> Row:
    errors = [
        abs(tube_spectrum(80.0, Filtration(3.1, cu), 11.0).air_kerma_ugy_per_mas() / kerma - 1.0)
        for cu, kerma in OUTPUT_UGY_PER_MAS
    ]
    what = "largest deviation of µGy/mAs at 1 m, 80 kV, 0/0.1/0.3 mm Cu"
    return score("beam.output", what, "SpekPy 2.5", 2.0, 100.0 * max(errors), "%")


def _two_basis_materials() -> Row:
    """Compare the detected energy behind real tissues with that behind their (water, bone) equivalents."""
    model = Detector().model
    worst = 0.0
    for kv in (60.0, 80.0, 110.0):
        beam = tube_spectrum(kv, Filtration(3.1, 0.1))
        for name, length_mm in (
            ("adipose", 60.0),
            ("muscle", 120.0),
            ("spine_bone", 40.0),
            ("cortical_bone", 10.0),
        ):
            behind = beam.filtered(MATERIALS["water"], 150.0).filtered(MATERIALS[name], length_mm)
            zero = np.zeros(1)
            exact = detected_beam(model, behind, zero, zero).energy_kev[0, 0]
            water, bone = basis_of(MATERIALS[name])
            ours = detected_beam(
                model, beam, np.array([150.0 + water * length_mm]), np.array([bone * length_mm])
            ).energy_kev[0, 0]
            worst = max(worst, abs(ours / exact - 1.0))
    what = "largest error of the signal by two basis materials, four tissues behind 150 mm water, 60/80/110 kV"
    return score("beam.basis", what, "every material integrated over the spectrum", 3.0, 100.0 * worst, "%")


def _flat(detector: Detector, mas_factor: float, frame: int) -> np.ndarray[Any, np.dtype[np.float64]]:
    grid = DetectorGrid(256, 256, 0.3)
    geometry = projection_geometry(CArmPose(0.0, 0.0, 510.0, 1020.0), grid)
    thickness = np.zeros((2, 256, 256), dtype=np.float32)
    thickness[0] = 200.0
    technique = Technique(75.0, 8.0 * mas_factor, 8.0, 15.0)
    return detector.expose(thickness, technique, geometry, None, frame).astype(np.float64)


def _noise_and_dose() -> Row:
    """Half the dose must give √2 the relative noise (quantum-limited), measured on difference images."""
    detector = Detector(seed=5)
    relative = []
    # Far above the electronic noise, whose share would otherwise show.
    for factor in (16.0, 8.0):
        pairs = [(_flat(detector, factor, 2 * n), _flat(detector, factor, 2 * n + 1)) for n in range(6)]
        noise = np.sqrt(np.mean([np.var(one - other) / 2.0 for one, other in pairs]))
        relative.append(noise / np.mean([one.mean() for one, _ in pairs]))
    error = abs(relative[1] / relative[0] / np.sqrt(2.0) - 1.0)
    what = "relative noise at half the dose over that at full dose, against √2"
    return score("detector.noise_dose", what, "Poisson statistics", 3.0, 100.0 * error, "%")


def _table_of_response() -> Row:
    detector = Detector()
    technique = Technique(83.0, 10.0, 8.0, 15.0)
    beam = tube_spectrum(83.0, technique.filtration)
    rng = np.random.default_rng(3)
    water, bone = rng.uniform(0.0, 350.0, 200), rng.uniform(0.0, 60.0, 200)
    exact = np.array(
        [
            detected_beam(detector.model, beam, np.array([w]), np.array([b])).energy_kev[0, 0]
            for w, b in zip(water, bone, strict=True)
        ]
    )
    from fluoroscope.detector.response import response_table

    table = response_table(detector.model, 83.0, technique.filtration)
    error = np.abs(table.energy_kev(water, bone) / exact - 1.0).max()
    what = "largest error of the response table, 200 rays"
    return score("detector.table", what, "integral over the spectrum", 0.2, 100.0 * float(error), "%")


def _exposure_control() -> list[Row]:
    """Turn from AP to lateral on a torso and compare the detector signal under the automatic curve."""
    from datetime import UTC, datetime

    volume = torso_phantom().voxelise_basis((100, 128, 128), (4.0, 3.2, 3.2))
    carm = bench_carm(volume, 256, SteppedClock(datetime(2026, 1, 1, tzinfo=UTC)))
    carm.prepare()
    carm.press(carm.control.technique(15.0), "scorecard")
    frames = carm.frames()
    detector, signals = Detector(), []
    for orbital in (0.0, 90.0):
        carm.set_joints({"orbital": orbital})
        frame = [next(frames) for _ in range(10)][-1]
        signals.append(detector.mean_signal(frame.pixels, carm.grid, frame.collimation))
    carm.release()
    target = carm.control.target_signal()
    errors = [100.0 * abs(signal / target - 1.0) for signal in signals]
    names = (("ap", "AP"), ("lateral", "lateral"))
    return [
        score(
            f"exposure.{key}",
            f"detector signal under automatic control, {name}",
            "target signal",
            10.0,
            error,
            "%",
        )
        for (key, name), error in zip(names, errors, strict=True)
    ]


def _projector(full: bool) -> list[Row]:
    """Report the worst of the poses held aside, against exact chords."""
    rows = {one["id"]: one for one in accuracy_rows(pixels=512 if full else 256, count=8 if full else 3)}
    ratio, agreement = rows["projector.rmse_ratio"], rows["projector.agreement"]
    size = ratio["size"]
    return [
        score(
            "projector.rmse_ratio", f"RMSE against exact chords over that of the trilinear reference, {size}",
            "analytic chords", 1.02, ratio["spread"][1], "1",
        ),
        score(
            "projector.agreement", f"RMS difference of fast and double-precision reference, {size}",
            "trilinear march in double precision", 0.05, agreement["spread"][1], "%",
        ),
    ]  # fmt: skip
