"""The kerma ledger: additive, monotone, honest about what is not known."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fluoroscope.acquisition import PulseKerma
from fluoroscope.beam.technique import RadiationMode, Technique
from fluoroscope.dose import FIVE_MINUTE_SIGNAL_S, Calibration, KermaLedger

FLUOROSCOPY, ACQUISITION = RadiationMode.FLUOROSCOPY, RadiationMode.ACQUISITION


def technique(rate_hz: float = 15.0, width_ms: float = 8.0) -> Technique:
    return Technique(70.0, 3.0, width_ms, rate_hz)


def expose(
    ledger: KermaLedger,
    kermas: list[PulseKerma | None],
    start_ns: int = 0,
    rate_hz: float = 15.0,
    mode: RadiationMode = FLUOROSCOPY,
) -> int:
    """Give one press; return its release."""
    ledger.press("uid", mode, start_ns)
    period_ns = 1e9 / rate_hz
    for index, kerma in enumerate(kermas):
        ledger.add(kerma, technique(rate_hz), start_ns + round(index * period_ns))
    end_ns = start_ns + round(len(kermas) * period_ns)
    ledger.release(end_ns)
    return end_ns


pulses = st.builds(PulseKerma, st.floats(0.0, 5.0), st.floats(0.0, 5.0))
presses = st.lists(st.lists(pulses, min_size=1, max_size=20), max_size=8)


@given(presses)
@pytest.mark.req("REQ-DOSE-001")
def test_the_exam_is_the_sum_of_its_events_and_of_its_pulses(exam: list[list[PulseKerma]]) -> None:
    ledger, now_ns = KermaLedger(), 0
    for press in exam:
        now_ns = expose(ledger, list(press), now_ns)
    status = ledger.snapshot(now_ns)
    assert status.air_kerma_mgy == math.fsum(event.air_kerma_mgy or 0.0 for event in ledger.events)
    assert status.kap_gy_cm2 == math.fsum(event.kap_gy_cm2 or 0.0 for event in ledger.events)
    everything = [pulse for press in exam for pulse in press]
    assert status.air_kerma_mgy == pytest.approx(math.fsum(p.air_kerma_mgy for p in everything), rel=1e-12)
    assert status.pulses == len(everything)
    assert status.fluoroscopy_time_s == pytest.approx(len(everything) / 15.0, abs=1e-6)
    assert status.beam_on_time_s == pytest.approx(len(everything) * 0.008)


@given(presses)
def test_nothing_ever_goes_down_while_x_ray_is_given(exam: list[list[PulseKerma]]) -> None:
    ledger, now_ns = KermaLedger(), 0
    before = ledger.snapshot(0)
    for press in exam:
        ledger.press("uid", FLUOROSCOPY, now_ns)
        for pulse in press:
            ledger.add(pulse, technique(), now_ns)
            now = ledger.snapshot(now_ns)
            assert now.air_kerma_mgy is not None
            assert before.air_kerma_mgy is not None
            assert now.air_kerma_mgy >= before.air_kerma_mgy
            assert now.pulses == before.pulses + 1
            assert now.fluoroscopy_time_s >= before.fluoroscopy_time_s
            before, now_ns = now, now_ns + 66_666_667
        ledger.release(now_ns)


@given(presses)
def test_the_same_pulses_again_give_the_same_numbers_to_the_last_bit(exam: list[list[PulseKerma]]) -> None:
    ledgers = KermaLedger(), KermaLedger()
    for ledger in ledgers:
        now_ns = 0
        for press in exam:
            now_ns = expose(ledger, list(press), now_ns)
    assert ledgers[0].snapshot(now_ns) == ledgers[1].snapshot(now_ns)


@pytest.mark.parametrize("rate_hz", [1.0, 2.0, 3.75, 7.5, 15.0, 30.0])
@pytest.mark.parametrize("count", [1, 2, 5, 100])
def test_the_rate_of_even_pulses_is_pulse_times_rate(rate_hz: float, count: int) -> None:
    ledger = KermaLedger()
    ledger.press("uid", FLUOROSCOPY, 0)
    for index in range(count):
        at_ns = round(index * 1e9 / rate_hz)
        ledger.add(PulseKerma(0.02, 0.01), technique(rate_hz), at_ns)
    assert ledger.snapshot(at_ns).air_kerma_rate_mgy_min == pytest.approx(0.02 * rate_hz * 60.0, rel=1e-6)


def test_the_rate_is_zero_without_x_ray_and_when_pulses_stop_coming() -> None:
    ledger = KermaLedger()
    ledger.press("uid", FLUOROSCOPY, 0)
    ledger.add(PulseKerma(0.02, 0.01), technique(), 0)
    assert ledger.snapshot(5_000_000_000).air_kerma_rate_mgy_min == 0.0
    ledger.release(6_000_000_000)
    assert ledger.snapshot(6_000_000_000).air_kerma_rate_mgy_min == 0.0


def test_dropped_pulses_lower_the_rate() -> None:
    ledger = KermaLedger()
    ledger.press("uid", FLUOROSCOPY, 0)
    for index in range(0, 60, 2):
        ledger.add(PulseKerma(0.02, 0.01), technique(15.0), round(index * 1e9 / 15.0))
    rate = ledger.snapshot(round(58e9 / 15.0)).air_kerma_rate_mgy_min
    assert rate is not None
    assert rate == pytest.approx(0.02 * 7.5 * 60.0, rel=0.07)


def test_the_five_minute_signal_comes_at_five_minutes_and_goes_when_reset() -> None:
    ledger = KermaLedger()
    ledger.press("uid", FLUOROSCOPY, 0)
    ledger.add(PulseKerma(0.01, 0.01), technique(), 0)
    just_before_ns = round(FIVE_MINUTE_SIGNAL_S * 1e9) - 1
    assert not ledger.snapshot(just_before_ns).five_minute_signal
    assert ledger.snapshot(just_before_ns + 1).five_minute_signal
    ledger.reset_five_minute_signal(just_before_ns + 1)
    assert not ledger.snapshot(just_before_ns + 1).five_minute_signal
    ledger.release(just_before_ns + 1)
    # Between presses no fluoroscopy time passes, however long the wait.
    assert ledger.snapshot(10**13).since_signal_reset_s == 0.0
    ledger.press("uid", FLUOROSCOPY, 10**13)
    ledger.add(PulseKerma(0.01, 0.01), technique(), 10**13)
    assert ledger.snapshot(10**13 + 300 * 10**9).five_minute_signal


def test_acquisition_time_is_kept_apart_and_does_not_count_for_the_signal() -> None:
    ledger = KermaLedger()
    expose(ledger, [PulseKerma(0.1, 0.1)] * 30, mode=ACQUISITION, rate_hz=0.1)
    status = ledger.snapshot(10**15)
    assert status.acquisition_time_s == pytest.approx(300.0)
    assert (status.fluoroscopy_time_s, status.five_minute_signal) == (0.0, False)


def test_pedal_time_and_beam_on_time_are_two_things() -> None:
    ledger = KermaLedger()
    ledger.press("uid", FLUOROSCOPY, 0)
    for index in range(10):
        ledger.add(PulseKerma(0.01, 0.01), technique(5.0, 10.0), index * 200_000_000)
    dose = ledger.release(1_900_000_000)
    assert dose is not None
    assert dose.pedal_time_s == pytest.approx(1.9)
    assert dose.beam_on_time_s == pytest.approx(0.1)


def test_unknown_is_none_never_zero() -> None:
    ledger = KermaLedger()
    assert ledger.snapshot(0).air_kerma_mgy == 0.0
    now_ns = expose(ledger, [None, None])
    status = ledger.snapshot(now_ns)
    assert (status.air_kerma_mgy, status.kap_gy_cm2, status.pulses_without_kerma) == (None, None, 2)
    assert status.event is not None
    assert status.event.air_kerma_mgy is None
    ledger.press("uid", FLUOROSCOPY, now_ns)
    ledger.add(None, technique(), now_ns)
    assert ledger.snapshot(now_ns).air_kerma_rate_mgy_min is None
    ledger.release(now_ns)
    expose(ledger, [PulseKerma(0.5, 0.1)], now_ns)
    assert ledger.snapshot(now_ns).air_kerma_mgy == 0.5


def test_a_press_without_a_pulse_is_no_irradiation() -> None:
    ledger = KermaLedger()
    ledger.press("uid", FLUOROSCOPY, 0)
    assert ledger.release(10**9) is None
    assert ledger.events == ()
    assert ledger.snapshot(10**9).fluoroscopy_time_s == 0.0
    assert ledger.press("uid", FLUOROSCOPY, 10**9) == 1


@pytest.mark.parametrize("bad", [(-0.1, 0.0), (0.0, -1.0), (math.nan, 0.0), (math.inf, 0.0)])
def test_impossible_doses_are_refused(bad: tuple[float, float]) -> None:
    ledger = KermaLedger()
    ledger.press("uid", FLUOROSCOPY, 0)
    with pytest.raises(ValueError, match="cannot give"):
        ledger.add(PulseKerma(*bad), technique(), 0)


def test_pulses_and_releases_without_a_press_are_refused() -> None:
    ledger = KermaLedger()
    with pytest.raises(ValueError, match="without a press"):
        ledger.add(PulseKerma(0.1, 0.1), technique(), 0)
    with pytest.raises(ValueError, match="without a press"):
        ledger.release(0)
    ledger.press("uid", FLUOROSCOPY, 0)
    with pytest.raises(ValueError, match="still on"):
        ledger.press("uid", FLUOROSCOPY, 0)


@given(presses, st.floats(0.5, 2.0))
@pytest.mark.req("REQ-CTRL-005")
def test_a_calibration_is_applied_once_and_the_readings_are_kept(exam: list[list[PulseKerma]], factor: float) -> None:
    plain, calibrated = KermaLedger(), KermaLedger(calibration=Calibration(factor, "chamber, 2026-03-01"))
    now_ns = 0
    for press in exam:
        expose(plain, list(press), now_ns)
        now_ns = expose(calibrated, list(press), now_ns)
    raw, shown = plain.snapshot(now_ns), calibrated.snapshot(now_ns)
    assert shown.air_kerma_mgy == factor * raw.air_kerma_mgy
    assert shown.kap_gy_cm2 == factor * raw.kap_gy_cm2
    assert (shown.measured_air_kerma_mgy, shown.measured_kap_gy_cm2) == (raw.air_kerma_mgy, raw.kap_gy_cm2)
    assert shown.fluoroscopy_time_s == raw.fluoroscopy_time_s
    assert shown.calibration == Calibration(factor, "chamber, 2026-03-01")
    # The record: what the meter said.
    assert calibrated.events == plain.events
    if raw.event is not None:
        assert shown.event.air_kerma_mgy == factor * raw.event.air_kerma_mgy


@pytest.mark.req("REQ-CTRL-005")
def test_the_rate_is_calibrated_too() -> None:
    ledger = KermaLedger(calibration=Calibration(1.25, "chamber"))
    ledger.press("uid", FLUOROSCOPY, 0)
    for index in range(15):
        ledger.add(PulseKerma(0.02, 0.01), technique(), round(index * 1e9 / 15.0))
    assert ledger.snapshot(10**9).air_kerma_rate_mgy_min == pytest.approx(1.25 * 0.02 * 15.0 * 60.0, rel=1e-6)


@pytest.mark.req("HAZ-CALIB-001")
@pytest.mark.parametrize("factor", [0.0, -1.0, 0.49, 2.01, 10.0, math.nan, math.inf])
def test_a_factor_that_is_a_fault_is_refused(factor: float) -> None:
    with pytest.raises(ValueError, match=r"from 0\.5 to 2"):
        Calibration(factor, "chamber")


@pytest.mark.req("HAZ-CALIB-001")
def test_a_factor_without_its_source_is_refused() -> None:
    with pytest.raises(ValueError, match="source"):
        Calibration(1.1, " ")
    assert Calibration().factor == 1.0


def test_the_rate_shown_is_of_the_last_second() -> None:
    """21 CFR 1020.32(k)(2): updated every second. A change of technique is fully in it one second later."""
    ledger = KermaLedger()
    ledger.press("uid", FLUOROSCOPY, 0)
    for index in range(60):
        ledger.add(PulseKerma(0.02 if index < 30 else 0.05, 0.01), technique(15.0), round(index * 1e9 / 15.0))
        if index == 29:
            assert ledger.snapshot(2 * 10**9).air_kerma_rate_mgy_min == pytest.approx(18.0, rel=1e-6)
        if index == 45:
            assert ledger.snapshot(3 * 10**9 + 1).air_kerma_rate_mgy_min == pytest.approx(45.0, rel=1e-6)


def test_the_cumulative_kerma_is_there_with_the_pulse_and_not_after_the_press() -> None:
    """21 CFR 1020.32(k)(3): within 5 s of the end of exposure; here at once."""
    ledger = KermaLedger()
    ledger.press("uid", FLUOROSCOPY, 0)
    ledger.add(PulseKerma(0.02, 0.01), technique(), 0)
    assert ledger.snapshot(1).air_kerma_mgy == 0.02
