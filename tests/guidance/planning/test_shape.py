"""Plans on a body whose answer is known: one window in a wall of bone."""

import numpy as np
import pytest

from fluoroscope.geometry.carm import C_ARMS
from fluoroscope.geometry.grid import DetectorGrid
from fluoroscope.geometry.projection import project_points, projection_geometry
from fluoroscope.geometry.table import PatientPosition, patient_from_equipment
from fluoroscope.guidance.planning import PROCEDURES, BodyBuild, Weights, plan, plan_facts
from fluoroscope.guidance.planning.depth import canal_depths_mm, depth_warnings
from fluoroscope.guidance.planning.levels import parse_level
from fluoroscope.patient.instruments.tissue_probe import TissueProbe

SKIN_Y, SAC_Y, WALL = 80.5, 26.0, (40.0, 46.0)


def crossing(one, y):
    """Return x and z where a trajectory crosses a plane of y."""
    entry, target = np.array(one.entry_mm), np.array(one.target_mm)
    share = (y - entry[1]) / (target[1] - entry[1])
    return (entry + share * (target - entry))[[0, 2]]


@pytest.mark.req("REQ-GUI-030")
@pytest.mark.parametrize(("x", "z"), [(0.0, 0.0), (9.0, 3.0), (-10.0, -4.0)])
def test_the_needle_goes_through_the_window_to_the_sac(boards, window, x, z):
    hole = window(x=x, z=z)
    for one in plan(boards(hole), "lumbar-puncture", "L3-L4"):
        radius = one.needle.outer_mm / 2
        for y in np.arange(WALL[0], WALL[1] + 0.1, 1.0):
            off = np.abs(crossing(one, y) - [x, z])
            assert np.all(off <= 5.5 - radius - 0.4)
        assert one.entry_mm[1] == pytest.approx(SKIN_Y)
        assert np.hypot(one.target_mm[0], one.target_mm[1] - SAC_Y) <= 7.0
        assert one.depth_mm == pytest.approx(np.linalg.norm(np.subtract(one.entry_mm, one.target_mm)))
        assert one.clearances_mm["bone"] >= 0.5


@pytest.mark.req("REQ-GUI-030")
def test_depth_of_the_dura_is_where_the_line_meets_the_sac(open_boards):
    for one in plan(open_boards, "lumbar-puncture", "L3-L4"):
        x, y, _ = one.dura_mm
        # The sac is a cylinder of 7 mm of voxels.
        assert np.hypot(x, y - SAC_Y) == pytest.approx(7.0, abs=0.8)
        assert one.dura_depth_mm < one.depth_mm
        assert one.safe_zone.from_mm <= one.depth_mm <= one.safe_zone.to_mm


@pytest.mark.req("REQ-GUI-031")
@pytest.mark.parametrize(("side", "sign"), [("left", 1.0), ("right", -1.0)])
def test_left_is_the_patients_left(open_boards, side, sign):
    found = plan(open_boards, "lumbar-puncture", "L3-L4", side=side)
    sided = [one for one in found if one.side]
    assert sided
    assert {one.side for one in sided} == {side}
    for one in sided:
        assert sign * (one.entry_mm[0] - one.target_mm[0]) > 3.0
        assert f"patient {side.upper()} posterior oblique" in one.coaxial.text


@pytest.mark.req("REQ-GUI-031")
def test_a_window_on_one_side_is_not_reached_from_the_other(boards, window):
    patient = boards(window(x=6.0, half_x=2.0, half_z=4.0))
    assert {one.side for one in plan(patient, "lumbar-puncture", "L3-L4")} == {"left"}
    with pytest.raises(ValueError, match=r"lumbar puncture at L3-L4: no way in: .*bone"):
        plan(patient, "lumbar-puncture", "L3-L4", side="right")


@pytest.mark.req("REQ-GUI-030")
def test_a_closed_wall_lets_no_needle_through(boards):
    with pytest.raises(ValueError, match="no way in: through bone"):
        plan(boards(None), "lumbar-puncture", "L3-L4")


@pytest.mark.req("REQ-GUI-030")
def test_a_vessel_in_the_window_is_avoided(boards, window):
    free = boards(window(half_x=20.0, half_z=10.0))
    barred = boards(window(half_x=20.0, half_z=10.0), vessel_at=(0.0, 55.0))
    assert min(abs(crossing(one, 55.0)[0]) for one in plan(free, "lumbar-puncture", "L3-L4")) < 4.0
    for one in plan(barred, "lumbar-puncture", "L3-L4"):
        assert abs(crossing(one, 55.0)[0]) > 4.0 + one.needle.outer_mm / 2
        assert one.clearances_mm["vessel"] > 0.0


@pytest.mark.req("REQ-GUI-032")
def test_score_is_the_documented_sum_and_orders_the_plans(open_boards):
    found = plan(open_boards, "lumbar-puncture", "L3-L4")
    totals = [one.score.total for one in found]
    assert totals == sorted(totals)
    for one in found:
        assert one.score.length == pytest.approx(one.depth_mm / 90.0)
        bone = one.clearances_mm["bone"] + one.needle.outer_mm / 2
        # The search looks every millimetre, the clearance every quarter.
        assert one.score.bone == pytest.approx(3.0 * np.exp(-bone / 2.0), abs=0.25)
        assert one.score.visibility < 0.5 * 0.2
    doubled = plan(open_boards, "lumbar-puncture", "L3-L4", weights=Weights(length=2.0))
    assert doubled[0].score.length == pytest.approx(2.0 * doubled[0].depth_mm / 90.0)


@pytest.mark.req("REQ-GUI-033")
@pytest.mark.parametrize(
    ("carm", "position"),
    [
        ("mobile-flat-panel", PatientPosition.HFP),
        ("mobile-large", PatientPosition.HFDL),
        ("angiography-room", PatientPosition.FFP),
    ],
)
def test_hub_and_tip_fall_together_in_the_coaxial_view(open_boards, carm, position):
    one = plan(open_boards, "lumbar-puncture", "L3-L4", position=position, carm=C_ARMS[carm], limit=1)[0]
    hub = one.at(one.depth_mm - one.needle.length_mm)
    grid = DetectorGrid(512, 512, 0.5)
    for view, least, most in ((one.coaxial, 0.0, 1.0), (one.confirm, 40.0, 200.0)):
        world = patient_from_equipment(view.table, position, open_boards.reference_mm)
        geometry = projection_geometry(view.pose, grid, world)
        pixels = project_points(geometry, np.array([hub, one.target_mm]))
        at_iso = 0.5 * view.pose.source_to_isocenter_mm / view.pose.source_to_detector_mm
        assert least <= np.linalg.norm(pixels[0] - pixels[1]) * at_iso <= most
        # The target lies on the central ray.
        assert pixels[1] == pytest.approx([255.5, 255.5], abs=0.01)
        assert C_ARMS[carm].pose(view.joints) == view.pose


@pytest.mark.req("REQ-GUI-033")
@pytest.mark.parametrize("position", [PatientPosition.HFS, PatientPosition.FFS])
def test_a_back_on_the_table_is_refused(open_boards, position):
    with pytest.raises(ValueError, match="lies on his back"):
        plan(open_boards, "lumbar-puncture", "L3-L4", position=position)


@pytest.mark.req("REQ-GUI-034")
def test_the_shortest_needle_that_reaches_is_taken(boards, window):
    hole = window(half_x=8.0, half_z=8.0)
    near = plan(boards(hole), "lumbar-puncture", "L3-L4")[0]
    assert near.needle.length_mm == 89.0
    assert near.needle.length_mm - near.depth_mm >= 10.0
    deep = plan(boards(hole, depth_of_skin=99.5), "lumbar-puncture", "L3-L4", limit=1)[0]
    assert deep.needle.length_mm in (89.0, 90.0, 127.0)
    assert deep.needle.length_mm - deep.depth_mm >= 10.0


@pytest.mark.req("REQ-GUI-034")
def test_formulas_give_the_published_depths():
    for bmi, centimetres in ((25.0, 7.1), (30.0, 8.1), (35.0, 9.1), (40.0, 10.1)):
        assert canal_depths_mm(BodyBuild(bmi=bmi))["Nayate 2016"] == pytest.approx(10.0 * centimetres, abs=0.6)
    assert canal_depths_mm(BodyBuild(weight_kg=70, height_cm=170))["Abe 2005"] == pytest.approx(80.0)
    child = canal_depths_mm(BodyBuild(weight_kg=20, height_cm=110, age_years=6))
    assert child["Craig"] == pytest.approx(33.0)
    assert child["Bailie"] == pytest.approx(28.0)
    assert "Nayate 2016" not in child
    assert depth_warnings({"a": 70.0, "b": 90.0}, None)
    assert not depth_warnings({"a": 70.0, "b": 84.0}, 84.0)
    assert depth_warnings({"a": 70.0}, 86.0)


@pytest.mark.req("REQ-GUI-035")
@pytest.mark.parametrize(
    ("procedure", "level", "words"),
    [
        ("lumbar-puncture", "L3", "is a bone, and lumbar puncture takes a space"),
        ("medial-branch", "L3-L4", "is a space, and medial branch block takes a vertebra"),
        ("lumbar-puncture", "L3-L5", "names no level"),
        ("lumbar-puncture", "heart", "names no level"),
        ("lumbar-puncture", "L1-L2", "the spinal cord may reach to upper L3"),
        ("lumbar-puncture", "L4-L5", "this patient has no such space"),
        ("brain-surgery", "L3-L4", "no such procedure"),
    ],
)
def test_wrong_words_are_told_in_one_line(open_boards, procedure, level, words):
    with pytest.raises(ValueError, match=words) as fault:
        plan(open_boards, procedure, level)
    assert "\n" not in str(fault.value)


@pytest.mark.req("REQ-GUI-035")
@pytest.mark.parametrize("word", ["L3-L4", "l3/l4", "L3_L4", "L3 – L4"])
def test_levels_are_read_as_people_write_them(word):
    assert parse_level(word, ("space",), "a test").name == "L3-L4"


@pytest.mark.req("REQ-GUI-035")
@pytest.mark.parametrize(
    ("word", "upper", "lower"), [("T12-L1", "T12", "L1"), ("L4-S1", "L4", "S1"), ("L6-S1", "L6", "S1")]
)
def test_spaces_at_the_ends_of_the_lumbar_spine_are_known(word, upper, lower):
    level = parse_level(word, ("space",), "a test")
    assert (level.upper, level.lower) == (upper, lower)


@pytest.mark.req("REQ-GUI-036")
def test_facts_are_plain_and_complete(open_boards):
    import json

    one = plan(open_boards, "lumbar-puncture", "L3-L4", limit=1)[0]
    facts = json.loads(json.dumps(plan_facts(one), allow_nan=False))
    for key in ("entry_mm", "target_mm", "coaxial", "depth_mm", "needle", "score", "clearances_mm"):
        assert key in facts
    assert set(facts["coaxial"]) >= {"primary_deg", "secondary_deg"}
    # DICOM positioner angles: a detector behind a patient has a primary near 180.
    assert abs(facts["coaxial"]["primary_deg"]) > 150.0
    out = np.subtract(one.entry_mm, one.target_mm) / one.depth_mm
    p, s = np.deg2rad([facts["coaxial"]["primary_deg"], facts["coaxial"]["secondary_deg"]])
    assert np.array([np.sin(p) * np.cos(s), -np.cos(p) * np.cos(s), np.sin(s)]) == pytest.approx(out, abs=1e-4)


@pytest.mark.req("REQ-GUI-030")
def test_the_probe_walks_the_path_without_bone(open_boards):
    probe = TissueProbe(open_boards.volume, open_boards.labels)
    for one in plan(open_boards, "lumbar-puncture", "L3-L4"):
        tissues = [probe.at_rest(one.at(depth)).tissue for depth in np.arange(0.5, one.depth_mm, 0.25)]
        assert "bone" not in tissues
        assert probe.at_rest(one.target_mm).tissue == "CSF"


@pytest.mark.req("REQ-GUI-037")
def test_every_number_of_every_procedure_has_a_source():
    assert len(PROCEDURES) == 15
    for one in PROCEDURES.values():
        assert one.sources
        assert one.target
        assert one.view
        for number in one.sources:
            assert number.source
            assert number.verified != ("not verified" in number.source)
