"""Accuracy of dose: factors, sums, places, a whole report against Monte Carlo, totals of real objects, alerts.

Rows that need real files are there where FLUOROSCOPE_TEST_DATA names their folder.
"""

import csv
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from fluoroscope.dicom.dose_objects import read_dose_object
from fluoroscope.dose.alerts import CumulativeDose, Quantity, alerts_of
from fluoroscope.dose.backscatter_table import published_rows
from fluoroscope.dose.skin_dose import SkinDose
from fluoroscope.dose.skin_factors import BeamQuality, backscatter, backscatter_at_sides
from fluoroscope.dose.skin_map import Lying, SkinEvent, event_beams, lay, lay_at, skin_map
from fluoroscope.dose.skin_phantoms import SkinPhantom, skin_phantom
from fluoroscope.evaluation.skin_peer import compare, peer_python, run_pyskindose
from fluoroscope.geometry.pose import angles_of_direction
from fluoroscope.geometry.table import PatientPosition, TablePose, patient_from_equipment

__all__ = ["TOTALS", "ZEE", "dose_rows", "test_data"]

Row = dict[str, Any]
PeakOf = Callable[[Path], float | None]

ZEE, ZEE_MONTE_CARLO_MGY = "openrem__RF-RDSR-Siemens-Zee", 1.54
PYSKINDOSE_REPORT = "pyskindose__siemens_axiom_example_procedure"
TOTALS: dict[str, tuple[float | None, float | None, float | None]] = {
    "openrem__DX-RDSR-Canon_CXDI": (0.107, None, None),
    "openrem__Dual-RDSR-RF": (0.0212, 0.1, 4.0),
    "openrem__RF-ESR-Siemens-Varic": (0.2359, None, 34.427),
    "openrem__RF-RDSR-Canon-Ultimaxi-mGyDoseAtRP": (12.6596, 30.573, 111.0),
    "openrem__RF-RDSR-GE": (2.4126, 11.7317, 72.46),
    "openrem__RF-RDSR-Philips_Allura": (1.5356864017, 4.27128035068, 13.0),
    ZEE: (0.16, 2.52, 28.0),
    "pyskindose__philips_allura_clarity_u104": (0.078391324289, 0.70936639118, 37.0),
    PYSKINDOSE_REPORT: (2.7902, 14.06, 74.0),
}
"""KAP Gy·cm², air kerma mGy and fluoroscopy time s as each header states them, its units turned by hand; of the
Varic in words without codes."""

_EVENT = SkinEvent(
    air_kerma_mgy=10.0,
    reference_mm=600.0,
    field_mm=(120.0, 90.0),
    tube_voltage_kv=80.0,
    copper_mm=0.2,
    source_to_isocenter_mm=750.0,
    source_to_detector_mm=1200.0,
    angles_deg=(0.0, 0.0),
    table=TablePose(longitudinal_mm=700.0, height_mm=-150.0),
)


def dose_rows(score: Callable[..., Row], *, full: bool, peak_of: PeakOf | None = None) -> list[Row]:
    """Return the rows of dose.

    Parameters
    ----------
    score
        Makes one line: identity, what, reference, tolerance, error, unit.
    full
        PySkinDose too, where its interpreter is at hand.
    peak_of
        Gives the peak skin dose of a report on the adult; None leaves that row out.
    """
    rows = [_inverse_square(score), _additivity(score), _table(score), _sides(score), _alerts(score)]
    data = test_data()
    if data is None:
        return rows
    rows += [_backscatter(score, data), _totals(score, data)]
    if peak_of is not None and (peak := peak_of(data / f"{ZEE}.dcm")) is not None:
        error = 100.0 * abs(peak / ZEE_MONTE_CARLO_MGY - 1.0)
        what = "peak skin dose of a Siemens zee report, adult phantom"
        rows.append(score("dose.zee", what, "Monte Carlo 1.54 ± 0.01 mGy", 15.0, error, "%"))
    python = peer_python() if full else None
    if python is not None:
        found = compare(run_pyskindose(python, data / f"{PYSKINDOSE_REPORT}.dcm", "cylinder"))
        error = 100.0 * abs(found.peak_mgy / found.their_peak_mgy - 1.0)
        what = f"peak on PySkinDose's {found.cells} cells, its geometry, HVL, k_med and k_tab, {found.events} events"
        rows.append(score("dose.pyskindose", what, "PySkinDose", 0.1, error, "%"))
    return rows


def test_data() -> Path | None:
    """Return the folder of real dose objects, or None."""
    named = os.environ.get("FLUOROSCOPE_TEST_DATA")
    folder = Path(named) / "rdsr" if named else None
    return folder if folder is not None and folder.is_dir() else None


def _inverse_square(score: Callable[..., Row]) -> Row:
    """Take cells without extent at random places, one to four at a time, against the formula worked out one by one."""
    rng, worst = np.random.default_rng(20261126), 0.0
    flat = np.array([[0.0] * 4] * 3 + [[1.4] * 4])
    flat.setflags(write=False)
    quality = BeamQuality(80.0, 4.7, 1.0, 1.0, flat, 1.4)
    (beam,) = event_beams(_EVENT, lay(skin_phantom("plane"), Lying()))
    beam = replace(beam, quality=quality, table=None)
    for count in (1, 2, 3, 4):
        depth = rng.uniform(400.0, 900.0, count)
        shift = rng.uniform(-0.05, 0.05, (2, count)) * depth
        centers = beam.source_mm + depth[:, None] * beam.d + shift[0, :, None] * beam.u + shift[1, :, None] * beam.v
        none = np.zeros((count, 2, 3))
        cells = SkinPhantom(
            "points", (1, count), centers, np.tile(-beam.d, (count, 1)), none, np.ones(count), 1.0, False, none
        )
        skin = SkinDose(cells)
        skin.add(beam)
        for place, dose in zip(centers, skin.dose_mgy, strict=True):
            wanted = 10.0 * 1.4 * 600.0**2 / float(np.sum((place - beam.source_mm) ** 2))
            worst = max(worst, abs(float(dose) / wanted - 1.0))
    what = "largest error of the dose of 1 to 4 cells"
    return score("dose.inverse_square", what, "scalar formula", 1e-12, worst, "1")


def _additivity(score: Callable[..., Row]) -> Row:
    phantom = skin_phantom("cylinder")
    events = [replace(_EVENT, angles_deg=(turn, tilt)) for turn, tilt in ((0.0, 0.0), (35.0, 10.0), (-90.0, -20.0))]
    apart = sum(skin_map(phantom, Lying(), [event]).dose_mgy for event in events)
    whole = skin_map(phantom, Lying(), events).dose_mgy
    error = float(np.abs(whole - apart).max() / whole.max())
    return score("dose.additivity", "events together against one by one, cylinder", "their sum", 1e-12, error, "1")


def _table(score: Callable[..., Row]) -> Row:
    rows = published_rows()
    ours = np.array([backscatter_at_sides(kv, hvl) for kv, hvl in rows[:, :2]])
    error = 100.0 * float(np.abs(ours / rows[:, 2:7] - 1.0).max())
    what = f"largest difference of k_bs of the polynomial from the published table, {ours.size} values"
    return score("dose.backscatter_table", what, "Benmakhlouf 2011", 0.5, error, "%")


def _sides(score: Callable[..., Row]) -> Row:
    """Count who, the tube under the table, has the peak elsewhere than where he lies on it."""
    down = {"S": (1, 1.0), "P": (1, -1.0), "DL": (0, 1.0), "DR": (0, -1.0)}
    phantom, wrong = skin_phantom("adult"), 0
    for position in PatientPosition:
        turned = patient_from_equipment(TablePose(), position)[:3, :3]
        angles = angles_of_direction(turned @ np.array([0.0, -1.0, 0.0]))
        event = replace(_EVENT, angles_deg=angles, table=TablePose())
        found = skin_map(phantom, lay_at(phantom, position, np.array([0.0, 0.0, -700.0])), [event], 300.0)
        axis, sign = down[position.value[2:]]
        place = found.peak_position_mm
        wrong += place is None or sign * place[axis] < 60.0 or abs(place[2] + 700.0) > 80.0
    what = "patients lying eight ways whose peak is not on the side that lies on the table"
    return score("dose.sides", what, "anatomy", 0.0, wrong, "1")


def _alerts(score: Callable[..., Row]) -> Row:
    """Follow a case that ends at 7.689 Gy, 468.8 Gy·cm² and 47.1 min, all growing alike in 1 000 events."""
    parts = np.arange(1, 1001) / 1000.0
    steps = [(CumulativeDose(None, 7689.0 * part, 468.8 * part, 2826.0 * part), int(1000 * part)) for part in parts]
    found = [(alert.quantity, alert.level) for alert in alerts_of(steps).alerts]
    gray, area, minutes = Quantity.AIR_KERMA, Quantity.KAP, Quantity.FLUOROSCOPY_TIME
    wanted = [
        (gray, 3.0), (gray, 4.0), (minutes, 30.0), (area, 300.0), (gray, 5.0), (gray, 6.0), (area, 400.0),
        (gray, 7.0), (minutes, 45.0),
    ]  # fmt: skip
    wrong = abs(len(found) - len(wanted)) + sum(one != other for one, other in zip(found, wanted, strict=False))
    return score("dose.alerts", "alerts of one case that differ, each once and in order", "by hand", 0.0, wrong, "1")


def _backscatter(score: Callable[..., Row], data: Path) -> Row:
    rows = list(csv.DictReader((data / "kbs_vectors.csv").read_text(encoding="utf-8").splitlines()))
    errors = [
        abs(
            float(backscatter(float(row["kVp"]), float(row["HVL_mmAl"]), float(row["field_side_cm"])))
            - float(row["k_bs"])
        )
        for row in rows
    ]
    what = f"largest error of k_bs, {len(rows)} beams and fields"
    return score("dose.backscatter", what, "Benmakhlouf 2013, eq. 8", 1e-4, max(errors), "1")


def _totals(score: Callable[..., Row], data: Path) -> Row:
    worst, read = 0.0, 0
    for name, wanted in TOTALS.items():
        one = read_dose_object(data / f"{name}.dcm")
        if one is None:
            worst = float("inf")
            continue
        read += 1
        found = (one.total.kap_gy_cm2, one.total.air_kerma_mgy, one.total.fluoroscopy_time_s)
        for value, known in zip(found, wanted, strict=True):
            if value is None or known is None:
                worst = worst if value == known else float("inf")
            else:
                worst = max(worst, abs(value / known - 1.0))
    what = f"largest error of the totals of {read} real dose objects"
    return score("dose.totals", what, "their headers, by hand", 1e-6, worst, "1")
