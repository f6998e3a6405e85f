"""Zoom fields and binning: whole native pixels, centred, within the limit."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fluoroscope.geometry import (
    C_ARMS,
    CArmPose,
    DetectorPanel,
    FieldOfView,
    project_points,
    projection_geometry,
)

PANEL = C_ARMS["mobile-flat-panel"].detector
PANELS = [model.detector for model in C_ARMS.values()]


@pytest.mark.parametrize(
    ("field", "binning", "limit", "side", "pitch"),
    [
        (0, 1, None, 2048, 0.15),
        (0, 2, None, 1024, 0.30),
        (0, 1, 1024, 1024, 0.30),
        (0, 2, 512, 512, 0.60),
        (1, 1, None, 1344, 0.15),
        (1, 2, 1024, 672, 0.30),
        (1, 1, 512, 448, 0.45),
        (2, 1, 1024, 1024, 0.15),
        (2, 2, 1024, 512, 0.30),
        (2, 2, 512, 512, 0.30),
    ],
)
def test_fields_of_the_default_panel(field, binning, limit, side, pitch):
    grid = PANEL.grid(field, binning, limit)
    assert (grid.rows, grid.columns) == (side, side)
    assert grid.pitch_mm == pytest.approx(pitch)


def test_the_default_panel_is_0_3_m_wide():
    assert PANEL.columns * PANEL.pitch_mm == pytest.approx(307.2)
    assert [field.label for field in PANEL.fields] == ["30 cm", "20 cm", "15 cm"]


@given(st.sampled_from(PANELS), st.integers(0, 2), st.sampled_from([1, 2]), st.integers(8, 2048))
def test_grids_are_whole_native_pixels_on_the_panels_centre(panel, field, binning, limit):
    grid = panel.grid(field, binning, limit)
    per_bin = panel.pixels_per_bin(field, binning, limit)
    native = grid.rows * per_bin
    assert grid.rows <= limit
    assert per_bin >= binning
    assert grid.pitch_mm == pytest.approx(panel.pitch_mm * per_bin)
    assert native % 2 == panel.rows % 2
    lost = panel.fields[field].size_mm - grid.width_mm
    assert -1e-9 < lost + 1e-6 < 2 * grid.pitch_mm + panel.pitch_mm


@given(st.floats(-20.0, 20.0), st.floats(-20.0, 20.0), st.sampled_from([(0, 2), (1, 2), (2, 1)]))
def test_zoom_and_binning_see_the_same_point_at_the_same_place(x, z, readout):
    pose = CArmPose(0.0, 0.0, 510.0, 1020.0)
    native, other = PANEL.grid(), PANEL.grid(*readout)
    places = []
    for grid in (native, other):
        row, column = project_points(projection_geometry(pose, grid), (x, 0.0, z))
        places.append(((row - (grid.rows - 1) / 2) * grid.pitch_mm, (column - (grid.columns - 1) / 2) * grid.pitch_mm))
    assert places[0] == pytest.approx(places[1], abs=1e-9)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((3,), "no field of view 3"),
        ((-1,), "no field of view -1"),
        ((0, 3), "binning"),
        ((0, 1, 0), "matrix_limit"),
    ],
)
def test_impossible_readouts_are_refused(arguments, said):
    with pytest.raises(ValueError, match=said):
        PANEL.grid(*arguments)


def test_a_limit_that_leaves_no_whole_bin_is_refused():
    odd = DetectorPanel(10, 10, 1.0, (FieldOfView("tiny", 5.0),))
    with pytest.raises(ValueError, match="holds no pixel"):
        odd.grid(matrix_limit=1)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"rows": 0}, "at least one pixel"),
        ({"rows": 2047}, "even rows"),
        ({"pitch_mm": 0.0}, "pitch"),
        ({"fields": ()}, "at least one field"),
        ({"fields": (FieldOfView("huge", 500.0),)}, "does not fit"),
        ({"fields": (FieldOfView("a", 100.0), FieldOfView("b", 200.0))}, "ordered"),
    ],
)
def test_impossible_panels_are_refused(change, said):
    with pytest.raises(ValueError, match=said):
        replace(PANEL, **change)


def test_a_field_of_no_size_is_refused():
    with pytest.raises(ValueError, match="above 0 mm"):
        FieldOfView("none", 0.0)
