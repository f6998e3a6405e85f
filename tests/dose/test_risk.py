"""Nominal risk, against the published tables and one worked example."""

import pytest

from fluoroscope.dose.risk import RISK_NOTE, beir_risk, icrp_risk


@pytest.mark.req("REQ-EST-005")
def test_a_lumbar_epidural_is_1_in_26_000():
    found = icrp_risk(0.93, 40.0)
    assert found.per_million == pytest.approx(38.1, abs=0.1)
    assert "1 in 26\u202f000" in found.text
    assert RISK_NOTE in found.text
    assert "ICRP 103" in found.text


def test_without_an_age_the_whole_population_stands():
    assert icrp_risk(1.0).per_million == pytest.approx(55.0)
    assert icrp_risk(1.0, 17.0).per_million == pytest.approx(55.0)
    assert icrp_risk(1.0, 18.0).per_million == pytest.approx(41.0)
    assert icrp_risk(0.0).text.startswith("no dose")


@pytest.mark.req("REQ-EST-005")
@pytest.mark.parametrize(
    ("sex", "age", "cases"), [("M", 20, 977), ("M", 40, 648), ("F", 40, 886), ("F", 60, 586), ("F", 50, 740)]
)
def test_beir_vii_at_its_ages(sex, age, cases):
    assert beir_risk(100.0, age, sex).per_million == pytest.approx(cases * 10.0)


def test_beir_vii_between_its_ages_and_beyond():
    assert beir_risk(100.0, 35.0, "M").per_million == pytest.approx(6670.0)
    assert beir_risk(100.0, 95.0, "M").per_million == pytest.approx(1740.0)
    with pytest.raises(ValueError, match="sex M or F"):
        beir_risk(1.0, 30.0, "X")
