"""The rate limit of fluoroscopy at the rule's point: exactly the limit is given, a hair more is not."""

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fluoroscope.beam.kerma import pulse_kerma, reference_distance_mm
from fluoroscope.beam.technique import Filtration, RadiationMode, Technique
from fluoroscope.dose.limits import (
    Equipment,
    RateLimits,
    air_kerma_rate_mgy_min,
    entrance_point,
    refused_rate,
)

SDD = 1020.0
POINT = entrance_point(SDD)


def technique_at(rate_mgy_min: float, distance_mm: float = POINT.source_distance_mm) -> Technique:
    """Return 80 kV fluoroscopy that gives a rate at a distance."""
    unit = Technique(80.0, 1.0, 8.0, 15.0, Filtration(3.1, 0.1))
    return dataclasses.replace(unit, tube_current_ma=rate_mgy_min / air_kerma_rate_mgy_min(unit, distance_mm))


@pytest.mark.req("REQ-CTRL-004")
@pytest.mark.parametrize("limit", [88.0, 176.0])
def test_exactly_the_limit_is_given_and_more_is_refused(limit):
    assert refused_rate(technique_at(limit), POINT, limit) is None
    told = refused_rate(technique_at(limit * 1.000001), POINT, limit)
    assert told is not None
    assert "30 cm in front of the image receptor" in told


@pytest.mark.req("REQ-CTRL-004")
def test_the_rule_measures_at_its_own_point_not_at_the_reference_point():
    """At 1020/510 mm the same beam reads (720/360)² = 4 times as much at the reference point."""
    technique = technique_at(88.0)
    per_pulse = pulse_kerma(technique, reference_distance_mm(510.0), 1.0, SDD)
    assert per_pulse.air_kerma_mgy * 15.0 * 60.0 == pytest.approx(4.0 * 88.0, rel=1e-9)
    assert refused_rate(technique, POINT, 88.0) is None


def test_recording_is_exempt():
    recording = dataclasses.replace(technique_at(500.0), mode=RadiationMode.ACQUISITION)
    assert refused_rate(recording, POINT, 88.0) is None
    assert refused_rate(dataclasses.replace(recording, mode=RadiationMode.FLUOROSCOPY), POINT, 88.0) is not None


@pytest.mark.parametrize(
    ("args", "distance_mm", "words"),
    [
        ((1020.0,), 720.0, "30 cm in front"),
        ((1020.0, Equipment.UNDER_TABLE), 560.0, "1 cm above"),
        ((1020.0, Equipment.OVER_TABLE), 250.0, "30 cm above"),
        ((1020.0, Equipment.LATERAL), 450.0, "15 cm from the table"),
        ((440.0,), 190.0, "smallest source-skin"),
    ],
)
def test_where_the_rule_measures(args, distance_mm, words):
    point = entrance_point(*args, source_to_tabletop_mm=550.0, source_to_centreline_mm=600.0)
    assert point.source_distance_mm == distance_mm
    assert words in point.words


def test_a_point_without_its_distance_or_behind_the_source_is_refused():
    with pytest.raises(ValueError, match="source_to_tabletop_mm"):
        entrance_point(1000.0, Equipment.UNDER_TABLE)
    with pytest.raises(ValueError, match="source_to_centreline_mm"):
        entrance_point(1000.0, Equipment.LATERAL)
    with pytest.raises(ValueError, match="behind the source"):
        entrance_point(1000.0, Equipment.OVER_TABLE, source_to_tabletop_mm=250.0)


@given(st.floats(460.0, 1500.0), st.floats(1.0, 200.0))
def test_the_rate_falls_with_the_square_of_the_distance(distance_mm, rate):
    technique = technique_at(rate, distance_mm)
    assert air_kerma_rate_mgy_min(technique, 2.0 * distance_mm) == pytest.approx(rate / 4.0, rel=1e-9)


@pytest.mark.parametrize(("normal", "high"), [(0.5, 176.0), (89.0, 176.0), (88.0, 177.0), (88.0, 50.0)])
def test_a_site_may_be_stricter_never_looser(normal, high):
    with pytest.raises(ValueError, match="limit must lie"):
        RateLimits(normal, high)
    assert RateLimits(50.0, 50.0, "Japan").at(high_level=False) == 50.0
