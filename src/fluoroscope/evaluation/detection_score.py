"""How true the detection of needles is: tips, misses, false alarms, whether its confidence holds, and its speed.

A needle counts where its tip lies in the field and at least 40 px of its shaft show. It is found when a detection told
with a confidence of 0.5 or more has its tip within 30 px; a false alarm is a picture without a needle in which one is
told with 0.5 or more. Errors are those of found needles.
"""

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fluoroscope.evaluation.analytic_phantom import torso_phantom
from fluoroscope.evaluation.detection_cases import Case, CaseRoom, case_of
from fluoroscope.evaluation.projector_bench import row
from fluoroscope.guidance.needle import DetectedNeedle, detect_needles
from fluoroscope.patient.anatomy.parameters import Pathology, PatientParameters
from fluoroscope.patient.library import model_patient, open_patient
from fluoroscope.patient.opened import Patient

__all__ = ["DetectionScore", "detection_rows", "detection_speed_rows", "reported_patients", "scored"]

Row = dict[str, Any]
Score = Callable[[str, str, str, float, float, str], Row]
TOLD_FROM = 0.5
SHORTEST_PX, NEAR_PX, RIGHT_PX = 40.0, 30.0, 8.0
MANY_NEEDLES = 30
REPORTED_SEEDS = (500, 501, 502, 503)
TIP_PX, TIP_MM, FALSE_ALARMS = 2.0, 0.5, 1.0
"""Bars of the issue: median of tips, % of pictures."""


@dataclass(frozen=True, slots=True)
class DetectionScore:
    """What came out of a set of pictures.

    Attributes
    ----------
    errors_px, errors_mm
        Of the tips found, in the picture and at the tip's own depth.
    needles, found
        How many there were, and how many were found.
    empty, alarms
        Pictures without a needle, and those in which one was told.
    sureness, right
        Confidence of every detection, and whether its tip was within `RIGHT_PX`.
    """

    errors_px: tuple[float, ...]
    errors_mm: tuple[float, ...]
    needles: int
    found: int
    empty: int
    alarms: int
    sureness: tuple[float, ...]
    right: tuple[bool, ...]

    @property
    def false_alarms_percent(self) -> float:
        """Share of empty pictures with a false alarm."""
        return 100.0 * self.alarms / max(self.empty, 1)

    @property
    def missed_percent(self) -> float:
        """Share of the needles that were not found."""
        return 100.0 * (self.needles - self.found) / max(self.needles, 1)

    @property
    def sureness_off(self) -> float:
        """Mean confidence less the share that is right, of detections told with `TOLD_FROM` or more."""
        told = [(sure, right) for sure, right in zip(self.sureness, self.right, strict=True) if sure >= TOLD_FROM]
        if not told:
            return 0.0
        return float(np.mean([sure for sure, _ in told]) - np.mean([right for _, right in told]))


def scored(cases: Sequence[Case]) -> DetectionScore:
    """Detect needles in every case, and compare with the truth."""
    px: list[float] = []
    mm: list[float] = []
    sureness: list[float] = []
    right: list[bool] = []
    needles = found = empty = alarms = 0
    for case in cases:
        told = detect_needles(case.attenuation, case.valid, pitch_mm=case.geometry.grid.pitch_mm)
        for one in told:
            sureness.append(one.confidence)
            right.append(min((_off(one, truth.tip_px) for truth in case.needles), default=np.inf) <= RIGHT_PX)
        sure = [one for one in told if one.confidence >= TOLD_FROM]
        if not case.needles:
            empty += 1
            alarms += bool(sure)
        for truth in case.needles:
            if not truth.tip_inside or truth.length_px < SHORTEST_PX:
                continue
            needles += 1
            nearest = min(sure, key=lambda one: _off(one, truth.tip_px), default=None)
            if nearest is not None and _off(nearest, truth.tip_px) <= NEAR_PX:
                found += 1
                px.append(_off(nearest, truth.tip_px))
                mm.append(px[-1] * truth.mm_per_px)
                sure.remove(nearest)
    return DetectionScore(tuple(px), tuple(mm), needles, found, empty, alarms, tuple(sureness), tuple(right))


def _off(one: DetectedNeedle, tip_px: tuple[float, float]) -> float:
    return float(np.hypot(one.tip_px[0] - tip_px[0], one.tip_px[1] - tip_px[1]))


def reported_patient(seed: int) -> PatientParameters:
    """Return a patient of the reported ones: size, age and what is abnormal drawn from the seed."""
    rng = np.random.default_rng([seed, 77])
    bmi, sex, age = float(rng.uniform(19, 38)), rng.choice(["female", "male"]), float(rng.uniform(25, 85))
    draw = float(rng.random())
    kinds = ((0.2, Pathology("fusion", "L4", 1)), (0.4, Pathology("osteophytes", "L3", 6)),
             (0.55, Pathology("facet_arthrosis", "L4", 0.7)), (0.7, Pathology("osteoporosis", "", 0.6)))  # fmt: skip
    abnormal = next(((kind,) for share, kind in kinds if draw < share), ())
    bent = float(rng.choice([0, 0, 15, -20]))
    return PatientParameters(
        seed=seed, sex="male" if sex == "male" else "female", age_years=age, bmi=bmi, scoliosis_cobb_deg=bent,
        pathologies=abnormal,
    )  # fmt: skip


def reported_patients() -> list[tuple[str, Patient]]:
    """Return the modelled patients of the reported figures."""
    return [(f"seed {seed}", model_patient(reported_patient(seed), pitch_mm=1.5)) for seed in REPORTED_SEEDS]


def real_patients() -> list[tuple[str, Patient]]:
    """Return the real CTs that are at hand under FLUOROSCOPE_TEST_DATA."""
    data = os.environ.get("FLUOROSCOPE_TEST_DATA")
    found = []
    for name, file in (("lumbar", "example_ct.nii.gz"), ("thoracolumbar", "cxr.nii.gz")):
        path = Path(data or "") / "ct" / name / file
        if data and path.is_file():
            found.append((name, open_patient(path)))
    return found


def detection_rows(score: Score, *, full: bool) -> list[Row]:
    """Return the scorecard's rows: a torso of solids; in full, modelled patients of reported seeds and the real CTs."""
    torso = torso_phantom().voxelise_basis((100, 128, 128), (4.0, 3.2, 3.2))
    room = CaseRoom(torso, np.zeros(3), 512)
    cases = [case_of(room, 500_000 + n, 1) for n in range(6)] + [case_of(room, 600_000 + n, 0) for n in range(6)]
    rows = _rows(score, "torso", "torso of solids, 512²", scored(cases))
    if not full:
        return rows
    for key, where, people in (
        ("modelled", f"{len(REPORTED_SEEDS)} modelled patients", reported_patients()),
        ("real", "real CTs", real_patients()),
    ):
        cases = []
        for n, (_, patient) in enumerate(people):
            room = CaseRoom(patient.basis, patient.reference_mm)
            first = 500_000 + 1000 * n
            cases += [case_of(room, first + k) for k in range(15)] + [case_of(room, first + k, 0) for k in range(25)]
        if cases:
            rows += _rows(score, key, f"{where}, 1024²", scored(cases))
    return rows


def _rows(score: Score, key: str, where: str, got: DetectionScore) -> list[Row]:
    truth = "the virtual C-arm's truth"
    size = f"{where}, {got.needles} needles, {got.empty} pictures without"
    middle_px = float(np.median(got.errors_px)) if got.errors_px else np.inf
    middle_mm = float(np.median(got.errors_mm)) if got.errors_mm else np.inf
    rows = [
        score(f"detection.{key}.tip", f"median error of needle tips, {size}", truth, TIP_PX, middle_px, "px"),
        score(f"detection.{key}.tip_mm", f"median error of needle tips at their depth, {size}", truth, TIP_MM,
              middle_mm, "mm"),
        score(f"detection.{key}.missed", f"needles not told with 0.5 or more, {size}", truth, 25.0,
              got.missed_percent, "%"),
        score(f"detection.{key}.alarms", f"pictures with a false alarm, {size}", truth, FALSE_ALARMS,
              got.false_alarms_percent, "%"),
    ]  # fmt: skip
    # A handful of needles says nothing of a share.
    if got.needles >= MANY_NEEDLES:
        what = f"mean confidence less share that is right, {size}"
        rows.append(score(f"detection.{key}.sureness", what, truth, 0.1, abs(got.sureness_off), "1"))
    return rows


def detection_speed_rows(*, frames: int = 12) -> list[Row]:
    """Return how fast needles are found at 1024² in one thread, everything included, frames per second."""
    torso = torso_phantom().voxelise_basis((100, 128, 128), (4.0, 3.2, 3.2))
    room = CaseRoom(torso, np.zeros(3), 1024)
    cases = [case_of(room, 500_100 + n, 1) for n in range(3)]
    detect_needles(cases[0].attenuation, cases[0].valid)
    rates = []
    for n in range(frames):
        case = cases[n % len(cases)]
        start = time.perf_counter()
        detect_needles(case.attenuation, case.valid)
        rates.append(1.0 / (time.perf_counter() - start))
    size = f"1024², {frames} pictures, torso of solids with a needle"
    return [row("needle.detect.1024", "needles found in a picture", size, "whole of detect_needles", rates, "1/s")]
