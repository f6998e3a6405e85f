"""The rules of a site: read from one file, a wrong one refused by file, section and key, the packaged ones printed."""

import contextlib
import json
import re
import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fluoroscope.app.dose.rules import DoseRules, DoseRulesError, dose_rules, read_rules
from fluoroscope.app.dose.rules_text import rules_tables, rules_toml
from fluoroscope.dose.alerts import PUBLISHED_LEVELS, Quantity
from fluoroscope.dose.budget import BUDGET_QUANTITIES, DoseQuantity
from fluoroscope.procedure.catalogue import PROCEDURES
from fluoroscope.procedure.screening import AskUnknown

SITE = """
source = "room 3, 2025"

[air_kerma]
unit = "mGy"
first = 12
every = 13

[screening]
from_years = 10
to_years = 55
unknown = "always"
source = "our physicist"

[calibration]
factor = 1.08
source = "ionisation chamber, 2026-03-01"

[limits]
rate_mgy_min = 50
high_level_mgy_min = 100
source = "our country"

[budget]
quantity = "kap"
unit = "dGy.cm2"
limit = 50
source = "room 3"

[budget.vertebroplasty]
quantity = "fluoroscopy_time"
unit = "min"
limit = 10
warn_at = 0.9

[typical]
own_cases = 12

[typical.facet_injection]
source = "room 3, 48 cases of 2025"
kap = { unit = "Gy.cm2", typical = 1.5, reference_level = 2.5 }
"""


@pytest.mark.req("REQ-CTRL-008")
def test_a_file_says_what_holds(tmp_path):
    path = tmp_path / "rules.toml"
    path.write_text(SITE)
    rules = read_rules(path)
    assert [rule.first for rule in rules.levels if rule.quantity is Quantity.AIR_KERMA] == [3.0, 0.012]
    assert (rules.screening.from_years, rules.screening.to_years) == (10.0, 55.0)
    assert rules.screening.unknown is AskUnknown.ALWAYS
    assert (rules.calibration.factor, rules.limits.at(high_level=True)) == (1.08, 100.0)
    general, vertebroplasty = rules.budget_of("discography"), rules.budget_of("vertebroplasty")
    assert (general.quantity, general.limit, general.warn_at) == (DoseQuantity.KAP, 5.0, 0.8)
    assert (vertebroplasty.quantity, vertebroplasty.limit) == (DoseQuantity.FLUOROSCOPY_TIME, 600.0)
    assert (rules.own_cases, DoseRules().own_cases) == (12, 20)
    facet = rules.typical["facet_injection"]
    assert (facet.levels[DoseQuantity.KAP].typical, facet.levels[DoseQuantity.KAP].reference_level) == (1.5, 2.5)
    assert rules.typical["lumbar_epidural"].levels[DoseQuantity.KAP].typical == 2.80
    same = tmp_path / "rules.json"
    same.write_text(json.dumps(tomllib.loads(SITE)))
    assert rules_tables(read_rules(same)) == rules_tables(rules)


@pytest.mark.req("REQ-CTRL-008")
@pytest.mark.parametrize("text", [SITE, ""])
def test_what_is_printed_is_read_again_as_the_same_rules(text):
    rules = dose_rules(tomllib.loads(text))
    for again in (
        dose_rules(tomllib.loads(rules_toml(rules))),
        dose_rules(json.loads(json.dumps(rules_tables(rules)))),
    ):
        assert again == rules


def test_without_a_file_the_packaged_rules_hold_and_old_level_files_stay_valid(tmp_path):
    assert read_rules(None) == DoseRules()
    old = tmp_path / "levels.toml"
    old.write_text('source = "room 3"\n[kap]\nunit = "Gy.cm2"\nfirst = 3\n')
    rules = read_rules(old)
    assert len(rules.levels) == len(PUBLISHED_LEVELS) + 1
    assert rules.budgets == {}


@pytest.mark.req("REQ-CTRL-008")
@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("[screenning]\nask = true", r"\[screenning\] is unknown"),
        ("[screening]\nages = 3", r"\[screening\] ages is unknown; there are ask"),
        ("[screening]\nask = 1", r"\[screening\] ask must be true or false"),
        ('[screening]\nfrom_years = "12"', r"\[screening\] from_years must be a number"),
        ("[screening]\nfrom_years = 60", r"\[screening\] ages must ascend"),
        ('[screening]\nunknown = "perhaps"', r"\[screening\] unknown must be one of always"),
        ("screening = 3", r"\[screening\] must be a table"),
        ("[calibration]\nfactor = 1.1", r"\[calibration\] a calibration factor needs its source"),
        ('[calibration]\nfactor = 10\nsource = "x"', r"\[calibration\] a calibration factor lies from 0.5 to 2"),
        ('[calibration]\nfactor = nan\nsource = "x"', r"\[calibration\] a calibration factor lies"),
        ("[limits]\nrate_mgy_min = 100", r"\[limits\] the rate limit must lie from 1 to 88"),
        ("[budget]\nlimit = 3", r"\[budget\] quantity must be one of air_kerma"),
        ('[budget]\nquantity = "kap"\nunit = "mGy"\nlimit = 3', r"\[budget\] unit must be one of Gy.cm2"),
        ('[budget]\nquantity = "kap"\nunit = "Gy.cm2"', r"\[budget\] needs limit"),
        ('[budget]\nquantity = "kap"\nunit = "Gy.cm2"\nlimit = 0', r"\[budget\] a budget of kerma-area product lies"),
        ('[budget.surgery]\nquantity = "kap"', r"\[budget.surgery\] is no procedure"),
        (
            '[typical.facet_injection]\nkap = { unit = "Gy.cm2", typical = 1 }',
            r"\[typical.facet_injection.kap\] needs source",
        ),
        ('[typical.facet_injection]\nsource = "x"\nkap = { unit = "Gy.cm2" }', r"facet_injection.kap\] a level needs"),
        ('[typical.facet_injection]\nsource = "x"\nkap = { unit = "cm", typical = 1 }', "unit must be one of"),
        ('[typical.facet_injection]\nsource = "x"\nskin = 3', r"\[typical.facet_injection\] skin is unknown"),
        ("[typical.facet_injection]", r"\[typical.facet_injection\] says nothing; give air_kerma"),
        ('[typical.facet_injection]\nsource = "x"', r"\[typical.facet_injection\] says nothing"),
        ("[typical]\nown_cases = 4", r"\[typical\] own_cases must be 5 to 1000"),
        ("[typical]\nown_cases = 7.5", r"\[typical\] own_cases must be a whole number"),
        ("[typical]\nown_cases = nan", r"\[typical\] own_cases must be a whole number"),
        ("[typical]\nkap = 3", r"\[typical\] kap is unknown"),
        ("[kap]\nfirst = 3", r"needs source"),
        ('source = "x"\n[kap]\nunit = "Gy.cm2"\nfirst = 3000', "kap: first must lie"),
        ("[coefficients]\nnonsense = 3", r"\[coefficients\]"),
        ("[screening", "cannot be read as dose rules"),
        ("[limits]\nrate_mgy_min = 1" + 400 * "0", r"\[limits\] rate_mgy_min is too large"),
        ("[budget]", r"\[budget\] quantity must be one of air_kerma"),
        ("source = 3", "source must be a text: who"),
    ],
)
def test_a_wrong_rule_is_refused_by_file_section_and_key(tmp_path, text, why):
    path = tmp_path / "rules.toml"
    path.write_text(text)
    with pytest.raises(DoseRulesError, match=why) as refused:
        read_rules(path)
    assert str(refused.value).startswith(f"{path}: ")
    assert "\n" not in str(refused.value)


@pytest.mark.req("REQ-CTRL-008")
def test_a_number_of_the_site_does_not_bear_the_name_of_a_regulation(tmp_path):
    path = tmp_path / "rules.toml"
    path.write_text("[limits]\nrate_mgy_min = 50\n[screening]\nfrom_years = 10\n")
    rules, packaged = read_rules(path), DoseRules()
    assert (rules.limits.source, rules.screening.source) == ("the site", "the site")
    path.write_text(f"[limits]\nrate_mgy_min = {packaged.limits.normal_mgy_min}\n[screening]\nask = true\n")
    rules = read_rules(path)
    assert (rules.limits, rules.screening) == (packaged.limits, packaged.screening)


@pytest.mark.req("REQ-CTRL-008")
def test_a_file_as_other_editors_write_it(tmp_path):
    path = tmp_path / "rules.toml"
    path.write_text("[limits]\nrate_mgy_min = 50\n", encoding="utf-8-sig")
    assert read_rules(path).limits.normal_mgy_min == 50.0
    twice = tmp_path / "rules.json"
    twice.write_text('{"limits": {"rate_mgy_min": 50, "rate_mgy_min": 60}}')
    with pytest.raises(DoseRulesError, match="rate_mgy_min stands there twice"):
        read_rules(twice)


@pytest.mark.req("REQ-CTRL-008")
@pytest.mark.parametrize("name", ["none.toml", "folder"])
def test_what_is_no_file_is_said_with_what_to_do(tmp_path, name):
    (tmp_path / "folder").mkdir()
    with pytest.raises(DoseRulesError, match=r"fluoroscope dose rules") as refused:
        read_rules(tmp_path / name)
    assert "Errno" not in str(refused.value)


@given(
    st.dictionaries(
        st.text(max_size=8),
        st.recursive(
            st.none() | st.booleans() | st.floats() | st.text(max_size=5),
            lambda one: st.lists(one, max_size=2) | st.dictionaries(st.text(max_size=8), one, max_size=2),
            max_leaves=6,
        ),
        max_size=3,
    )
)
def test_nonsense_is_refused_or_read_and_raises_nothing_else(tables):
    for name in ("screening", "budget", "typical", "limits", "calibration", "coefficients", "kap"):
        for value in (tables, next(iter(tables.values()), None)):
            with contextlib.suppress(DoseRulesError):
                assert dose_rules({name: value}).levels


@given(st.sampled_from(list(DoseQuantity)), st.floats(0.0, 1.0), st.sampled_from(["", *PROCEDURES]))
def test_every_budget_survives_being_printed(quantity, share, procedure):
    low, high = BUDGET_QUANTITIES[quantity]
    unit = {"Gy·cm²": "Gy.cm2"}.get(quantity.unit, quantity.unit)
    one = {"quantity": quantity.value, "unit": unit, "limit": low * (high / low) ** share, "source": "x"}
    rules = dose_rules({"budget": {procedure: one} if procedure else one})
    assert dose_rules(tomllib.loads(rules_toml(rules))) == rules


def test_the_command_prints_the_packaged_rules_and_those_of_a_file(command, tmp_path):
    code, out, err = command("dose", "rules")
    assert (code, err) == (0, "")
    assert dose_rules(tomllib.loads(out)) == DoseRules()
    path = tmp_path / "rules.toml"
    path.write_text(SITE)
    code, out, _ = command("dose", "rules", path, "--json")
    assert code == 0
    assert json.loads(out)["calibration"]["factor"] == 1.08
    path.write_text("[screening]\nask = 3")
    code, out, err = command("dose", "rules", path)
    assert (code, out) == (2, "")
    assert "[screening] ask must be true or false" in err
    assert err.count("\n") == 1


def test_the_example_of_the_manual_is_a_rules_file():
    manual = Path(__file__).parents[2] / "docs" / "how-to" / "keep-dose-low.md"
    (example,) = re.findall(r"```toml\n(.*?)```", manual.read_text(encoding="utf-8"), re.DOTALL)
    rules = dose_rules(tomllib.loads(example))
    assert (rules.calibration.factor, rules.limits.normal_mgy_min, rules.budget_of("discography").limit) == (
        1.08,
        50,
        5,
    )
    assert rules.typical["facet_injection"].levels[DoseQuantity.FLUOROSCOPY_TIME].typical == 10.0
