"""Trainees and attempts, in a file and on a server."""

from dataclasses import replace
from datetime import datetime

import pytest
import sqlalchemy as sa

from fluoroscope.registry import Registry, RegistryError
from fluoroscope.registry.training import (
    ATTEMPT_COLUMNS,
    ScoredAttempt,
    anonymise_trainee,
    attempts_of,
    erase_trainee,
    export_attempts,
    keep_attempt,
    trainees,
)


def scored(number=1, total=80.0, **changes):
    criteria = [{"name": "angle", "value": 3.0, "unit": "deg", "mark": 1.0}]
    values = {
        "exam": f"20261127-0{number}", "scenario": "lumbar-puncture-easy", "procedure_key": "lumbar_puncture",
        "level": "L3-L4", "side": "", "patient": "anna", "guidance": True,
        "attempted_utc": datetime(2026, 11, 27, 8, number), "complete": True, "total": total, "success": total > 50.0,
        "passed": total > 70.0, "score": {"criteria": criteria, "reasons": []}, "version": "0.1",
    }  # fmt: skip
    return ScoredAttempt(**{**values, **changes})


@pytest.mark.req("REQ-GUI-074")
def test_attempts_are_kept_in_order_of_time_and_counted_for_each(registry):
    assert keep_attempt(registry, "T2", scored(3, 90.0)) == "new"
    assert keep_attempt(registry, "T1", scored(2, 40.0), name="Doe") == "new"
    assert keep_attempt(registry, "T1", scored(1, 60.0)) == "new"
    kept = attempts_of(registry, "T1")
    assert [(one.number, one.exam, one.total) for one in kept] == [(1, "20261127-01", 60.0), (2, "20261127-02", 40.0)]
    assert [(one.code, one.name, one.attempts) for one in trainees(registry)] == [("T1", "Doe", 2), ("T2", "", 1)]
    assert len(attempts_of(registry)) == 3
    assert attempts_of(registry, scenario="other") == []
    with pytest.raises(RegistryError, match="T9: not in the registry"):
        attempts_of(registry, "T9")


@pytest.mark.req("REQ-GUI-074")
def test_the_same_exam_counts_once_and_a_new_score_leaves_the_old_one(registry):
    keep_attempt(registry, "T1", scored(1, 60.0))
    assert keep_attempt(registry, "T1", scored(1, 60.0)) == "known"
    assert keep_attempt(registry, "T1", scored(1, 75.0)) == "scored again"
    (kept,) = attempts_of(registry, "T1")
    assert (kept.total, kept.passed) == (75.0, True)
    with registry.reading() as session:
        changes = session.execute(sa.text("SELECT field FROM corrections ORDER BY field")).scalars().all()
    assert changes == ["passed", "total"]
    with pytest.raises(RegistryError, match="kept for trainee T1"):
        keep_attempt(registry, "T2", scored(1, 75.0))
    # By another scenario it is another attempt.
    assert keep_attempt(registry, "T1", scored(1, scenario="mine")) == "new"


def test_an_export_has_a_column_of_value_and_mark_for_each_criterion(registry):
    keep_attempt(registry, "T1", scored())
    keep_attempt(registry, "T1", scored(2, score={"criteria": [{"name": "kap", "value": 0.5, "mark": 0.2}]}))
    rows = export_attempts(attempts_of(registry))
    assert list(rows[0])[: len(ATTEMPT_COLUMNS)] == list(ATTEMPT_COLUMNS)
    assert (rows[0]["angle"], rows[0]["angle_mark"], rows[0]["kap"]) == (3.0, 1.0, None)
    assert (rows[1]["kap"], rows[1]["kap_mark"], rows[1]["angle"]) == (0.5, 0.2, None)
    assert rows[0]["attempted_utc"] == "2026-11-27T08:01:00"


@pytest.mark.req("REQ-GUI-074")
def test_an_anonymous_trainee_keeps_the_scores_and_nothing_that_says_who(registry):
    for number in range(1, 4):
        keep_attempt(registry, "doe", scored(number, 50.0 + number), name="Jane Doe")
    keep_attempt(registry, "doe", scored(1, 66.0))
    for words in ("doe asked", "for Jane Doe"):
        with pytest.raises(RegistryError, match="do not write"):
            anonymise_trainee(registry, "doe", who="me", why=words)
    with pytest.raises(RegistryError, match="--why"):
        anonymise_trainee(registry, "doe", who="me", why=" ")
    code = anonymise_trainee(registry, "doe", who="me", why="end of course")
    assert code.startswith("anonymous-")
    kept = attempts_of(registry, code)
    assert [one.total for one in kept] == [66.0, 52.0, 53.0]
    assert {one.exam for one in kept} == {None}
    assert {f"{one.attempted_utc:%Y-%m-%d %H}" for one in kept} == {"2026-01-01 00"}
    with registry.reading() as session:
        assert session.execute(sa.text("SELECT count(*) FROM corrections")).scalar() == 0
    with pytest.raises(RegistryError, match="is not anonymous"):
        keep_attempt(registry, code, scored(9))
    # Somebody else may take the code.
    assert keep_attempt(registry, "doe", scored(8)) == "new"


@pytest.mark.req("REQ-GUI-074")
def test_an_erased_trainee_is_gone_from_every_page_and_it_is_said_that_somebody_was(registry):
    keep_attempt(registry, "uniquecode", scored(), name="Uniquename")
    keep_attempt(registry, "T2", scored(2))
    assert erase_trainee(registry, "uniquecode", who="me", why="asked for it") == 1
    assert [one.code for one in trainees(registry)] == ["T2"]
    with registry.reading() as session:
        row = session.execute(sa.text("SELECT attempts, exams, why FROM erasures")).one()
    assert tuple(row) == (1, 0, "asked for it")
    if registry.path is not None:
        registry.close()
        content = b"".join(path.read_bytes() for path in registry.path.parent.glob(registry.path.name + "*"))
        assert b"uniquecode" not in content
        assert b"Uniquename" not in content


@pytest.mark.parametrize("code", ["", "   ", "x" * 65, "a\x00b", "anonymous-3", "line\nbreak", "=1+1", "@x"])
def test_what_is_no_code(registry, code):
    with pytest.raises(RegistryError, match="trainee"):
        keep_attempt(registry, code, scored())
    assert trainees(registry) == []


def test_a_registry_of_the_step_before_takes_attempts(registry_url):
    from fluoroscope.registry.opening import _engine, _url
    from fluoroscope.registry.steps import run_steps

    engine = _engine(_url(registry_url), 5.0)
    with engine.begin() as connection:
        run_steps(connection, "r0003")
        connection.execute(
            sa.text(
                "INSERT INTO erasures (exams, objects, events, outside, who, why, erased_utc)"
                " VALUES (1, 1, 1, 0, 'a', 'b', '2026-01-01 00:00:00')"
            )
        )
    engine.dispose()
    with Registry(registry_url) as opened:
        assert keep_attempt(opened, "T1", scored()) == "new"
        with opened.reading() as session:
            assert session.execute(sa.text("SELECT attempts FROM erasures")).scalar() == 0


def test_scores_that_come_again_from_two_programs_are_kept_once(registry_url):
    from concurrent.futures import ThreadPoolExecutor

    with Registry(registry_url), ThreadPoolExecutor(4) as pool:

        def keep(number):
            with Registry(registry_url) as own:
                return keep_attempt(own, "T1", replace(scored(), exam=f"exam-{number % 2}"))

        said = list(pool.map(keep, range(8)))
    assert sorted(said) == ["known"] * 6 + ["new"] * 2
