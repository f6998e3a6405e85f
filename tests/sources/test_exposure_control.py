"""The exposure control in closed loop with the detector, behind water and behind a turning patient."""

import dataclasses

import numpy as np
import pytest
from numpy.typing import NDArray

from fluoroscope.beam import Filtration, RadiationMode, Technique, pulse_kerma, tube_spectrum
from fluoroscope.beam.materials import MATERIALS
from fluoroscope.detector import Detector
from fluoroscope.geometry.grid import DetectorGrid
from fluoroscope.geometry.pose import CArmPose
from fluoroscope.geometry.projection import ProjectionGeometry, projection_geometry
from fluoroscope.sources.exposure_control import (
    AutomaticCurve,
    DoseLevel,
    ExposureControl,
    GeneratorLimits,
    entrance_rate_mgy_min,
)

SDD = 1020.0
PITCH = 1.2
GRID = DetectorGrid(64, 64, PITCH)


def geometry() -> ProjectionGeometry:
    return projection_geometry(CArmPose(0.0, 0.0, 510.0, SDD), GRID)


def patient(water_mm: float, bone_mm: float = 0.0) -> NDArray[np.float32]:
    thickness = np.zeros((2, GRID.rows, GRID.columns), dtype=np.float32)
    thickness[0], thickness[1] = water_mm, bone_mm
    return thickness


def control() -> ExposureControl:
    return ExposureControl(Detector(seed=3), SDD, PITCH)


def run(
    loop: ExposureControl, thickness: NDArray[np.float32], pulses: int, first: int = 0, rate_hz: float = 15.0
) -> tuple[list[float], Technique]:
    """Close the loop for some pulses; return the signals and the last technique."""
    detector, place, signals = Detector(seed=3), geometry(), []
    for pulse in range(pulses):
        technique = loop.technique(rate_hz)
        pixels = detector.expose(thickness, technique, place, None, first + pulse)
        signals.append(detector.mean_signal(pixels, GRID))
        loop.observe(signals[-1], technique)
    return signals, technique


@pytest.mark.parametrize("water_mm", [100.0, 150.0, 200.0, 250.0, 300.0, 350.0, 400.0])
def test_signal_stays_from_10_to_40_cm_of_water(water_mm: float) -> None:
    loop = control()
    signals, technique = run(loop, patient(water_mm), 8)
    assert signals[-3:] == pytest.approx([loop.target_signal()] * 3, rel=0.1)
    assert loop.limited_by is None
    assert entrance_rate_mgy_min(technique, SDD) <= 88.0


def test_voltage_rises_with_thickness() -> None:
    voltages = [run(control(), patient(w), 8)[1].tube_voltage_kv for w in (100.0, 200.0, 300.0, 400.0)]
    assert voltages == sorted(voltages)
    assert voltages[0] < 65.0 < 95.0 < voltages[-1]


def test_the_lateral_does_not_go_dark() -> None:
    loop = control()
    run(loop, patient(180.0, 15.0), 8)
    signals, _ = run(loop, patient(320.0, 18.0), 6, first=8)
    target = loop.target_signal()
    assert signals[0] < 0.3 * target  # the view has just changed
    assert signals[4:] == pytest.approx([target] * 2, rel=0.1)
    back, _ = run(loop, patient(180.0, 15.0), 8, first=14)
    assert back[-1] == pytest.approx(target, rel=0.1)


def test_air_beside_the_body_does_not_darken_the_body() -> None:
    loop, thickness = control(), patient(300.0, 10.0)
    thickness[:, :, 40:] = 0.0  # a quarter of the measuring field, and more of the picture
    _, technique = run(loop, thickness, 8)
    pixels = Detector(seed=3).expose(thickness, technique, geometry())
    assert pixels[16:48, 8:36].mean() == pytest.approx(loop.target_signal(), rel=0.1)
    assert pixels[:, 44:].min() == 65535


def test_it_settles_without_oscillation() -> None:
    loop = control()
    signals, _ = run(loop, patient(350.0), 12)
    errors = np.log(np.array(signals) / loop.target_signal())
    assert np.abs(errors[4:]).max() < 0.06
    assert errors.max() < 0.1, "brighter than wanted after a dark start"
    thicknesses = []
    for pulse in range(20):
        run(loop, patient(350.0), 1, first=20 + pulse)
        thicknesses.append(loop.water_mm)
    assert np.ptp(thicknesses) < 3.0


def test_the_first_picture_is_right_when_primed() -> None:
    for water_mm in (100.0, 380.0):
        loop, detector, place = control(), Detector(seed=3), geometry()
        trial = loop.technique(15.0)
        loop.prime(detector.expected_signal(patient(water_mm), trial, place), trial)
        signals, _ = run(loop, patient(water_mm), 1)
        assert signals[0] == pytest.approx(loop.target_signal(), rel=0.05)


def test_low_dose_halves_kerma_and_raises_noise_by_root_two() -> None:
    detector, place, thickness = Detector(seed=3), geometry(), patient(220.0)
    loop = control()
    run(loop, thickness, 8)
    seen: dict[DoseLevel, tuple[float, float, float]] = {}
    quiet = Detector(dataclasses.replace(detector.model, electronic_noise_electrons=0.0), 5)
    for level in DoseLevel:
        loop.dose_level = level
        signals, technique = run(loop, thickness, 8)
        kerma = pulse_kerma(technique, 360.0, 300.0**2, SDD).air_kerma_mgy
        stack = np.stack([quiet.expose(thickness, technique, place, None, n) for n in range(30)]).astype(np.float64)
        middle = stack[:, 16:48, 16:48]
        seen[level] = (kerma, float((middle.std(axis=0) / middle.mean(axis=0)).mean()), signals[-1])
    for level, factor in ((DoseLevel.LOW, 0.5), (DoseLevel.HIGH, 2.0)):
        assert seen[level][0] / seen[DoseLevel.NORMAL][0] == pytest.approx(factor, rel=0.06)
        assert seen[level][1] / seen[DoseLevel.NORMAL][1] == pytest.approx(factor**-0.5, rel=0.06)
        assert seen[level][2] / seen[DoseLevel.NORMAL][2] == pytest.approx(factor, rel=0.06)


def test_the_dose_button_alone_changes_kerma_exactly() -> None:
    loop = control()
    normal = pulse_kerma(loop.technique(15.0), 360.0, 9e4, SDD).air_kerma_mgy
    loop.dose_level = DoseLevel.LOW
    assert pulse_kerma(loop.technique(15.0), 360.0, 9e4, SDD).air_kerma_mgy == pytest.approx(0.5 * normal)


@pytest.mark.parametrize("water_mm", [120.0, 200.0, 300.0])
def test_detector_kerma_per_pulse_is_that_of_c_arm_panels(water_mm: float) -> None:
    _, technique = run(control(), patient(water_mm), 8)
    beam = tube_spectrum(technique.tube_voltage_kv, technique.filtration).filtered(MATERIALS["water"], water_mm)
    entrance_ngy = 1000.0 * beam.air_kerma_ugy_per_mas(SDD) * technique.mas_per_pulse
    assert 10.0 < entrance_ngy < 40.0


@pytest.mark.parametrize("level", [DoseLevel.NORMAL, DoseLevel.HIGH])
@pytest.mark.parametrize("rate_hz", [7.5, 30.0])
def test_the_entrance_limit_is_kept_and_said(rate_hz: float, level: DoseLevel) -> None:
    loop = control()
    loop.dose_level = level
    said = {}
    for water_mm in (200.0, 350.0, 450.0):
        _, technique = run(loop, patient(water_mm), 8, rate_hz=rate_hz)
        rate = entrance_rate_mgy_min(technique, SDD)
        assert rate <= 88.0 * (1.0 + 1e-9)
        said[water_mm] = loop.limited_by is not None and "88 mGy/min" in loop.limited_by
        assert said[water_mm] == (rate == pytest.approx(88.0))
    assert said[450.0]
    assert not said[200.0]


def test_entrance_rate_is_measured_300_mm_before_the_detector() -> None:
    technique = Technique(80.0, 50.0, 10.0, 15.0, Filtration(3.1, 0.0))
    assert entrance_rate_mgy_min(technique, SDD) == pytest.approx(69.5e-3 * 0.5 / 0.72**2 * 15.0 * 60.0, rel=0.005)


def test_generator_limits_are_kept() -> None:
    limits = GeneratorLimits(highest_ma=20.0, highest_ms=8.0)
    loop = ExposureControl(Detector(seed=3), SDD, PITCH, limits=limits)
    _, technique = run(loop, patient(420.0), 8, rate_hz=1.0)
    assert technique.tube_current_ma == pytest.approx(20.0)
    assert technique.pulse_width_ms == pytest.approx(8.0)
    assert technique.tube_voltage_kv == 120.0
    assert loop.limited_by == "the generator's power"
    _, technique = run(loop, patient(0.0), 8, rate_hz=1.0)
    assert technique.tube_current_ma >= limits.lowest_ma
    assert limits.lowest_ms <= technique.pulse_width_ms <= limits.highest_ms
    assert technique.tube_voltage_kv >= limits.lowest_kv


def test_by_hand_it_does_not_follow_and_automatic_follows_again() -> None:
    loop = control()
    _, before = run(loop, patient(200.0), 6)
    loop.manual(before)
    _, during = run(loop, patient(350.0), 6)
    assert loop.locked
    assert during == before
    loop.automatic()
    _, after = run(loop, patient(350.0), 6)
    assert after.tube_voltage_kv > before.tube_voltage_kv


def test_manual_technique_is_used_and_checked() -> None:
    loop = control()
    chosen = Technique(66.0, 20.0, 8.0, 15.0)
    loop.manual(chosen)
    assert loop.technique(7.5) == dataclasses.replace(chosen, pulse_rate_hz=7.5)
    with pytest.raises(ValueError, match="above the 88"):
        loop.manual(Technique(110.0, 100.0, 20.0, 30.0))
    loop.manual(Technique(110.0, 100.0, 20.0, 30.0, mode=RadiationMode.ACQUISITION))
    with pytest.raises(ValueError, match="above the 88"):
        loop.technique(30.0)


def test_what_is_displayed_changes_nothing_and_refuses_nothing() -> None:
    loop = control()
    run(loop, patient(200.0), 8, rate_hz=7.5)
    thick = control()
    run(thick, patient(450.0), 8, rate_hz=7.5)
    said = thick.limited_by
    assert said is not None
    assert loop.displayed(7.5) == loop.technique(7.5)
    assert loop.limited_by is None
    thick.displayed(1.0, RadiationMode.ACQUISITION)
    assert thick.limited_by == said == thick.displayed_limit(7.5)
    # By hand, 70 mGy/min at 7.5 a second: allowed, and twice as often not.
    chosen = Technique(80.0, 100.0, 10.0, 7.5, Filtration(3.1, 0.0))
    loop.manual(chosen)
    assert loop.displayed(15.0) == dataclasses.replace(chosen, pulse_rate_hz=15.0)
    with pytest.raises(ValueError, match="above the 88"):
        loop.technique(15.0)
    with pytest.raises(ValueError, match="above the 88"):
        loop.check_rate(15.0)
    loop.check_rate(15.0, RadiationMode.ACQUISITION)


def test_what_would_make_a_manual_technique_too_much_is_refused_and_changes_nothing() -> None:
    loop = control()
    chosen = Technique(80.0, 50.0, 10.0, 7.5, Filtration(3.1, 0.3))
    loop.manual(chosen)
    with pytest.raises(ValueError, match="above the 88"):
        loop.set_pulse_rate(90.0)
    loop.set_pulse_rate(30.0)
    # The rate counts from now on, not that at which the technique was set.
    with pytest.raises(ValueError, match="above the 88"):
        loop.set_filtration(Filtration(3.1, 0.0))
    with pytest.raises(ValueError, match="above the 88"):
        loop.set_geometry(700.0, PITCH)
    assert loop.technique(30.0) == dataclasses.replace(chosen, pulse_rate_hz=30.0)
    assert entrance_rate_mgy_min(loop.technique(30.0), SDD) < 88.0
    loop.automatic()
    loop.set_filtration(Filtration(3.1, 0.0))
    loop.set_geometry(700.0, PITCH)
    assert loop.technique(30.0).filtration.copper_mm == 0.0


@pytest.mark.parametrize(
    ("technique", "why"),
    [
        (Technique(60.0, 121.0, 5.0, 1.0), "121 mA: 1 to 120"),
        (Technique(60.0, 0.5, 5.0, 1.0), "0.5 mA"),
        (Technique(120.0, 130.0, 5.0, 1.0), "130 mA: 1 to 120"),
        (Technique(60.0, 10.0, 21.0, 1.0), "21 ms: 2 to 20"),
        (Technique(60.0, 10.0, 1.9, 1.0), "1.9 ms"),
        (Technique(122.0, 10.0, 5.0, 1.0), "122 kV: 40 to 120"),
        (Technique(60.0, 1.0, 12.0, 100.0), "12 ms: 2 to 10 at 100 a second"),
    ],
)
def test_what_the_generator_cannot_give_is_refused_by_hand(technique: Technique, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        control().manual(technique)


def test_the_generators_power_is_a_limit_by_hand_too() -> None:
    weak = ExposureControl(Detector(), SDD, PITCH, limits=GeneratorLimits(power_kw=2.0))
    with pytest.raises(ValueError, match=r"40 mA: 1 to 33\.33 at 60 kV"):
        weak.manual(Technique(60.0, 40.0, 5.0, 1.0))


def test_pulses_never_run_into_each_other() -> None:
    loop = control()
    _, technique = run(loop, patient(450.0), 8, rate_hz=80.0)
    assert technique.pulse_width_ms <= 12.5


def test_acquisition_takes_more_dose_for_the_same_signal() -> None:
    loop = control()
    fluoroscopy = loop.technique(15.0)
    acquisition = loop.technique(15.0, RadiationMode.ACQUISITION)
    kerma = [pulse_kerma(t, 360.0, 9e4, SDD).air_kerma_mgy for t in (fluoroscopy, acquisition)]
    assert kerma[1] / kerma[0] == pytest.approx(8.0)
    targets = [loop.target_signal(mode) for mode in RadiationMode]
    assert targets[0] == pytest.approx(targets[1])


def test_mistakes_are_refused() -> None:
    loop = control()
    with pytest.raises(ValueError, match="300 mm"):
        loop.set_geometry(250.0, PITCH)
    with pytest.raises(ValueError, match="pitch"):
        loop.set_geometry(SDD, 0.0)
    with pytest.raises(ValueError, match="ascend"):
        AutomaticCurve((1.0, 1.0), (50.0, 60.0), (4.0, 4.0))
    with pytest.raises(ValueError, match="2 or more"):
        AutomaticCurve((1.0,), (50.0,), (4.0,))
