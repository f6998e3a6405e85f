"""Typical doses: with their source, nothing made up; a room's own median and 75th percentile."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fluoroscope.dose.reference_levels import (
    FEWEST_CASES,
    PACE_QUANTITIES,
    PUBLISHED_TYPICAL,
    Level,
    TypicalDose,
    pace,
    typical_of_cases,
)
from fluoroscope.procedure.catalogue import PROCEDURES, Procedure, procedure_named

KERMA, KAP, TIME = PACE_QUANTITIES


@pytest.mark.req("REQ-CTRL-006")
def test_every_published_value_has_its_source_and_belongs_to_a_procedure():
    assert set(PUBLISHED_TYPICAL) <= set(PROCEDURES)
    for one in PUBLISHED_TYPICAL.values():
        assert one.source
        assert all(level.source for level in one.levels.values())
    epidural = PUBLISHED_TYPICAL["lumbar_epidural"].levels
    assert (epidural[KAP].typical, epidural[TIME].typical) == (2.80, 40.7)
    vertebroplasty = PUBLISHED_TYPICAL["vertebroplasty"].levels
    assert [vertebroplasty[one].reference_level for one in PACE_QUANTITIES] == [2000.0, 120.0, 1260.0]
    assert "[K]" in vertebroplasty[KAP].source


@pytest.mark.req("REQ-CTRL-006")
def test_a_case_stands_against_its_like_and_what_nobody_knows_stays_unknown():
    shown = pace({KAP: 1.4, TIME: 81.4}, PUBLISHED_TYPICAL["lumbar_epidural"])
    by = {row.quantity: row for row in shown.rows}
    assert by[KAP].fraction_of_typical == pytest.approx(0.5)
    assert by[TIME].fraction_of_typical == pytest.approx(2.0)
    assert (by[KERMA].value, by[KERMA].typical, by[KERMA].fraction_of_typical) == (None, None, None)
    assert "Kim 2009" in shown.source
    nothing = pace({KAP: 1.4}, PUBLISHED_TYPICAL["transforaminal_epidural"])
    assert all(row.typical is None and row.fraction_of_typical is None for row in nothing.rows)
    assert pace({}, None).source == "nothing is published"


def test_local_values_stand_over_published_ones_one_by_one():
    local = TypicalDose("lumbar_epidural", {KAP: Level(1.9, 2.6, "room 3")})
    both = local.over(PUBLISHED_TYPICAL["lumbar_epidural"])
    assert (both.levels[KAP].typical, both.levels[TIME].typical) == (1.9, 40.7)
    assert "room 3" in both.source
    assert "Kim 2009" in both.source


@settings(deadline=None)  # the first quantile loads a library
@given(st.lists(st.floats(0.01, 1e4), min_size=FEWEST_CASES, max_size=200))
def test_a_room_s_own_median_and_quartiles(values):
    typical = typical_of_cases("discography", {KAP: values}, "in room 3")
    level = typical.levels[KAP]
    assert level.typical == pytest.approx(float(np.median(values)), rel=1e-12)
    assert level.quartiles == pytest.approx(tuple(np.quantile(values, (0.25, 0.75))), rel=1e-12)
    assert level.reference_level is None
    assert level.source == f"median of {len(values)} exams in room 3"
    assert typical.note.startswith("half of them: ")
    assert "e+" not in typical.note


def test_too_few_cases_say_nothing_and_impossible_ones_are_refused():
    few = [1.0] * (FEWEST_CASES - 1)
    assert typical_of_cases("discography", {KAP: few}, "room 3").levels == {}
    assert typical_of_cases("discography", {KAP: few}, fewest=len(few)).levels[KAP].typical == 1.0
    assert typical_of_cases("discography", {KAP: [0.0] * 30}).levels == {}


def test_a_room_s_own_median_takes_no_reference_level_away():
    own = typical_of_cases("vertebroplasty", {TIME: [200.0] * 25}).over(PUBLISHED_TYPICAL["vertebroplasty"])
    assert (own.levels[TIME].typical, own.levels[TIME].reference_level) == (200.0, 1260.0)
    assert "median of 25 exams here; reference level: " in own.source
    assert own.levels[KAP].reference_level == 120.0


def test_impossible_cases_are_refused():
    with pytest.raises(ValueError, match="0 or more"):
        typical_of_cases("discography", {KAP: [math.nan] * 30}, "room 3")


@pytest.mark.parametrize("values", [(0.0, None, "s"), (None, -1.0, "s"), (math.inf, None, "s"), (None, None, "s")])
def test_a_level_that_says_nothing_is_refused(values):
    with pytest.raises(ValueError, match="typical"):
        Level(*values)


def test_procedures_are_named_or_refused():
    assert procedure_named("kyphoplasty").label == "kyphoplasty, one level"
    with pytest.raises(ValueError, match="there are lumbar_epidural"):
        procedure_named("appendectomy")
    with pytest.raises(ValueError, match="lower case"):
        Procedure("Facet injection", "x", "y")
    with pytest.raises(ValueError, match="20 to 500"):
        Procedure("x", "x", "y", (5.0, 100.0))
