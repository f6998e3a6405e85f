"""``fluoroscope bench``: speed and memory on this computer, each with method, size and what was switched on."""

from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from fluoroscope.evaluation.analytic_phantom import torso_phantom
from fluoroscope.evaluation.detection_score import detection_speed_rows
from fluoroscope.evaluation.dose_bench import dose_peer_rows, dose_speed_rows
from fluoroscope.evaluation.motion_bench import motion_rows
from fluoroscope.evaluation.projector_bench import Row, peer_rows, row, speed_rows
from fluoroscope.evaluation.pulse_bench import pulse_rows
from fluoroscope.evaluation.registration_bench import registration_speed_rows

__all__ = ["bench_rows"]

Progress = Callable[[float, str], None]


def bench_rows(*, peers: bool, full: bool, progress: Progress) -> list[Row]:
    """Return the rows of the benchmark.

    Parameters
    ----------
    peers
        Also time itk-rtk on the same volume and poses in this process, and PySkinDose on one report; it takes minutes.
    full
        More pulses, single and double material with and without skipping air, cold start.
    progress
        Told the fraction done.
    """
    repeats = 100 if full else 20
    progress(0.0, "whole pulses")
    rows = pulse_rows(pulses=repeats)
    progress(0.25, "a living patient")
    rows += motion_rows(pixels=(512, 1024) if full else (1024,), pulses=repeats)
    progress(0.4, "projector")
    phantom = torso_phantom()
    if full:
        rows += speed_rows(frames=repeats, phantom=phantom)
    else:
        rows += speed_rows(frames=12, pixels=(1024,), phantom=phantom)
    progress(0.75, "dose")
    rows += dose_speed_rows(many=10_000 if full else 2_000)
    if full:
        progress(0.78, "registration")
        rows += registration_speed_rows()
    progress(0.8, "install size")
    rows += install_rows() + detection_speed_rows()
    if peers:
        progress(0.85, "itk-rtk")
        rows += peer_rows(frames=8 if full else 3, phantom=phantom)
        progress(0.95, "PySkinDose")
        rows += dose_peer_rows()
    progress(1.0, "done")
    return rows


def install_rows() -> list[Row]:
    """Return how much disk the program and what it needs take, from the installer's own records, MB."""
    total, names = 0, sorted(needed("fluoroscope"))
    for name in names:
        files = distribution(name).files or []
        total += sum(path.stat().st_size for file in files if (path := Path(str(file.locate()))).is_file())
    size = f"{len(names)} packages"
    return [row("install.core", "files of the program and all it needs", size, "as installed", [total / 1e6], "MB")]


def needed(name: str) -> set[str]:
    """Return the distributions that ``name`` needs here, itself included, by normalised name."""
    from packaging.requirements import Requirement

    found: set[str] = set()
    waiting = [name]
    while waiting:
        present = waiting.pop().lower().replace("_", "-")
        if present in found:
            continue
        try:
            requirements = distribution(present).requires or []
        except PackageNotFoundError:
            continue
        found.add(present)
        for text in requirements:
            requirement = Requirement(text)
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                waiting.append(requirement.name)
    return found
