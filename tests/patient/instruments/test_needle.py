"""A needle in the hand: layers, membranes, bone, bevel, stylet, and the frame it rides on."""

import json

import numpy as np
import pytest

from fluoroscope.geometry.rigid import rotation, translation
from fluoroscope.patient.instruments.catalogue import CATALOGUE, instrument
from fluoroscope.patient.instruments.field import OperatingField
from fluoroscope.patient.instruments.shaft import shapes_of, simplified
from fluoroscope.patient.instruments.tissue_probe import TissueProbe
from fluoroscope.patient.scene import Rod

IN, MIDLINE = (0.0, -1.0, 0.0), (0.0, 60.0, 0.0)


@pytest.fixture
def field(probe):
    return OperatingField(probe)


def told(field):
    return field.truth(0.0)[0][-1]


def test_layers_and_membranes_on_the_way_to_csf(field):
    field.add("whitacre-22G-89", (0.0, 200.0, 0.0), IN)
    assert told(field).entry_mm == pytest.approx((0.0, 60.4, 0.0), abs=0.4)
    seen, forces = [], []
    for _ in range(110):
        field.advance(0.5)
        truth = told(field)
        forces.append(truth.force_n)
        if not seen or seen[-1] != truth.tissue:
            seen.append(truth.tissue)
    assert seen == ["skin", "fat", "ligament", "epidural space", "CSF"]
    events = {event.what: event for event in truth.events}
    assert list(events) == ["skin", "loss of resistance", "dural puncture"]
    assert events["loss of resistance"].depth_mm == pytest.approx(48, abs=1.5)
    assert events["dural puncture"].depth_mm == pytest.approx(52.5, abs=1.5)
    at = int(events["loss of resistance"].depth_mm / 0.5)
    assert max(forces[at - 4 : at]) > 2.0 * min(forces[at : at + 8])
    json.dumps(field.status(0.0))


def test_csf_returns_only_without_the_stylet_and_from_the_opening(field):
    field.add("whitacre-22G-89", MIDLINE, IN)
    field.advance(54.0)
    field.set_stylet(False)
    assert (told(field).tissue, told(field).returns) == ("CSF", "")
    field.advance(3.0)
    assert told(field).returns == "CSF"
    field.set_stylet(True)
    assert told(field).returns == ""


def test_bone_stops_a_spinal_needle_but_no_wire(field):
    field.add("spinal-22G-89", (10.0, 60.0, 0.0), IN)
    stopped = field.advance(70.0)
    assert stopped.stopped_by == "bone"
    assert stopped.structure == "vertebrae_L3"
    assert stopped.moved_mm == pytest.approx(39.5, abs=1.0)
    assert told(field).events[-1].what == "bone contact"
    assert told(field).force_n >= 15.0
    assert field.advance(5.0).moved_mm == 0.0
    field.add("kwire-1.6-200", (-10.0, 60.0, 0.0), IN)
    assert field.advance(44.0).moved_mm == pytest.approx(44.0)
    assert told(field).tissue == "bone"


def test_a_bevel_leads_it_away_from_its_face_by_about_a_millimetre_a_centimetre(probe):
    """Drummond and Scott 1980: 22G and 25G Quincke in beef."""
    field = OperatingField(probe)
    field.add("spinal-22G-127", (-30.0, 60.0, -20.0), IN)
    field.advance(20.0)
    before = told(field)
    field.advance(50.0)
    truth = told(field)
    moved = np.subtract(truth.tip_mm, before.tip_mm)
    straight = 50.0 * np.asarray(before.direction)
    assert 3.0 < np.linalg.norm(moved - straight) < 6.5
    assert (moved - straight) @ np.asarray(before.bevel) < 0.0
    assert instrument("whitacre-22G-89").deflection_mm < 0.2 * instrument("spinal-22G-89").deflection_mm


def test_turning_the_bevel_straightens_the_path(field):
    field.add("spinal-25G-89", (-30.0, 60.0, 0.0), IN)
    field.advance(60.0)
    bent = told(field).bend_mm
    field.add("spinal-25G-89", (-30.0, 60.0, 0.0), IN)
    for _ in range(12):
        field.advance(5.0)
        field.rotate(180.0)
    assert told(field).bend_mm < 0.3 * bent


def test_the_hub_stops_at_the_skin_and_it_comes_back_along_its_path(field):
    field.add("spinal-22G-89", (-30.0, 60.0, 0.0), IN)
    assert field.advance(120.0).stopped_by == "hub at the skin"
    assert told(field).depth_mm == pytest.approx(89.0, abs=0.01)
    there = told(field)
    field.withdraw(40.0)
    assert told(field).depth_mm == pytest.approx(49.0, abs=0.01)
    field.advance(40.0)
    assert np.linalg.norm(np.subtract(told(field).tip_mm, there.tip_mm)) < 3.0
    assert field.withdraw(500.0).stopped_by == "the skin"
    assert told(field).tip_mm == pytest.approx(told(field).entry_mm)


def test_it_steers_freely_at_the_surface_and_little_when_deep(field):
    shifts = []
    for depth in (5.0, 45.0):
        field.add("whitacre-22G-89", MIDLINE, IN)
        field.advance(depth)
        before = np.asarray(told(field).tip_mm)
        field.steer(5.0, 0.0)
        after = np.asarray(told(field).tip_mm)
        assert after[0] >= before[0]
        shifts.append((after[0] - before[0]) / (depth * np.tan(np.deg2rad(5.0))))
    assert shifts[0] > 0.9
    assert shifts[1] < 0.2
    field.add("whitacre-22G-89", MIDLINE, IN)
    field.steer(0.0, 10.0)
    field.advance(30.0)
    assert told(field).tip_mm[2] == pytest.approx(30.0 * np.sin(np.deg2rad(10.0)), abs=0.5)


def test_it_rides_with_the_patient(probe):
    lain = translation((3.0, -2.0, 5.0)) @ rotation((0, 0, 1), 10.0)
    field = OperatingField(probe, lambda time_s: {"table": lain if time_s >= 1.0 else np.eye(4)})
    field.add("whitacre-22G-89", MIDLINE, IN)
    field.advance(30.0)
    before, after = field.truth(0.0)[0][0], field.truth(2.0)[0][0]
    assert after.tip_mm == pytest.approx((lain @ [*before.tip_mm, 1.0])[:3])
    assert after.tissue == before.tissue
    rods = [one for one in field.shapes(2.0) if isinstance(one, Rod)]
    ends = np.array([rod.end_mm for rod in rods])
    assert np.linalg.norm(ends - after.tip_mm, axis=1).min() < 1e-6


def test_a_needle_is_not_swung_into_bone(field):
    """Beside the lamina, whose edge lies 6 mm to the left of the midline."""
    field.add("spinal-22G-89", (4.5, 60.0, 0.0), IN)
    field.advance(44.0)
    for _ in range(30):
        field.steer(10.0, 0.0)
        assert told(field).tissue != "bone"
    assert told(field).events[-1].what == "bone contact"
    assert told(field).tip_mm[0] > 4.5
    # A wire is driven where it is pointed.
    field.remove()
    field.add("kwire-1.6-200", (4.5, 60.0, 0.0), IN)
    field.advance(44.0)
    met = set()
    for _ in range(30):
        field.steer(2.0, 0.0)
        met.add(told(field).tissue)
    assert "bone" in met


def test_a_catheter_follows_the_epidural_space(field):
    field.add("tuohy-18G-89", MIDLINE, IN)
    while told(field).tissue != "epidural space":
        field.advance(0.5)
    field.advance(1.5)
    field.set_stylet(False)
    with pytest.raises(ValueError, match="wide"):
        field.thread("lead-8-600")
    field.remove()
    field.add("tuohy-14G-102", MIDLINE, (0.0, -1.0, 0.9))
    while told(field).tissue != "epidural space":
        field.advance(0.5)
    field.set_stylet(False)
    with pytest.raises(ValueError, match="ligament"):
        field.thread("lead-8-600")
    field.advance(3.0)
    field.thread("lead-8-600")
    gone = field.advance(60.0)
    truth = told(field)
    assert gone.moved_mm > 30.0
    assert truth.tissue == "epidural space"
    assert truth.tip_mm[2] > 25.0
    assert truth.beyond_mm == pytest.approx(gone.moved_mm)


@pytest.fixture
def threaded(field):
    """An 18G Tuohy in the epidural space with a catheter 20 mm out of it."""
    field.add("tuohy-18G-89", MIDLINE, (0.0, -1.0, 0.6), name="needle")
    while told(field).tissue != "epidural space":
        field.advance(0.5)
    field.advance(2.0)
    field.set_stylet(False)
    field.thread("catheter-20G-450", name="catheter")
    assert field.advance(20.0).moved_mm == pytest.approx(20.0)
    return field


def test_a_catheter_goes_back_into_its_needle_and_out_again(threaded):
    before = threaded.truth(0.0)[0][1]
    assert threaded.withdraw(35.0).moved_mm == pytest.approx(35.0)
    inside = threaded.truth(0.0)[0][1]
    assert inside.beyond_mm == pytest.approx(-15.0)
    needle = np.array(threaded.truth(0.0)[0][0].path_mm)
    assert np.linalg.norm(needle - inside.tip_mm, axis=1).min() < 3.0
    assert threaded.advance(35.0).moved_mm == pytest.approx(35.0)
    again = threaded.truth(0.0)[0][1]
    assert again.tissue == before.tissue == "epidural space"
    assert again.tip_mm == pytest.approx(before.tip_mm, abs=2.0)


def test_a_needle_with_a_catheter_through_it_stays_until_it_comes_out_over_it(threaded):
    for do in (
        lambda: threaded.advance(1.0, name="needle"), lambda: threaded.withdraw(1.0, name="needle"),
        lambda: threaded.steer(1.0, 0.0, name="needle"), lambda: threaded.set_stylet(True, name="needle"),
        lambda: threaded.thread("catheter-20G-450", through="needle"),
        lambda: threaded.inject(1.0, 240.0, 0.2, time_s=0.0, name="needle"),
    ):  # fmt: skip
        with pytest.raises(ValueError, match="catheter is through needle"):
            do()
    where = threaded.truth(0.0)[0][1]
    threaded.remove("needle")
    (left,) = threaded.truth(0.0)[0]
    assert left.tip_mm == where.tip_mm
    assert left.beyond_mm == pytest.approx(left.depth_mm)
    # What is injected through it comes out at its tip.
    assert threaded.inject(1.0, 240.0, 0.2, time_s=0.0) == "contrast epidural"
    # Out of the space it cannot be pushed back.
    threaded.withdraw(60.0)
    assert threaded.advance(10.0).stopped_by == "end of the space"


def test_a_catheter_taken_out_leaves_the_needle_free(threaded):
    threaded.remove("catheter")
    assert threaded.advance(0.5, name="needle").moved_mm == pytest.approx(0.5)


@pytest.mark.parametrize("name", ["spinal-22G-89", "sprotte-25G-127", "tuohy-18G-89", "trocar-11G-125", "lead-8-600"])
def test_every_kind_of_instrument_has_a_shadow_that_weighs_what_its_tube_does(name, field):
    kind = CATALOGUE[name]
    field.add(name, MIDLINE, IN)
    needle = field._needle("")
    if kind.has_stylet:
        needle.set_stylet(False)
    rods = [one for one in shapes_of(needle.in_place()) if isinstance(one, Rod)]
    steel = [rod for rod in rods if abs(rod.basis[1]) > 5.0 and rod.start_radius_mm <= kind.outer_mm / 2.0 + 1e-9]
    weight = sum(
        np.sign(rod.basis[1]) * np.pi * np.linalg.norm(np.subtract(rod.end_mm, rod.start_mm)) / 3.0
        * (rod.start_radius_mm**2 + rod.start_radius_mm * rod.end_radius_mm + rod.end_radius_mm**2)
        for rod in steel
    )  # fmt: skip
    if not kind.flexible:
        tube = np.pi / 4.0 * (kind.outer_mm**2 - kind.bore_mm**2) * (kind.length_mm + 8.0)
        assert weight == pytest.approx(tube, rel=0.05)
    else:
        rings = kind.electrodes * kind.electrode_mm * np.pi * (0.65**2 - 0.55**2)
        assert sum(rod.basis[1] > 100.0 for rod in rods) == kind.electrodes
        assert weight > rings


def test_a_path_keeps_its_shape_with_fewer_corners():
    angle = np.linspace(0.0, 0.3, 300)
    path = 300.0 * np.stack([np.sin(angle), np.zeros(300), 1.0 - np.cos(angle)], 1)
    few = simplified(path)
    assert 5 < len(few) < 40
    nearest = np.abs(np.linalg.norm(few - [0.0, 0.0, 300.0], axis=1) - 300.0)
    assert nearest.max() < 1e-9


def test_what_cannot_be_is_refused(field):
    with pytest.raises(ValueError, match="no such instrument"):
        field.add("spinal-22G-1000", MIDLINE, IN)
    with pytest.raises(ValueError, match="misses the patient"):
        field.add("spinal-22G-89", (500.0, 0.0, 0.0), (0.0, 0.0, 1.0))
    with pytest.raises(ValueError, match="no instrument"):
        field.advance(1.0)
    field.add("kwire-1.6-200", MIDLINE, IN)
    with pytest.raises(ValueError, match="no stylet"):
        field.set_stylet(False)
    with pytest.raises(ValueError, match="solid"):
        field.inject(1.0, 240.0, 0.1, time_s=0.0)
    with pytest.raises(ValueError, match="not flexible"):
        field.thread("spinal-22G-89")


def test_a_marker_sits_on_the_skin_and_moves_along_it(field):
    at = field.mark((5.0, 0.0, 10.0), IN)
    assert at == pytest.approx((5.0, 60.4, 10.0), abs=0.4)
    assert field.move_marker(3.0, -4.0) == pytest.approx((8.0, 60.4, 6.0), abs=0.4)
    assert len(field.shapes(0.0)) == 1
    field.lay_ruler((0, 70, -50), (0, 70, 50))
    assert len(field.shapes(0.0)) == 1 + 1 + 11
    field.unmark()
    field.take_ruler()
    assert field.shapes(0.0) == ()


def test_without_labels_the_ct_number_tells(back):
    volume, _ = back
    bare = TissueProbe(volume)
    told = [bare.at_rest((10.0, y, 0.0)).tissue for y in (70.0, 59.5, 50.0, 30.0, 16.0)]
    assert told == ["air", "skin", "fat", "muscle", "bone"]


def test_a_new_way_meets_what_lies_on_it_though_the_needle_was_deeper_before(field):
    # Beside the sac, then pulled back under the skin and turned into it: the membranes of the new way are felt.
    field.add("whitacre-22G-89", (22.0, 60.0, 0.0), IN)
    field.advance(80.0)
    assert "dural puncture" not in [event.what for event in told(field).events]
    field.advance(-74.0)
    field.steer(-25.0, 0.0)
    field.advance(56.0)
    assert told(field).tissue == "CSF"
    assert "dural puncture" in [event.what for event in told(field).events]
