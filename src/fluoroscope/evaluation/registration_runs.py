"""Runs of registration, level labelling and tracking against pictures with truth, and the rows they give.

Everything is drawn from seeds. Patients below seed 100 were used while the algorithms were made, those from 500 up are
reported.
"""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from fluoroscope.acquisition.frame import Collimation
from fluoroscope.evaluation.registration_cases import (
    FAR_START,
    NEAR_START,
    Exposure,
    Pictured,
    Subject,
    filmed,
    modelled_subject,
    pictured,
    poses,
    quick_subject,
    real_subject,
    start_from,
    visible_levels,
)
from fluoroscope.evaluation.registration_score import Outcome, outcome_of, summary_of
from fluoroscope.geometry.projection import project_points
from fluoroscope.geometry.rigid import apply, translation
from fluoroscope.guidance.levels import Skeleton, label_levels, skeleton_of
from fluoroscope.guidance.registration import (
    Registration,
    Start,
    VertebraModel,
    VertebraTracker,
    register,
    vertebra_models,
)
from fluoroscope.patient.scene import Sphere

__all__ = [
    "Labelled",
    "Provoked",
    "labelled",
    "provoked",
    "real_subjects",
    "registered",
    "registration_rows",
    "tracked",
]

Row = dict[str, Any]
Models = Mapping[str, VertebraModel]
REPORTED = (500, 501, 502, 503)
_STEEL = (0.0, 5.0)


def real_subjects() -> list[Subject]:
    """Return the two real CTs where the test data is at hand."""
    data = Path(os.environ.get("FLUOROSCOPE_TEST_DATA", "")) / "ct"
    lumbar, chest = data / "lumbar", data / "thoracolumbar"
    found = []
    if (lumbar / "example_ct.nii.gz").is_file():
        labels = lumbar / "example_seg_fast_force_split.nii.gz"
        found.append(real_subject(lumbar / "example_ct.nii.gz", labels, "totalsegmentator"))
    if (chest / "cxr.nii.gz").is_file():
        found.append(real_subject(chest / "cxr.nii.gz", chest / "mask.nii.gz", str(chest / "structures.csv")))
    return found


def registered(
    subject: Subject, models: Models, rng: np.random.Generator, *, count: int, views: int = 2,
    start: Start = Start.NEAR, pixels: int = 1024,
) -> Iterator[Outcome]:  # fmt: skip
    """Yield outcomes of registering vertebrae that are seen whole, each in its own pictures from its own start."""
    done = 0
    for _ in range(20 * count):
        level = str(rng.choice([one for one in subject.levels if one in models]))
        seen = _taken(subject, level, rng, views, pixels)
        if level not in visible_levels(subject, seen):
            continue
        center = models[level].center_mm
        begin = start_from(seen.truth[level], center, NEAR_START if start is Start.NEAR else FAR_START, rng)
        found = register(models, seen.views, begin, level=level, start=start)
        yield outcome_of(found, seen.truth[level], subject.landmarks_mm(level), center, seen.views)
        done += 1
        if done == count:
            return


def _taken(subject: Subject, level: str, rng: np.random.Generator, views: int, pixels: int) -> Pictured:
    noise = int(rng.integers(2**31))
    how = Exposure(rng.uniform(65.0, 85.0), 1.0, rng.uniform(0.3, 0.8), pixels, 307.2 / pixels, noise=noise)
    return pictured(subject, level, poses(rng, views), rng, exposure=how)


@dataclass(frozen=True, slots=True)
class Provoked:
    """A registration that was made to fail: how, and what came of it."""

    kind: str
    found: Registration
    right: bool


KINDS = ("wrong level", "wrong patient", "no bone", "far start", "metal", "collimated away")


def provoked(
    subject: Subject, models: Models, other: Models, rng: np.random.Generator, *, count: int, pixels: int = 512
) -> Iterator[Provoked]:
    """Yield registrations that cannot or should not succeed, the kinds by turns.

    Parameters
    ----------
    subject, models
        Who is X-rayed, and his bones.
    other
        Bones of somebody else.
    rng
        Draws everything.
    count, pixels
        How many, and the pictures' rows and columns.
    """
    levels = [one for one in subject.levels if one in models]
    for number in range(count):
        kind = KINDS[number % len(KINDS)]
        level = str(rng.choice(levels))
        used = other if kind == "wrong patient" else models
        if level not in used:
            continue
        seen, begin = _spoilt(kind, subject, level, rng, pixels)
        start = Start.FAR if rng.uniform() < 0.5 else Start.NEAR
        found = register(used, seen.views, begin, level=level, start=start)
        center = models[level].center_mm
        outcome = outcome_of(found, seen.truth[level], subject.landmarks_mm(level), center, seen.views)
        yield Provoked(kind, found, outcome.found and kind != "wrong patient")


def _spoilt(
    kind: str, subject: Subject, level: str, rng: np.random.Generator, pixels: int
) -> tuple[Pictured, np.ndarray[Any, np.dtype[np.float64]]]:
    """Return pictures and a start of which one is no good."""
    views = int(rng.integers(1, 3))
    how = Exposure(rng.uniform(65.0, 85.0), 1.0, rng.uniform(0.3, 0.8), pixels, 307.2 / pixels)
    how = replace(how, noise=int(rng.integers(2**31)))
    if kind == "metal":
        how = replace(how, shapes=(Sphere(tuple(rng.uniform(-8.0, 8.0, 3)), float(rng.uniform(24.0, 34.0)), _STEEL),))
    if kind == "collimated away":
        how = replace(how, collimation=Collimation(150.0, -float(rng.uniform(70.0, 90.0)), 150.0, 150.0))
    offset = 10.0 if kind in ("metal", "collimated away") else 25.0
    seen = pictured(subject, level, poses(rng, views), rng, exposure=how, offset_mm=offset)
    begin = start_from(seen.truth[level], subject.center_mm(level), NEAR_START, rng)
    way = rng.normal(size=3)
    way /= np.linalg.norm(way)
    if kind == "far start":
        begin = translation(float(rng.uniform(40.0, 120.0)) * way) @ begin
    if kind == "wrong level":
        begin = translation((0.0, 0.0, float(rng.choice([-1.0, 1.0])) * rng.uniform(30.0, 42.0))) @ begin
    if kind == "no bone":
        seen = _boneless(subject, rng, how)
        begin = start_from(seen.truth[level], subject.center_mm(level), NEAR_START, rng)
    return seen, begin


def _boneless(subject: Subject, rng: np.random.Generator, how: Exposure) -> Pictured:
    """Return pictures of the flank: the truth then says where the vertebrae would be if they were in the middle."""
    level = subject.levels[len(subject.levels) // 2]
    narrow = replace(how, collimation=None, pitch_mm=how.pitch_mm / 3.0)
    seen = pictured(subject, level, poses(rng, 1), rng, exposure=narrow, offset_mm=1.0, aside_mm=85.0)
    at = apply(seen.truth[level], subject.center_mm(level))
    return replace(seen, truth={name: translation(-at) @ pose for name, pose in seen.truth.items()})


@dataclass(frozen=True, slots=True)
class Labelled:
    """Level labelling of one picture.

    Attributes
    ----------
    said
        Whether names were given.
    right, wrong
        Names at a body's middle that is truly nearest to a vertebra of that name, or of another.
    away_mm
        Distance of each right name from the true middle, at the isocentre.
    confidence, time_s, reason
        As the algorithm says.
    """

    said: bool
    right: int
    wrong: int
    away_mm: tuple[float, ...]
    confidence: float
    time_s: float
    reason: str


def labelled(
    subject: Subject, models: Models, skeleton: Skeleton, rng: np.random.Generator, *, count: int, pixels: int = 1024
) -> Iterator[Labelled]:
    """Yield level labels of single pictures, found from nothing, against the truth."""
    for _ in range(count):
        level = str(rng.choice([one for one in subject.levels if one in models]))
        seen = _taken(subject, level, rng, 1, pixels)
        found = label_levels(models, seen.views, position=seen.position, skeleton=skeleton)
        geometry = seen.views[0].geometry
        mm = geometry.grid.pitch_mm * float(geometry.pixel_from_world[2, 3]) / geometry.source_to_detector_mm
        true = {one: project_points(geometry, apply(seen.truth[one], subject.center_mm(one))) for one in subject.levels}
        right, wrong, away = 0, 0, []
        for name, shown in found.levels.items():
            if name not in true:
                continue
            distances = {one: float(np.linalg.norm(at - shown[0].center_px)) * mm for one, at in true.items()}
            if min(distances, key=lambda one: distances[one]) == name:
                right += 1
                away.append(distances[name])
            else:
                wrong += 1
        yield Labelled(found.success, right, wrong, tuple(away), found.confidence, found.time_s, found.reason)


def tracked(
    subject: Subject, models: Models, level: str, rng: np.random.Generator, *, frames: int = 30
) -> list[Outcome]:
    """Return the outcomes of following a vertebra: the first picture is registered from a near start."""
    outcomes: list[Outcome] = []
    tracker: VertebraTracker | None = None
    for seen in filmed(subject, level, rng, frames=frames):
        truth, center = seen.truth[level], models[level].center_mm
        if tracker is None:
            first = register(models, seen.views, start_from(truth, center, NEAR_START, rng), level=level)
            tracker = VertebraTracker(models, level, first)
            continue
        found = tracker.update(seen.views)
        outcomes.append(outcome_of(found, truth, subject.landmarks_mm(level), center, seen.views))
    return outcomes


def registration_rows(
    score: Callable[[str, str, str, float, float, str], Row], *, full: bool,
    progress: Callable[[float, str], None] | None = None,
) -> list[Row]:  # fmt: skip
    """Return the scorecard's rows: one coarse patient and few pictures, or with ``full`` the issue's figures."""
    report = progress or (lambda fraction, text: None)
    if not full:
        subject = quick_subject(500, pitch_mm=2.5, ct_pitch_mm=3.0)
        models = vertebra_models(subject.ct, subject.labels, subject.levels[-4:])
        outcomes = list(registered(subject, models, np.random.default_rng(500), count=2, pixels=512))
        summary = summary_of(outcomes)
        scope = f"patient of seed 500 at 2.5 mm, CT at 3 mm, {len(outcomes)} starts ±5°/±8 mm, two views"
        return [
            score("registration.mtre", f"median mTRE of vertebrae, {scope}", "truth", 0.8, summary.mtre_mm[0], "mm"),
            score(
                "registration.shown", "share of wrong poses called right, the same", "0", 0.0, _none(summary.shown), "1"
            ),
        ]
    rows: list[Row] = []
    every = [("modelled", [modelled_subject(seed) for seed in REPORTED]), ("real", real_subjects())]
    for name, subjects in every:
        if subjects:
            rows += _full_rows(score, name, subjects, report)
    return rows


def _none(value: float) -> float:
    return 0.0 if np.isnan(value) else value


def _full_rows(
    score: Callable[[str, str, str, float, float, str], Row], name: str, subjects: Sequence[Subject],
    report: Callable[[float, str], None],
) -> list[Row]:  # fmt: skip
    """Return the issue's figures of some patients."""
    bones = [vertebra_models(one.ct, one.labels) for one in subjects]
    near, far, single, tracks, failures, labels = [], [], [], [], [], []
    for number, (subject, models) in enumerate(zip(subjects, bones, strict=True)):
        rng = np.random.default_rng([500, number])
        report(number / len(subjects), f"registration, {subject.name}")
        near += list(registered(subject, models, rng, count=25))
        far += list(registered(subject, models, rng, count=15, start=Start.FAR))
        single += list(registered(subject, models, rng, count=25, views=1))
        other = bones[number - 1]
        if len(subjects) > 1:
            failures += list(provoked(subject, models, other, rng, count=54))
        tracks += tracked(subject, models, subject.levels[-2], rng)
        labels += list(labelled(subject, models, skeleton_of(subject.ct, subject.labels), rng, count=25))
    a, b, c, d = summary_of(near), summary_of(far), summary_of(single), summary_of(tracks)
    who, key = f"{name} patients ({len(subjects)})", f"registration.{name}"
    missed = [one for one in failures if not one.right]
    unflagged = sum(one.found.success for one in missed) / max(1, len(missed))
    named = sum(one.right for one in labels), sum(one.wrong for one in labels)
    silent = sum(not one.said for one in labels) / len(labels)
    inside = 95.0
    return [
        score(f"{key}.mtre", f"median mTRE, two views, ±5°/±8 mm, {who}", "truth", 0.3, a.mtre_mm[0], "mm"),
        score(f"{key}.mtre_p95", "the same, 95th percentile", "truth", 0.8, a.mtre_mm[1], "mm"),
        score(f"{key}.missed", "the same, not below 2 mm", "1 %", 1.0, 100.0 * (1.0 - a.found), "%"),
        score(f"{key}.far", f"not below 2 mm, ±10°/±15 mm, {who}", "5 %", 5.0, 100.0 * (1.0 - b.found), "%"),
        score(f"{key}.in_plane", f"median in-plane error, one view, {who}", "truth", 0.5, c.in_plane_mm[0], "mm"),
        score(f"{key}.rotation", "median rotation error, one view", "truth", 1.0, c.rotation_deg[0], "deg"),
        score(f"{key}.depth_said", "share of depths within 1.96 σ away from 95 %, one view", "90 to 97 %", 5.0,
              abs(100.0 * c.coverage_depth - inside), "%"),
        score(f"{key}.unflagged", f"failures not flagged, of {len(missed)} provoked, {who}", "5 %", 5.0,
              100.0 * unflagged, "%"),
        score(f"{key}.tracked", f"in-plane error while tracking, 95 %, {who}", "truth", 0.3, d.in_plane_mm[1], "mm"),
        score(f"{key}.levels_wrong", f"wrong names of {sum(named)}, {who}", "1 %", 1.0,
              100.0 * named[1] / max(1, sum(named)), "%"),
        score(f"{key}.levels_silent", f"pictures unnamed of {len(labels)}, {who}", "1 %", 1.0, 100.0 * silent, "%"),
    ]  # fmt: skip
