"""Dose alerts: each level once, in order, the same again from the same totals; local levels within their range."""

import json
import math
import time
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fluoroscope.dose.alerts import (
    PUBLISHED_LEVELS,
    AlertKind,
    AlertWatch,
    CumulativeDose,
    LevelsFileError,
    Quantity,
    alerts_of,
    local_levels,
    read_levels,
)

NOW = datetime(2026, 1, 2, 3, 4, tzinfo=UTC)
LOCAL = {
    "source": "room 3, median and 75th percentile of 2025",
    "air_kerma": {"unit": "mGy", "first": 12, "every": 13, "substantial": 200},
    "fluoroscopy_time": {"unit": "s", "first": 30, "every": 15},
}


def levels(watch, quantity):
    return [alert.level for alert in watch.alerts if alert.quantity is quantity]


@pytest.mark.parametrize("steps", [1, 7, 100, 3001])
def test_a_long_case_gives_the_levels_of_ncrp_168_however_often_it_is_looked_at(steps):
    watch = alerts_of(
        (CumulativeDose(None, 7689 * n / steps, 468.8 * n / steps, 47.1 * 60 * n / steps), n)
        for n in range(1, steps + 1)
    )
    assert levels(watch, Quantity.AIR_KERMA) == [3.0, 4.0, 5.0, 6.0, 7.0]
    assert levels(watch, Quantity.KAP) == [300.0, 400.0]
    assert levels(watch, Quantity.FLUOROSCOPY_TIME) == [30.0, 45.0]
    assert levels(watch, Quantity.PEAK_SKIN_DOSE) == []
    assert watch.substantial == (Quantity.AIR_KERMA,)
    assert {quantity: alert.level for quantity, alert in watch.highest.items()} == {
        Quantity.AIR_KERMA: 7.0,
        Quantity.KAP: 400.0,
        Quantity.FLUOROSCOPY_TIME: 45.0,
    }
    kinds = [alert.kind for alert in watch.alerts if alert.quantity is Quantity.AIR_KERMA]
    assert kinds == ["first", "next", "substantial", "next", "next"]
    assert watch.alerts[0].at_event == math.ceil(steps * 3000 / 7689)


@pytest.mark.parametrize(
    ("dose", "level", "substantial"),
    [
        (lambda gy: CumulativeDose(peak_skin_dose_mgy=1000 * gy), 2.0, 3.0),
        (lambda gy: CumulativeDose(air_kerma_mgy=1000 * gy), 3.0, 5.0),
        (lambda kap: CumulativeDose(kap_gy_cm2=kap), 300.0, 500.0),
        (lambda minutes: CumulativeDose(fluoroscopy_time_s=60 * minutes), 30.0, 60.0),
    ],
)
def test_a_level_is_reached_at_its_value_and_not_just_below(dose, level, substantial):
    watch = AlertWatch()
    assert watch.update(dose(level * (1 - 1e-12)), 1) == ()
    (first,) = watch.update(dose(level), 2)
    assert (first.level, first.kind, first.at_event) == (level, AlertKind.FIRST, 2)
    assert watch.update(dose(level), 3) == ()
    assert watch.update(dose(substantial), 4)[-1].kind is AlertKind.SUBSTANTIAL
    assert len({alert.name for alert in watch.alerts}) == len(watch.alerts)


def test_what_is_not_known_or_falls_raises_nothing_and_takes_nothing_back():
    watch = AlertWatch()
    assert watch.update(CumulativeDose(), 1) == ()
    watch.update(CumulativeDose(peak_skin_dose_mgy=2600.0), 2)
    assert watch.update(CumulativeDose(peak_skin_dose_mgy=1000.0), 3) == ()
    assert watch.update(CumulativeDose(peak_skin_dose_mgy=2600.0), 4) == ()
    assert levels(watch, Quantity.PEAK_SKIN_DOSE) == [2.0, 2.5]


@pytest.mark.parametrize("kerma", [-1.0, float("nan"), float("inf"), 1e6])
def test_a_dose_nobody_gives_is_an_error_and_changes_nothing(kerma):
    watch = AlertWatch()
    with pytest.raises(ValueError, match="Gy: no procedure gives that"):
        watch.update(CumulativeDose(air_kerma_mgy=kerma, kap_gy_cm2=400.0), 1)
    assert watch.alerts == ()


amounts = st.lists(
    st.tuples(st.integers(1, 9), *(st.floats(0.0, most) for most in (900.0, 1500.0, 120.0, 900.0))), max_size=30
)


@given(amounts, st.booleans(), st.data())
def test_the_same_totals_give_the_same_alerts_after_a_crash_and_seen_only_at_the_ends_of_events(steps, local, data):
    rules = (*PUBLISHED_LEVELS, *local_levels(LOCAL)) if local else PUBLISHED_LEVELS
    sums, event, sequence = [0.0] * 4, 0, []
    for place, (new_event, *parts) in enumerate(steps):
        event += new_event > 5 or place == 0
        sums = [one + part for one, part in zip(sums, parts, strict=True)]
        sequence.append((CumulativeDose(*sums), event))
    live = AlertWatch(rules)
    raised = [alert for dose, at in sequence for alert in live.update(dose, at)]
    assert sorted(raised, key=live.alerts.index) == list(live.alerts)
    assert len({alert.name for alert in raised}) == len(raised)
    # Cut short anywhere, read again from the start, gone on.
    cut = data.draw(st.integers(0, len(sequence)))
    again = alerts_of(sequence[:cut], rules)
    before = again.alerts
    for dose, at in sequence[cut:]:
        again.update(dose, at)
    assert again.alerts == live.alerts
    assert set(before) <= set(live.alerts)
    ends = [step for step, after in zip(sequence, [*sequence[1:], (None, None)], strict=False) if step[1] != after[1]]
    assert alerts_of(ends, rules).alerts == live.alerts
    for quantity in Quantity:
        found = levels(live, quantity)
        assert found == sorted(found)


def test_an_alert_is_acknowledged_once_by_name_and_stays_so():
    watch = alerts_of([(CumulativeDose(air_kerma_mgy=4200.0), 1)])
    first, second = watch.open
    for by, at, why in (("  ", NOW, "say who"), ("Ann", NOW.replace(tzinfo=None), "zone")):
        with pytest.raises(ValueError, match=why):
            watch.acknowledge(first.name, by, at)
    watch.acknowledge(first.name, " Ann  Lee ", NOW)
    assert watch.open == (second,)
    with pytest.raises(ValueError, match="acknowledged by Ann Lee already"):
        watch.acknowledge(first.name, "Bo", NOW)
    with pytest.raises(ValueError, match="no alert 'air_kerma 5 Gy'"):
        watch.acknowledge("air_kerma 5 Gy", "Bo", NOW)
    watch.update(CumulativeDose(air_kerma_mgy=5000.0), 2)
    assert [alert.acknowledged_by for alert in watch.alerts] == ["Ann Lee", "", ""]
    assert watch.alerts[0].acknowledged_at == NOW


def test_an_alert_names_its_unit_and_source():
    watch = alerts_of([(CumulativeDose(air_kerma_mgy=3000.0), 1)], (*PUBLISHED_LEVELS, *local_levels(LOCAL)))
    assert watch.alerts[0].text == (
        "Air kerma at the reference point: 12 mGy, first level (room 3, median and 75th percentile of 2025)"
    )
    assert watch.alerts[-1].text == "Air kerma at the reference point: 3 Gy, first level (NCRP 168; SIR 2009)"


def test_local_levels_warn_earlier_and_leave_the_published_ones_as_they_are(tmp_path):
    path = tmp_path / "levels.json"
    path.write_text(json.dumps(LOCAL))
    rules = read_levels(path)
    watch = alerts_of([(CumulativeDose(air_kerma_mgy=5100.0, fluoroscopy_time_s=61.0), 1)], rules)
    found = [alert for alert in watch.alerts if alert.quantity is Quantity.AIR_KERMA]
    assert [alert.level for alert in found[:3]] == [0.012, 0.025, 0.038]
    assert [(alert.level, alert.source) for alert in found if alert.level >= 3.0] == [
        (3.0, "NCRP 168; SIR 2009"),
        (4.0, "NCRP 168; SIR 2009"),
        (5.0, "NCRP 168; SIR 2009"),
    ]
    assert [alert.level for alert in found if alert.kind is AlertKind.SUBSTANTIAL] == [0.2, 5.0]
    assert levels(watch, Quantity.FLUOROSCOPY_TIME) == [0.5, 0.75, 1.0]


def test_a_toml_file_says_the_same_as_a_json_file(tmp_path):
    (tmp_path / "levels.json").write_text(json.dumps(LOCAL))
    (tmp_path / "levels.toml").write_text(
        'source = "room 3, median and 75th percentile of 2025"\n'
        '[air_kerma]\nunit = "mGy"\nfirst = 12\nevery = 13\nsubstantial = 200\n'
        '[fluoroscopy_time]\nunit = "s"\nfirst = 30\nevery = 15\n'
    )
    assert read_levels(tmp_path / "levels.toml") == read_levels(tmp_path / "levels.json")


def test_small_local_steps_are_all_raised_once_and_stay_quick():
    rules = (*PUBLISHED_LEVELS, *local_levels({"source": "x", "air_kerma": {"unit": "mGy", "first": 3, "every": 1}}))
    begun = time.process_time()
    watch = alerts_of(((CumulativeDose(air_kerma_mgy=0.5 * n), n) for n in range(10_000)), rules)
    assert levels(watch, Quantity.AIR_KERMA) == [n / 1000 for n in range(3, 3001)] + [4.0]
    for alert in watch.open:
        watch.acknowledge(alert.name, "Ann", NOW)
    assert watch.open == ()
    # Looking at every level again at every update took 26 s for 10 000 updates up to 7.7 Gy.
    assert time.process_time() - begun < 5.0


def test_one_level_without_steps_is_one_alert():
    rules = local_levels({"source": "room 3", "kap": {"unit": "cGy.cm2", "first": 500}})
    watch = alerts_of([(CumulativeDose(kap_gy_cm2=290.0), 1)], rules)
    assert levels(watch, Quantity.KAP) == [5.0]


@pytest.mark.parametrize(
    ("table", "why"),
    [
        ([], "needs a table"),
        ({"kap": {"unit": "Gy·cm²", "first": 5}}, "who set these levels"),
        ({"source": "x"}, "has no level"),
        ({"source": "x", "skin": {}}, "skin is not watched; there are peak_skin_dose, air_kerma"),
        ({"source": "x", "kap": 5}, "kap needs unit and first"),
        ({"source": "x", "kap": {"first": 5}}, "unit must be one of Gy·cm²"),
        ({"source": "x", "kap": {"unit": "Gy", "first": 5}}, "unit must be one of Gy·cm²"),
        ({"source": "x", "kap": {"unit": "Gy·cm²"}}, "needs first, in Gy·cm²"),
        ({"source": "x", "kap": {"unit": "Gy·cm²", "first": 5, "then": 6}}, "then is unknown"),
        ({"source": "x", "kap": {"unit": "Gy·cm²", "first": "5"}}, "must be a number in Gy·cm², not '5'"),
        ({"source": "x", "kap": {"unit": "Gy·cm²", "first": True}}, "must be a number"),
        ({"source": "x", "kap": {"unit": "cGy.cm2", "first": 0.02}}, "from 0.03 to 30000 cGy.cm2, not 0.02 cGy.cm2"),
        ({"source": "x", "air_kerma": {"unit": "mGy", "first": 3001}}, "from 0.003 to 3000 mGy, not 3001 mGy"),
        ({"source": "x", "air_kerma": {"unit": "mGy", "first": float("nan")}}, "not nan mGy"),
        ({"source": "x", "air_kerma": {"unit": "mGy", "first": 10**400}}, "from 0.003 to 3000 mGy"),
        ({"source": "x", "air_kerma": {"unit": "mGy", "first": 9, "every": 0}}, "every must lie from 1 to 3000 mGy"),
        ({"source": "x", "air_kerma": {"unit": "mGy", "first": 9, "substantial": 8}}, "from 9 to 5000 mGy, not 8 mGy"),
    ],
)
def test_levels_out_of_range_are_refused_with_the_range(table, why):
    with pytest.raises(LevelsFileError) as refused:
        local_levels(table)
    assert why in str(refused.value)


@pytest.mark.parametrize("text", ["[[", "{" * 5000, '{"a":' * 5000])
def test_a_file_that_is_no_table_is_refused_by_name(tmp_path, text):
    for name in ("levels.toml", "levels.json"):
        (tmp_path / name).write_text(text)
        with pytest.raises(LevelsFileError, match=name):
            read_levels(tmp_path / name)
    with pytest.raises(LevelsFileError, match=r"gone\.toml"):
        read_levels(tmp_path / "gone.toml")


@pytest.mark.req("REQ-CTRL-003")
@given(st.lists(st.floats(0.0, 9000.0), min_size=1, max_size=6), st.booleans())
def test_the_level_that_comes_next_is_the_one_that_is_raised_next(kermas, local):
    rules = (*PUBLISHED_LEVELS, *local_levels(LOCAL)) if local else PUBLISHED_LEVELS
    watch = AlertWatch(rules)
    for number, kerma in enumerate(kermas, start=1):
        watch.update(CumulativeDose(air_kerma_mgy=kerma), number)
    following = watch.following
    assert following is not None
    assert following.value == max(kermas) / 1000.0
    assert 0.0 <= following.fraction < 1.0
    told = following.alert
    # Nothing is raised below it, and it is raised at its value, of the kind and source that were foretold.
    below = math.nextafter(1000.0 * told.level, 0.0)
    assert watch.update(CumulativeDose(air_kerma_mgy=below), 90) == () or below / 1000.0 >= told.level
    raised = (
        watch.update(CumulativeDose(air_kerma_mgy=math.nextafter(1000.0 * told.level, math.inf)), 91) or watch.alerts
    )
    (same,) = [alert for alert in raised if alert.name == told.name]
    assert (same.level, same.kind, same.source) == (told.level, told.kind, told.source)


def test_of_several_quantities_the_nearest_level_comes_next():
    watch = AlertWatch()
    assert watch.following is None
    watch.update(CumulativeDose(None, 1500.0, 240.0, 60.0), 1)
    assert watch.following is not None
    assert (watch.following.alert.name, watch.following.fraction) == ("kap 300 Gy·cm²", 0.8)
