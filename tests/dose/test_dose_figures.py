"""The dose figures of scorecard and bench: there, passing, and failing where something is wrong."""

import numpy as np
import pytest

from fluoroscope.app.dose.map import peak_of
from fluoroscope.dicom.dose_objects import read_dose_object
from fluoroscope.dose import skin_kernel
from fluoroscope.evaluation import dose_score
from fluoroscope.evaluation.dose_bench import dose_speed_rows
from fluoroscope.evaluation.dose_score import dose_rows
from fluoroscope.evaluation.scorecard import score

pytestmark = pytest.mark.req("REQ-SKIN-006")

ALWAYS = {"dose.inverse_square", "dose.additivity", "dose.backscatter_table", "dose.sides", "dose.alerts"}


def test_the_rows_that_need_no_files_pass(monkeypatch):
    monkeypatch.delenv("FLUOROSCOPE_TEST_DATA", raising=False)
    rows = dose_rows(score, full=False)
    assert {row["id"] for row in rows} == ALWAYS
    assert [row["id"] for row in rows if not row["pass"]] == []


def test_a_kernel_that_is_a_little_wrong_fails(monkeypatch):
    monkeypatch.delenv("FLUOROSCOPE_TEST_DATA", raising=False)
    right = skin_kernel.add_beam

    def wrong(cells, beam, spline, table, relief, dose):
        nearer = beam.copy()
        nearer[17] *= 1.001  # the reference distance
        return right(cells, nearer, spline, table, relief, dose)

    monkeypatch.setattr("fluoroscope.dose.skin_dose.add_beam", wrong)
    failed = {row["id"] for row in dose_rows(score, full=False) if not row["pass"]}
    assert "dose.inverse_square" in failed


def test_the_rows_of_real_files_pass(data_folder):
    def of(path):
        return peak_of(read_dose_object(path))

    rows = {row["id"]: row for row in dose_rows(score, full=False, peak_of=of)}
    assert set(rows) == ALWAYS | {"dose.backscatter", "dose.totals", "dose.zee"}
    assert all(row["pass"] for row in rows.values())
    assert rows["dose.zee"]["value"] < 5.0


def test_totals_that_differ_fail(data_folder, monkeypatch):
    totals = dict(dose_score.TOTALS)
    totals[dose_score.ZEE] = (0.16001, 2.52, 28.0)
    monkeypatch.setattr(dose_score, "TOTALS", totals)
    rows = {row["id"]: row for row in dose_rows(score, full=False)}
    assert not rows["dose.totals"]["pass"]
    assert rows["dose.backscatter"]["pass"]


def test_the_bench_counts_its_cells_and_events(monkeypatch):
    monkeypatch.delenv("FLUOROSCOPE_TEST_DATA", raising=False)
    rows = {row["id"]: row for row in dose_speed_rows(events=5, many=50)}
    assert set(rows) == {"dose.event", "dose.many", "dose.memory"}
    cells = int(rows["dose.event"]["size"].split()[0])
    assert 25_000 < cells <= 30_000
    assert "50 events" in rows["dose.many"]["size"]
    assert np.isfinite([row["value"] for row in rows.values()]).all()
    assert rows["dose.event"]["value"] > 0.0
