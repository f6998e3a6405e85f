"""Contrast medium: its mass is kept, it fills the place it is let out into, sinks, is held up and washed out."""

import threading

import numpy as np
import pytest

from fluoroscope.beam.basis import basis_of
from fluoroscope.beam.materials import MATERIALS
from fluoroscope.patient.instruments import contrast
from fluoroscope.patient.instruments.contrast import Bolus, Injection
from fluoroscope.patient.instruments.field import OperatingField
from fluoroscope.patient.instruments.spread import arrival
from fluoroscope.patient.instruments.tissue_probe import TissueProbe

CSF, EPIDURAL, ROOT, VESSEL, MUSCLE = (0, 0, -10), (0, 10.5, -10), (25, -2, -5), (0, -45, 0), (30, 20, 20)


def injected(probe, at, volume_ml=4.0, strength=240.0, rate=0.2, start_s=0.0):
    place = Injection(probe, np.asarray(at, dtype=float))
    place.inject(Bolus(start_s, volume_ml, strength, rate))
    return place


def body_mg(body):
    """Iodine of what the projector adds, from the bone channel: 300 mgI/mL of iohexol is the reference."""
    voxel_ml = abs(np.linalg.det(body.volume.world_from_index[:3, :3])) / 1000.0
    return body.volume.bone.sum(dtype=float) * 0.001 / basis_of(MATERIALS["iohexol_300"])[1] * 300.0 * voxel_ml


def middle_mm(found):
    weight = found.mgi_ml.astype(float)
    index = np.argwhere(weight > 0)
    places = index @ found.world_from_index[:3, :3].T + found.world_from_index[:3, 3]
    return np.average(places, axis=0, weights=weight[weight > 0])


@pytest.mark.parametrize(
    ("at", "pattern"),
    [(CSF, "intrathecal"), (EPIDURAL, "epidural"), (ROOT, "nerve root"), (VESSEL, "intravascular"),
     (MUSCLE, "soft tissue")],
)  # fmt: skip
@pytest.mark.parametrize("time_s", [2.0, 15.0, 40.0, 400.0])
def test_iodine_is_conserved(probe, at, pattern, time_s):
    place = injected(probe, at)
    assert place.pattern == pattern
    left = place.left_mg(time_s)
    body = place.body("contrast", time_s)
    if left < 0.05:
        assert body is None
    else:
        assert place.field(time_s).total_mg == pytest.approx(left, rel=1e-4)
        updated = place.left_mg(place._updated_s(time_s))
        assert body_mg(body) == pytest.approx(updated, rel=0.02)


def test_washout_follows_the_clock():
    bolus = Bolus(10.0, 2.0, 300.0, 0.5)
    times = np.linspace(10.0, 30.0, 20001)
    flow = np.where(times < 14.0, 150.0, 0.0)
    exact = 0.0
    for rate in flow[:-1]:
        exact += (rate - exact / 3.0) * (times[1] - times[0])
    assert bolus.left_mg(30.0, 3.0) == pytest.approx(exact, rel=2e-3)
    assert bolus.left_mg(14.0, 1e9) == pytest.approx(600.0)
    assert bolus.injected_ml(12.0) == pytest.approx(1.0)


def test_it_stays_in_its_place(probe):
    found = injected(probe, CSF, 8.0).field(60.0)
    index = np.argwhere(found.mgi_ml > 0)
    places = index @ found.world_from_index[:3, :3].T + found.world_from_index[:3, 3]
    _, numbers = probe.hu_and_labels(places)
    assert {probe.tissue_of(int(n)) for n in np.unique(numbers)} == {"CSF"}
    assert found.mgi_ml.max() <= 240.0


def test_more_medium_reaches_further(probe):
    small, large = (injected(probe, CSF, ml).field(100.0).mgi_ml.shape[0] for ml in (2.0, 8.0))
    assert large > 2.0 * small


def test_a_narrow_canal_holds_it_up(probe):
    """The same distance up (narrow at z = 50) and down from the tip: it stops at the narrow place."""
    found = injected(probe, (0, 0, 30), 12.0).field(80.0)
    rows = np.flatnonzero(found.mgi_ml.any(axis=(1, 2))) + found.world_from_index[2, 3]
    assert rows.max() < 50.0
    assert rows.min() < -5.0


def test_heavy_medium_goes_where_the_table_tilts(probe):
    middles = {}
    for name, down in (("head", (0.0, -0.3, 0.95)), ("foot", (0.0, -0.3, -0.95))):
        place = injected(probe, CSF, 4.0)
        place.pull(0.0, np.asarray(down))
        middles[name] = middle_mm(place.field(150.0))[2]
        assert abs(middle_mm(place.field(1.0))[2] - CSF[2]) < 6.0
    assert middles["head"] > middles["foot"] + 20.0


def test_a_vessel_runs_off_in_seconds_and_downstream(probe):
    place = injected(probe, VESSEL, 2.0, 300.0, 1.0)
    assert place.field(1.0).total_mg > 150.0
    assert place.left_mg(15.0) < 0.01 * place.injected_mg(15.0)
    assert middle_mm(place.field(2.5))[2] < VESSEL[2] - 2.0
    assert "intravascular" in " ".join(place.warnings(2.0))


def test_the_same_object_between_updates_and_the_same_again(probe):
    place = injected(probe, CSF)
    first = place.body("c", 3.26)
    assert place.body("c", 3.49).volume is first.volume
    later = place.body("c", 3.51)
    assert later.volume is not first.volume
    again = place.body("c", 3.3)
    assert np.array_equal(again.volume.bone, first.volume.bone)
    assert place.body("c", -1.0) is None


def test_limits_are_told_in_words(probe):
    place = injected(probe, CSF, 12.0, 350.0, 1.0)
    said = " ".join(place.warnings(20.0))
    assert "350 mgI/mL" in said
    assert "4200 mg" in said
    assert injected(probe, CSF, 10.0, 240.0).warnings(100.0) == []
    assert injected(probe, CSF, 2.0, 350.0, start_s=5.0).warnings(1.0) == []


def test_from_the_needle_and_stopped_by_hand(probe):
    field = OperatingField(probe)
    field.add("whitacre-22G-89", (0, 60, 0), (0, -1, 0))
    field.advance(58.0)
    with pytest.raises(ValueError, match="stylet"):
        field.inject(8.0, 240.0, 0.2, time_s=5.0)
    field.set_stylet(False)
    name = field.inject(8.0, 240.0, 0.2, time_s=5.0)
    assert name == "contrast intrathecal"
    field.stop_injection(time_s=15.0)
    _, contrast = field.truth(60.0)
    assert contrast[name]["injected_ml"] == pytest.approx(2.0)
    assert field.inject(1.0, 240.0, 0.2, time_s=70.0) == name
    assert field.truth(90.0)[1][name]["injected_ml"] == pytest.approx(3.0)
    assert [body.name for body in field.bodies(90.0)] == [name]
    with pytest.raises(ValueError, match="volume 500 mL"):
        field.inject(500.0, 240.0, 0.2, time_s=70.0)
    with pytest.raises(ValueError, match="rate 0"):
        field.inject(5.0, 240.0, 0.0, time_s=70.0)


class HeldTerrain:
    """Stands in for `contrast.terrain`: tells when it is asked, and answers when it is let go."""

    def __init__(self, monkeypatch):
        self.asked, self.go = threading.Event(), threading.Event()
        self._real = contrast.terrain
        monkeypatch.setattr(contrast, "terrain", self)

    def __call__(self, *args):
        self.asked.set()
        assert self.go.wait(20.0)
        return self._real(*args)


@pytest.fixture
def injecting(probe, monkeypatch):
    """A field whose injection is still looking for its way, the held terrain, and what the injection ended with."""
    field, held, ended = OperatingField(probe), HeldTerrain(monkeypatch), []
    field.add("whitacre-22G-89", (0, 60, 0), (0, -1, 0), name="needle")
    field.advance(58.0)
    field.set_stylet(False)

    def inject():
        try:
            ended.append(field.inject(4.0, 240.0, 0.2, time_s=5.0))
        except ValueError as refusal:
            ended.append(str(refusal))

    thread = threading.Thread(target=inject, daemon=True)
    thread.start()
    assert held.asked.wait(5.0)
    yield field, held, lambda: (held.go.set(), thread.join(20.0), ended[0])[-1]
    held.go.set()
    thread.join(20.0)


def within(seconds, ask):
    """Return what ``ask`` gives; fail when it does not answer in time."""
    answer = []
    thread = threading.Thread(target=lambda: answer.append(ask()), daemon=True)
    thread.start()
    thread.join(seconds)
    assert answer, "held up"
    return answer[0]


def test_the_picture_goes_on_while_an_injection_looks_for_its_way(injecting):
    field, _, finish = injecting
    assert len(within(2.0, lambda: field.shapes(6.0))) > 3
    assert within(2.0, lambda: field.bodies(6.0)) == ()
    assert within(2.0, lambda: field.truth(6.0))[1] == {}
    assert within(2.0, lambda: field.status(6.0))["contrast"] == {}
    # What is said meanwhile is not lost: the table tilts before the first drop is seen.
    within(2.0, lambda: field.set_down((0.0, -0.3, -0.95), time_s=5.5))
    assert finish() == "contrast intrathecal"
    (body,) = field.bodies(150.0)
    straight = OperatingField(field._probe)
    straight.add("whitacre-22G-89", (0, 60, 0), (0, -1, 0), name="needle")
    straight.advance(58.0)
    straight.set_stylet(False)
    straight.inject(4.0, 240.0, 0.2, time_s=5.0)
    straight.set_down((0.0, -0.3, -0.95), time_s=5.5)
    np.testing.assert_array_equal(body.volume.bone, straight.bodies(150.0)[0].volume.bone)


def test_a_needle_taken_out_meanwhile_lets_nothing_out(injecting):
    field, _, finish = injecting
    within(2.0, lambda: field.remove("needle"))
    assert "taken out" in finish()
    assert field.bodies(20.0) == ()


def test_without_labels_it_is_a_blob_around_the_tip(back):
    volume, _ = back
    found = injected(TissueProbe(volume), (20, 30, 0), 2.0).field(30.0)
    assert middle_mm(found) == pytest.approx((20, 30, 0), abs=4.0)
    assert found.total_mg == pytest.approx(480.0, rel=0.02)


def test_arrival_is_distance():
    room = np.ones((41, 41, 41), np.float32)
    times = arrival(room, room, np.array([1.0, 1.0, 1.0]), np.array([20.0, 20.0, 20.0]), np.inf)
    grid = np.stack(np.meshgrid(*(np.arange(41.0) - 20.0,) * 3, indexing="ij"), -1)
    exact = np.linalg.norm(grid, axis=-1)
    assert np.abs(times - exact).max() < 0.05 * exact.max()
    assert np.abs(times - exact)[exact > 5].mean() < 0.05 * exact[exact > 5].mean()
    room[20, :, :] = 0.0
    room[20, 0, 0] = 1.0
    times = arrival(np.ones_like(room), room, np.ones(3), np.array([10.0, 20.0, 20.0]), np.inf)
    assert times[30, 20, 20] > 2.0 * np.sqrt(10.0**2 + 2 * 20.0**2) - 3.0
