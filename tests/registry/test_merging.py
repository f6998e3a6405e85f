"""Two ids made one person can be taken apart again, with nothing lost and nothing counted twice."""

import json

import pytest
from sqlalchemy import create_engine, text

from fluoroscope.registry import Registry
from fluoroscope.registry.changing import correct_patient, erase_patient, history_of_changes
from fluoroscope.registry.history import patient_history
from fluoroscope.registry.keeping import keep_reports
from fluoroscope.registry.merging import merge_patients, merges, undo_merge
from fluoroscope.registry.outside import ToldExposure, add_outside
from fluoroscope.registry.people import find_patients
from fluoroscope.registry.reports import Person
from fluoroscope.registry.steps import run_steps

pytestmark = pytest.mark.req("REQ-REG-013")
SIGNED = {"who": "Ann", "why": "one passport"}


@pytest.fixture
def three(registry, make_report):
    """Give a registry of P-1, P-2 and P-3 with an exam of 3, 5 and 7 mGy."""
    for number, kerma in (("1", [1.0, 2.0]), ("2", [5.0]), ("3", [7.0])):
        person = Person(f"P-{number}", "", f"Doe^{number}")
        first = 10 * int(number)
        study = f"2.25.{number}"
        keep_reports(registry, [make_report(number, person=person, study_uid=study, kerma=kerma, first_event=first)])
    return registry


def kerma(registry, patient):
    return patient_history(registry, patient).cumulative.air_kerma_mgy


def test_an_undone_merge_gives_each_their_own_again_with_what_came_since(three, make_report):
    number = merge_patients(three, "P-1", "P-2", **SIGNED)
    assert kerma(three, "P-2") == 8.0
    keep_reports(three, [make_report("4", person=Person("P-2"), study_uid="2.25.4", kerma=[1.0], first_event=50)])
    add_outside(three, "P-2", ToldExposure("CT"))
    correct_patient(three, "P-2", "sex", "F", who="Ann", why="asked")
    undone = undo_merge(three, number, who="Bo", why="two brothers")
    assert (undone.kept, undone.joined, undone.corrected) == ("P-1", ("P-2",), ("sex",))
    assert (kerma(three, "P-1"), kerma(three, "P-2")) == (3.0, 6.0)
    assert [len(patient_history(three, one).outside) for one in ("P-1", "P-2")] == [0, 1]
    assert [one.merged for one in find_patients(three)] == [(), (), ()]
    (told,) = merges(three)
    assert (told.kept, told.joined, told.who, told.why) == ("P-1", ("P-2",), "Ann", "one passport")
    assert (told.undone_who, told.undone_why) == ("Bo", "two brothers")
    changed = [(one.new, one.who) for one in history_of_changes(three, "P-2") if one.field == "merged_into"]
    assert [(new is None, who) for new, who in changed] == [(False, "Ann"), (True, "Bo")]
    assert merge_patients(three, "P-1", "P-2", **SIGNED) == number + 1


def test_merges_of_merged_patients_come_apart_in_the_reverse_order_only(three):
    first = merge_patients(three, "P-2", "P-3", **SIGNED)
    second = merge_patients(three, "P-1", "P-3", **SIGNED)
    assert kerma(three, "P-3") == 15.0
    with pytest.raises(ValueError, match=f"merge {second} moved the same patients later; undo that one first"):
        undo_merge(three, first, **SIGNED)
    assert kerma(three, "P-3") == 15.0
    undo_merge(three, second, **SIGNED)
    assert (kerma(three, "P-1"), kerma(three, "P-3")) == (3.0, 12.0)
    undo_merge(three, first, **SIGNED)
    assert [kerma(three, one) for one in ("P-1", "P-2", "P-3")] == [3.0, 5.0, 7.0]


def test_an_independent_later_merge_is_no_hindrance(three):
    first = merge_patients(three, "P-1", "P-2", **SIGNED)
    merge_patients(three, "P-1", "P-3", **SIGNED)
    undo_merge(three, first, **SIGNED)
    assert (kerma(three, "P-1"), kerma(three, "P-2")) == (10.0, 5.0)


def test_what_cannot_be_undone_is_one_line_and_changes_nothing(three):
    number = merge_patients(three, "P-1", "P-2", **SIGNED)
    with pytest.raises(ValueError, match="needs who"):
        undo_merge(three, number, who="Ann", why=" ")
    with pytest.raises(ValueError, match=f"merge {number + 1}: not in the registry"):
        undo_merge(three, number + 1, **SIGNED)
    undo_merge(three, number, **SIGNED)
    with pytest.raises(ValueError, match=r"undone already, on .* by Ann"):
        undo_merge(three, number, **SIGNED)
    # Either of the two takes the merge along: its words may name a person, its numbers may be given anew.
    erase_patient(three, "P-2", who="Ann", why="asked for it")
    assert merges(three) == []


def test_merges_of_an_older_registry_can_be_undone(registry_url):
    """Before there was a table of merges, only the corrections knew them."""
    url = registry_url if "://" in registry_url else f"sqlite:///{registry_url}"
    engine = create_engine(url.replace("postgresql://", "postgresql+psycopg://"))
    with engine.begin() as connection:
        run_steps(connection, "r0002")
        for row, into in ((1, None), (2, 1), (3, 1)):
            connection.execute(
                text(
                    "INSERT INTO patients (id, patient_id, issuer, twin, name, sex, merged_into, added_utc) "
                    "VALUES (:row, :id, '', 0, '', '', :into, '2026-11-01 10:00:00')"
                ),
                {"row": row, "id": f"P-{row}", "into": into},
            )
        for row, old, at in ((2, None, "10:00:00.1"), (3, 2, "10:00:00.2")):
            connection.execute(
                text(
                    'INSERT INTO corrections ("table", "row", field, old, new, who, why, changed_utc) '
                    "VALUES ('patients', :row, 'merged_into', :old, '1', 'Ann', 'one', :at)"
                ),
                {"row": row, "old": json.dumps(old), "at": f"2026-11-02 {at}"},
            )
    engine.dispose()
    with Registry(registry_url) as registry:
        (merge,) = merges(registry)
        assert (merge.kept, merge.joined) == ("P-1", ("P-2", "P-3"))
        undo_merge(registry, merge.id, **SIGNED)
        assert {one.patient_id: one.merged for one in find_patients(registry)} == {"P-1": (), "P-2": ("P-3",)}
