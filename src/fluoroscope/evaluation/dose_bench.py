"""How long dose takes: an event on the skin, ten thousand, a report read; PySkinDose on the same number of cells."""

import os
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from fluoroscope.dicom.dose_objects import read_dose_object
from fluoroscope.dose.patient_skin import patient_skin
from fluoroscope.dose.skin_dose import SkinBeam, SkinDose
from fluoroscope.dose.skin_map import Lying, SkinEvent, event_beams, lay, lay_at, map_uncertainty_percent
from fluoroscope.dose.skin_phantoms import skin_phantom
from fluoroscope.evaluation.dose_score import PYSKINDOSE_REPORT, TOTALS, test_data
from fluoroscope.evaluation.projector_bench import Row, row
from fluoroscope.evaluation.skin_peer import compare, peer_python, run_pyskindose
from fluoroscope.geometry.pose import CArmPose
from fluoroscope.geometry.table import PatientPosition, TablePose
from fluoroscope.patient.volume import Volume

__all__ = ["dose_peer_rows", "dose_speed_rows"]

_EVENT = SkinEvent(
    air_kerma_mgy=1.0,
    reference_mm=600.0,
    field_mm=(100.0, 100.0),
    tube_voltage_kv=80.0,
    copper_mm=0.2,
    source_to_isocenter_mm=750.0,
    source_to_detector_mm=1200.0,
    angles_deg=(180.0, 0.0),
    table=TablePose(),
)


def dose_speed_rows(events: int = 100, many: int = 10_000) -> list[Row]:
    """Return the time of an event with all its figures, of ``many``, the memory they take, and of reading a report."""
    skin = _own_skin()
    beams = _beams(skin, events)
    cells = f"{skin.phantom.areas_mm2.size} cells of a body from a CT"
    skin.add(beams[0])
    times = []
    for beam in beams:
        began = time.perf_counter()
        skin.add(beam)
        figures = (skin.peak_mgy, skin.peak_position_mm, skin.share_on_patient, skin.plausible_limit_mgy(300.0))
        told = (map_uncertainty_percent(skin.phantom), skin.dose_mgy)
        if figures and told:
            times.append(1e3 * (time.perf_counter() - began))
    stages = "beam to every cell it enters, occlusion, table, peak, place, share, bound, uncertainty, a copy of the map"
    rows = [row("dose.event", "one event on the skin, all figures", f"{cells}, {events} poses", stages, times, "ms")]
    rows += _many(skin, beams, cells, many)
    return rows + _reading()


def _many(skin: SkinDose, beams: Sequence[SkinBeam], cells: str, many: int) -> list[Row]:
    """Add many events in ten parts: what each took in each part, and by how much the process grew."""
    part, before, each = many // 10, _resident_mb(), []
    for _ in range(10):
        began = time.perf_counter()
        for number in range(part):
            skin.add(beams[number % len(beams)])
        each.append(1e6 * (time.perf_counter() - began) / part)
    grown = _resident_mb() - before
    size = f"{cells}, {many} events"
    stages = "beam to every cell it enters; median and spread of ten equal parts, the first to the last"
    return [
        row("dose.many", "one of many events", size, stages, each, "µs"),
        row("dose.memory", "growth of the process over many events", size, "resident memory", [grown], "MB"),
    ]


def _reading() -> list[Row]:
    data = test_data()
    if data is None:
        return []
    paths = [data / f"{name}.dcm" for name in list(TOTALS)[:7]]
    times = []
    for path in paths:
        began = time.perf_counter()
        read_dose_object(path)
        times.append(1e3 * (time.perf_counter() - began))
    size = f"{len(paths)} real objects of one to 18 events"
    return [row("dose.read", "one dose object read", size, "file to events, totals, warnings", times, "ms")]


def dose_peer_rows() -> list[Row]:
    """Return PySkinDose's time over ours for the doses of one report on equally many cells, where it is at hand."""
    data, python = test_data(), peer_python()
    if data is None or python is None:
        return []
    told = run_pyskindose(python, data / f"{PYSKINDOSE_REPORT}.dcm", "cylinder")
    found = compare(told)
    ours = _whole_report(found.cells, found.events)
    size = f"{found.events} events, {found.cells} cells, one run each"
    stages = "reading left out on both sides; its geometry fed to the kernel"
    own = "reading left out on both sides; our geometry, factors, beams and map of as many events on as many cells"
    return [
        row("dose.pyskindose", "PySkinDose, doses of one report", size, "calculate_dose", [found.their_seconds], "s"),
        row(
            "dose.kernel_ratio", "PySkinDose over the kernel", size, stages, [found.their_seconds / found.seconds], "×"
        ),
        row("dose.map_ratio", "PySkinDose over a whole map of ours", size, own, [found.their_seconds / ours], "×"),
    ]


def _whole_report(cells: int, events: int) -> float:
    """Return the seconds of a map of so many events, each another beam, on a cylinder of at least so many cells."""
    usual = skin_phantom("cylinder")
    # A little finer than asked for: no fewer cells than PySkinDose has.
    phantom = skin_phantom("cylinder", cell_mm=9.9 * float(np.sqrt(usual.areas_mm2.size / cells)))
    placed = lay(phantom, Lying())
    table = TablePose(longitudinal_mm=700.0, height_mm=-150.0)
    chosen = [
        replace(_EVENT, angles_deg=(float(turn), 5.0), tube_voltage_kv=70.0 + number % 5, table=table)
        for number, turn in enumerate(np.linspace(-60.0, 60.0, events))
    ]
    began = time.perf_counter()
    skin = SkinDose(phantom)
    for event in chosen:
        for beam in event_beams(event, placed):
            skin.add(beam)
    return time.perf_counter() - began


def _own_skin() -> SkinDose:
    """Return the skin of a body with arms, 30 000 cells, from a CT made here."""
    shape, pitch = (150, 150, 250), (5.0, 2.0, 2.0)
    affine = np.zeros((4, 4))
    affine[2, 0], affine[1, 1], affine[0, 2], affine[3, 3] = *pitch, 1.0
    affine[:3, 3] = [-(n - 1) / 2.0 * p for n, p in zip(shape[::-1], pitch[::-1], strict=True)]
    x = affine[0, 3] + pitch[2] * np.arange(shape[2])
    y = affine[1, 3] + pitch[1] * np.arange(shape[1])[:, None]
    body = (x / 150.0) ** 2 + (y / 105.0) ** 2 <= 1.0
    body |= ((np.abs(x) - 200.0) / 40.0) ** 2 + (y / 40.0) ** 2 <= 1.0
    plane = np.where(body, 30, -1000).astype(np.int16)
    volume = Volume(np.ascontiguousarray(np.broadcast_to(plane, shape)), affine)
    return SkinDose(patient_skin(volume, "bench").phantom)


def _beams(skin: SkinDose, count: int) -> list[SkinBeam]:
    placed = lay_at(skin.phantom, PatientPosition.HFP, np.zeros(3))
    rng = np.random.default_rng(20261126)
    poses = [CArmPose(rng.uniform(100.0, 260.0), rng.uniform(-25.0, 25.0), 750.0, 1200.0) for _ in range(count)]
    events = [replace(_EVENT, angles_deg=(pose.primary_deg, pose.secondary_deg)) for pose in poses]
    return [event_beams(event, placed)[0] for event in events]


def _resident_mb() -> float:
    """Return the resident memory of this process, MB; 0 where the system does not say."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except (OSError, ValueError, IndexError):
        return 0.0
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6
