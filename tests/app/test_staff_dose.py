"""Scatter to the people around the table: sides, distances, lead, and the keys the page reads."""

import math

import pytest

from fluoroscope.app.staff_dose import Protection, staff_dose
from fluoroscope.geometry.pose import CArmPose
from fluoroscope.geometry.table import TablePose

LATERAL = CArmPose(90.0, 0.0, 510.0, 1020.0)


def at(found, name):
    return next(one for one in found["positions"] if one["name"] == name)


@pytest.mark.req("REQ-STAFF-001")
def test_of_a_lateral_the_tube_side_gets_far_more_than_the_detector_side():
    # The detector stands left (+x), the tube right.
    found = staff_dose(LATERAL, TablePose(), 1.0)
    left, right = (at(found, f"operator at the table, {side}")["usv_per_h"] for side in ("left", "right"))
    assert found["tube_side"] == "right"
    assert right > 3.0 * left
    assert "left" in found["advice"]
    turned = staff_dose(CArmPose(-90.0, 0.0, 510.0, 1020.0), TablePose(), 1.0)
    assert turned["tube_side"] == "left"
    assert at(turned, "1 m, left")["usv_per_h"] == pytest.approx(at(found, "1 m, right")["usv_per_h"])


@pytest.mark.req("REQ-STAFF-001")
def test_the_map_has_the_numbers_of_the_positions_and_a_named_height():
    found = staff_dose(LATERAL, TablePose(), 0.5, height="eye")
    table = found["map"]
    assert (table["height"], table["height_cm"]) == ("eye", 160.0)
    assert len(table["usv_per_h"]) == len(table["z_mm"]) == 61
    assert len(table["usv_per_h"][0]) == len(table["x_mm"]) == 41
    here = at(found, "1 m, right")
    row, column = table["z_mm"].index(here["z_mm"]), table["x_mm"].index(here["x_mm"])
    assert table["usv_per_h"][row][column] == pytest.approx(here["usv_per_h"])
    assert all(math.isfinite(value) for line in table["usv_per_h"] for value in line)


@pytest.mark.req("REQ-STAFF-002")
def test_lead_lets_through_what_its_setting_says():
    found = staff_dose(LATERAL, TablePose(), 1.0, worn=Protection(apron="0.25"))
    for one in found["positions"]:
        assert one["with_apron_usv_per_h"] == pytest.approx(0.05 * one["usv_per_h"], rel=1e-3)


@pytest.mark.req("REQ-STAFF-002")
def test_a_curtain_helps_below_the_table_only():
    under = CArmPose(0.0, 0.0, 510.0, 1020.0)
    name = "operator at the table, left"
    for height, smaller in (("legs", True), ("eye", False)):
        open_, hung = (
            at(staff_dose(under, TablePose(), 1.0, height=height, worn=Protection(curtain=is_hung)), name)["usv_per_h"]
            for is_hung in (False, True)
        )
        assert (hung < 0.2 * open_) is smaller


def test_wrong_settings_are_refused():
    with pytest.raises(ValueError, match="apron"):
        Protection(apron="2.0")
    with pytest.raises(ValueError, match="height"):
        staff_dose(LATERAL, TablePose(), 1.0, height="ear")
