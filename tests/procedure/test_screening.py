"""Pregnancy screening: who is asked, what an answer allows, who may go on in spite of it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fluoroscope.procedure.screening import (
    Answer,
    AskUnknown,
    PatientFacts,
    Screening,
    ScreeningRule,
    patient_facts,
)

RULE = ScreeningRule()


def needed(rule: ScreeningRule = RULE, **facts) -> bool:
    return Screening(rule, PatientFacts(**facts)).needed


@pytest.mark.req("REQ-CTRL-001")
@pytest.mark.parametrize(
    ("age", "asked"), [(11.99, False), (12.0, True), (38.0, True), (50.0, True), (50.99, True), (51.0, False)]
)
def test_women_of_the_rule_s_ages_are_asked_both_ends_included(age, asked):
    assert needed(sex="female", age_years=age) is asked
    assert needed(sex="other", age_years=age) is asked
    assert needed(sex="male", age_years=age) is False


@pytest.mark.req("REQ-CTRL-001")
def test_what_is_not_known_is_asked_of_real_patients_or_as_the_rule_says():
    for facts in ({}, {"sex": "female"}, {"age_years": 30.0}):
        assert needed(**facts, simulated=False) is True
        assert needed(**facts, simulated=True) is False
        assert needed(ScreeningRule(unknown=AskUnknown.ALWAYS), **facts, simulated=True) is True
        assert needed(ScreeningRule(unknown=AskUnknown.NEVER), **facts, simulated=False) is False
    # What is known settles it.
    assert needed(sex="male") is False
    assert needed(age_years=70.0) is False
    assert needed(ScreeningRule(ask=False), sex="female", age_years=30.0) is False
    assert needed(sex="female", age_years=55.0, pregnancy_weeks=20.0) is True


@pytest.mark.req("HAZ-SCREEN-001")
def test_nothing_but_an_answer_or_an_override_frees_x_ray():
    asked = Screening(RULE, PatientFacts("female", 30.0))
    assert asked.blocks
    for answer, by in (("no", ""), ("no", "  "), ("maybe", "Ann"), ("", "Ann")):
        with pytest.raises(ValueError, match=r"say who|answer is one of"):
            asked.answered(answer, by)
    assert not asked.answered("no", "Ann").blocks
    for answer in ("possible", "yes"):
        told = asked.answered(answer, "Ann")
        assert told.blocks
        assert "documented reason" in told.why
        with pytest.raises(ValueError, match="reason"):
            told.overridden("Bo", " a")
        assert not told.overridden("Bo", "cord compression").blocks


@pytest.mark.req("HAZ-SCREEN-001")
def test_an_override_of_less_knowledge_does_not_outlast_more():
    unanswered = Screening(RULE, PatientFacts("female", 30.0)).overridden("Bo", "emergency")
    assert not unanswered.blocks
    assert unanswered.answered("yes", "Ann").blocks
    assert not unanswered.answered("no", "Ann").blocks
    with pytest.raises(ValueError, match="nothing to override"):
        unanswered.overridden("Bo", "again")


@given(st.lists(st.tuples(st.sampled_from([*Answer]), st.booleans()), max_size=6))
def test_x_ray_is_free_only_with_a_no_or_somebody_s_responsibility(steps):
    screening = Screening(RULE, PatientFacts("female", 30.0))
    for answer, override in steps:
        screening = screening.answered(answer, "Ann")
        if override and screening.blocks:
            screening = screening.overridden("Bo", "emergency")
        assert screening.blocks == (screening.answer is not Answer.NO and screening.override is None)


def test_the_status_of_the_room_says_sex_and_age():
    assert patient_facts({"facts": ["female, 38 y", "BMI 23.5"], "pregnancy_weeks": None}, True) == PatientFacts(
        "female", 38.0, None, True
    )
    assert patient_facts({"sex": "M", "age_years": 9, "facts": ["female, 38 y"]}, False) == PatientFacts("male", 9.0)
    assert patient_facts({"facts": [], "pregnancy_weeks": 24}, True).pregnancy_weeks == 24.0
    assert patient_facts({"facts": ["osteoporosis"], "age_years": 400}, False) == PatientFacts()
    assert patient_facts({"facts": None, "sex": ""}, False) == PatientFacts()


def test_a_record_that_excludes_pregnancy_answers_the_question_unless_it_tells_of_one():
    told = {"facts": ["female, 38 y"], "pregnancy_excluded": "negative test"}
    assert not Screening(RULE, patient_facts(told, True)).needed
    assert "negative test" in Screening(RULE, patient_facts(told, True)).why
    assert Screening(RULE, patient_facts(told | {"pregnancy_weeks": 12}, True)).blocks


@pytest.mark.parametrize(("low", "high"), [(-1.0, 50.0), (51.0, 50.0), (12.0, 121.0)])
def test_ages_that_do_not_ascend_are_refused(low, high):
    with pytest.raises(ValueError, match="ascend"):
        ScreeningRule(from_years=low, to_years=high)
