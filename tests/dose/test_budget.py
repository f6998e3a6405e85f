"""The dose budget: warned at its part, spent at exactly its end, overruled by name and with a reason."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fluoroscope.dose.budget import Budget, BudgetRule, BudgetState, DoseQuantity, three_digits

RULE = BudgetRule(DoseQuantity.AIR_KERMA, 50.0, "test")


@pytest.mark.req("REQ-CTRL-002")
def test_it_warns_at_80_percent_and_is_spent_at_exactly_its_end():
    budget = Budget(RULE)
    assert (budget.state, budget.fraction, budget.stopped) == (BudgetState.FREE, None, False)
    assert budget.followed(math.nextafter(40.0, 0.0)).state is BudgetState.FREE
    assert budget.followed(40.0).state is BudgetState.WARNED
    assert budget.followed(math.nextafter(50.0, 0.0)).state is BudgetState.WARNED
    assert budget.followed(50.0).stopped


@pytest.mark.req("REQ-CTRL-002")
def test_it_is_overruled_once_spent_by_name_and_with_a_reason():
    budget = Budget(RULE).followed(49.0)
    with pytest.raises(ValueError, match="nothing to overrule"):
        budget.overrule("Ann", "why")
    spent = budget.followed(51.0)
    for by, reason in (("", "why"), ("Ann", " "), ("  ", "")):
        with pytest.raises(ValueError, match="by name and with a reason"):
            spent.overrule(by, reason)
    going_on = spent.overrule(" Ann  Lee", "needle in place")
    assert not going_on.stopped
    assert going_on.overruled.by == "Ann Lee"
    assert not going_on.followed(500.0).stopped
    assert going_on.state is BudgetState.SPENT


@given(st.lists(st.one_of(st.none(), st.floats(0.0, 200.0)), max_size=20))
def test_it_follows_the_largest_value_and_nothing_unknown(values):
    budget = Budget(RULE)
    for value in values:
        budget = budget.followed(value)
    known = [value for value in values if value is not None]
    assert budget.value == (max(known) if known else None)
    assert budget.stopped == (bool(known) and max(known) >= 50.0)


@pytest.mark.parametrize("bad", [-1.0, math.nan, math.inf])
def test_an_impossible_dose_is_refused(bad):
    with pytest.raises(ValueError, match="cannot be"):
        Budget(RULE).followed(bad)


@pytest.mark.parametrize("limit", [0.0, -1.0, math.nan, math.inf, 1e9])
@pytest.mark.parametrize("quantity", list(DoseQuantity))
def test_a_budget_out_of_range_is_refused(quantity, limit):
    with pytest.raises(ValueError, match="budget of"):
        BudgetRule(quantity, limit, "test")


def test_a_warning_lies_before_the_end():
    with pytest.raises(ValueError, match="warning"):
        BudgetRule(DoseQuantity.KAP, 5.0, "test", warn_at=1.0)


@pytest.mark.parametrize(("value", "shown"), [(0.49631, "0.496"), (7689.0, "7690"), (12345.6, "12300"), (0.0, "0")])
def test_doses_for_people_have_three_digits_and_no_exponent(value, shown):
    assert three_digits(value) == shown
