"""A room whose database server is down: what its patient tells waits, and comes to the registry once."""

import time

import pytest

from fluoroscope.app.dose.memory import DoseMemory
from fluoroscope.app.dose.room_history import RoomHistory
from fluoroscope.records.identity import PatientIdentity
from fluoroscope.registry import Registry
from fluoroscope.registry.history import patient_history

pytestmark = [pytest.mark.req("REQ-ROOM-008"), pytest.mark.peer("postgresql")]
JANE = PatientIdentity("Doe^Jane", "P-1")


def until(condition, seconds=60.0) -> bool:
    last = time.monotonic() + seconds
    while not condition() and time.monotonic() < last:
        time.sleep(0.01)
    return bool(condition())


def waiting(history):
    return [(one["kind"], one["waiting"]) for one in (history.status() or {"outside": []})["outside"]]


@pytest.fixture
def away(postgres):
    """Give the address of a database whose server is down, and what starts it again."""
    url = postgres.new_database()
    Registry(url).close()
    postgres.down()
    started = []

    def start():
        started.append(True)
        postgres.up()

    yield url, start
    if not started:
        postgres.up()


def test_what_is_told_while_the_server_is_down_is_there_once_when_it_is_back(away, tmp_path):
    url, start = away
    said = []
    history = RoomHistory(lambda: DoseMemory(url), lambda *words: said.append(words), again_after_s=0.05)
    try:
        history.begin(JANE, tmp_path)
        assert until(lambda: history.status() is not None)
        assert history.status()["trouble"]
        uid = history.outside_add(kind="CT", when="2019", by="Ann")["id"]
        wrong = history.outside_add(kind="angiography", by="Ann")["id"]
        history.outside_remove(id=wrong, by="Ann")
        assert waiting(history) == [("CT", True)]
        assert until(lambda: said)
        start()
        assert until(lambda: waiting(history) == [("CT", False)])
        assert history.status()["trouble"] == ""
    finally:
        history.close()
    assert len(said) == len(set(said))
    with Registry(url) as registry:
        (kept,) = patient_history(registry, "P-1").outside
    assert (kept.kind, kept.when, kept.told_to, kept.told_uid) == ("CT", "2019", "Ann", str(uid))


def test_a_room_closed_meanwhile_hands_over_at_its_next_start(away, tmp_path):
    url, start = away
    first = RoomHistory(lambda: DoseMemory(url), lambda *_: None)
    first.begin(JANE, tmp_path)
    first.outside_add(kind="CT")
    first.close()
    start()
    again = RoomHistory(lambda: DoseMemory(url), lambda *_: None)
    again.begin(PatientIdentity("Other^One", "P-2"), tmp_path)
    again.keep_waiting(tmp_path)
    again.close()
    with Registry(url) as registry:
        assert [one.kind for one in patient_history(registry, "P-1").outside] == ["CT"]
