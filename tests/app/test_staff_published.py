"""Staff dose against published measurements, each under its own conditions.

Published series say KAP or time, seldom where people stood: ours stands still, so it bounds what was measured.
"""

import pytest

from fluoroscope.app.dose.staff_dose import Protection, staff_dose
from fluoroscope.dose.scatter_map import SCATTER_PERCENT
from fluoroscope.dose.staff_settings import StaffSettings
from fluoroscope.geometry.pose import CArmPose
from fluoroscope.geometry.table import PatientPosition, TablePose

TUBE_AWAY, TUBE_NEAR = "operator at the table, left", "operator at the table, right"
"""Of a lateral with the tube on the right."""
MOBILE_GY_CM2_MIN = 2.80 / (40.7 / 60.0)
"""Lumbar spine, mobile unit: Kim 2009, AJR 192:1726."""


def per_gy_cm2(primary_deg, height, place, position=PatientPosition.HFP, **more):
    pose = CArmPose(primary_deg, 0.0, 510.0, 1020.0)
    found = staff_dose(pose, TablePose(), position, 1.0, height=height, step_mm=1000.0, **more)
    return next(one for one in found["positions"] if one["name"] == place)["usv_per_h"] / 60.0


def ap_and_lateral(height, place, under_table=True):
    """µSv/(Gy·cm²) of a case half AP, half lateral."""
    return (per_gy_cm2(0.0 if under_table else 180.0, height, place) + per_gy_cm2(90.0, height, place)) / 2.0


@pytest.mark.req("REQ-STAFF-003")
def test_the_eye_beside_an_angiography_table():
    """Measured 0.94 (Antic 2013, Radiat Prot Dosim 154:276); others 0.8 to 2.2 (Mattar 2019, Radiat Phys Chem 108400).

    Cardiologists, tube under the table to both sides, at the thigh of a supine patient; of some, screens were in use.
    """
    places = StaffSettings.from_mapping({"source": "test", "places": {"thigh": [-550.0, -450.0]}})
    values = [
        per_gy_cm2(angle, "eye", "thigh", PatientPosition.HFS, settings=places) for angle in (-30.0, 0.0, 0.0, 30.0)
    ]
    part = SCATTER_PERCENT / 100.0
    assert 0.8 * (1.0 - part) < sum(values) / len(values) < 2.2 * (1.0 + part)


@pytest.mark.req("REQ-STAFF-003")
def test_the_eye_at_a_vertebroplasty_level():
    """46 µSv (SD 54) unprotected, in 4.9 min (Kopparapu 2021, J Neurosurg Spine 34:117); KAP and side are not said.

    KAP is that of a mobile unit in this time, 20 Gy·cm²; it was 40 and the eye five times too high before.
    """
    kap = 4.9 * MOBILE_GY_CM2_MIN
    assert kap == pytest.approx(20.2, abs=0.1)
    eye = kap * ap_and_lateral("eye", TUBE_AWAY)
    print("vertebroplasty: eye", eye, "trunk", kap * ap_and_lateral("trunk", TUBE_AWAY), "of 46 and 227 µSv")
    assert eye == pytest.approx(46.0, rel=SCATTER_PERCENT / 100.0)


@pytest.mark.req("REQ-STAFF-003")
def test_the_trunk_at_a_vertebroplasty_and_a_kyphoplasty_lies_between_the_two_sides():
    """Trunk 227 µSv a level (Kopparapu), badge over the apron 248 µSv in 4.3 min (Mroz 2008, J Spinal Disord 21:96).

    Nobody says on which side of the lateral tube the operators stood.
    """
    for minutes, measured in ((4.9, 227.0), (4.3, 248.0)):
        away, near = (minutes * MOBILE_GY_CM2_MIN * ap_and_lateral("trunk", place) for place in (TUBE_AWAY, TUBE_NEAR))
        assert away < measured < near


@pytest.mark.req("REQ-STAFF-003")
@pytest.mark.parametrize("height", ["eye", "trunk"])
def test_the_tube_near_the_operator_or_over_the_table_costs_what_was_measured(height):
    """2.7 to 10 times of the tube away and under the table (kyphoplasty, PMC3070893).

    The ratio of two estimates; the trunk's is the largest, since behind a lateral patient only scatter is counted.
    """
    best = ap_and_lateral(height, TUBE_AWAY)
    others = [
        ap_and_lateral(height, TUBE_NEAR),
        ap_and_lateral(height, TUBE_AWAY, under_table=False),
        ap_and_lateral(height, TUBE_NEAR, under_table=False),
    ]
    print(height, [other / best for other in others])
    part = 1.0 + 2.0**0.5 * SCATTER_PERCENT / 100.0
    assert all(2.7 / part < other / best < 10.0 * part for other in others)


@pytest.mark.req("REQ-STAFF-003")
def test_the_table_takes_its_part_of_a_beam_from_under_it_and_of_no_other():
    none, pad = (StaffSettings.from_mapping({"source": "test", "table": part}) for part in (1.0, 0.7))
    for angle, part in ((0.0, 0.7), (60.0, 0.7**2.0), (90.0, 1.0), (180.0, 1.0)):
        bare, behind = (per_gy_cm2(angle, "eye", TUBE_AWAY, settings=one) for one in (none, pad))
        assert behind / bare == pytest.approx(part, rel=2e-3), angle
    # Legs are under it as well: once for the beam, once for the scatter.
    bare, behind = (per_gy_cm2(0.0, "legs", TUBE_AWAY, settings=one) for one in (none, pad))
    assert behind / bare == pytest.approx(0.49, rel=2e-3)


@pytest.mark.req("REQ-STAFF-002")
def test_a_ceiling_shield_saves_the_eye_at_least_what_was_measured_behind_one():
    """3.5 and 0.1 µSv/(Gy·cm²) without and with one (PMMA phantom, PA): ours lets through more, as one put askew."""
    bare = per_gy_cm2(0.0, "eye", TUBE_AWAY)
    behind = per_gy_cm2(0.0, "eye", TUBE_AWAY, worn=Protection(ceiling=True))
    assert 0.1 / 3.5 <= behind / bare <= 0.2
