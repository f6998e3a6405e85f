"""The journal: exact, torn tails tolerated, and what a killed program leaves behind."""

import json
import signal
import subprocess
import sys
import textwrap
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fluoroscope.acquisition import Collimation, IrradiationEvent
from fluoroscope.beam.technique import Filtration, RadiationMode, Technique
from fluoroscope.geometry.pose import CArmPose
from fluoroscope.geometry.table import TablePose
from fluoroscope.live import Journal, JournalError, journal_in_use, read_journal, recover_exam
from fluoroscope.live.encoding import decode_line, encode_line, event_from_json, event_to_json

STARTED = datetime(2026, 11, 22, 10, 0, 0, 123456, tzinfo=UTC)

numbers = st.floats(allow_nan=False, allow_infinity=False, width=64)
texts = st.text(max_size=40)
entries = st.dictionaries(texts, st.one_of(numbers, texts, st.none(), st.booleans(), st.integers()), max_size=6)


@given(entries)
def test_a_line_reads_back_equal(entry: dict[str, Any]) -> None:
    line = encode_line({"n": 1, **entry})
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    assert decode_line(line[:-1]) == {"n": 1, **entry}
    # It is plain JSON too, for any other reader.
    assert json.loads(line)["n"] == {"n": 1, **entry}["n"]


@given(entries, st.data())
def test_a_changed_byte_is_noticed(entry: dict[str, Any], data: st.DataObject) -> None:
    line = bytearray(encode_line({"n": 1, **entry})[:-1])
    at = data.draw(st.integers(0, len(line) - 1))
    line[at] ^= data.draw(st.integers(1, 255))
    assert decode_line(bytes(line)) is None


def test_not_a_number_is_refused() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        encode_line({"kerma": float("nan")})


def event() -> IrradiationEvent:
    pose = CArmPose(12.345678901234567, -3.3, 510.0, 1020.0, (1.0, 2.0, 3.0), 0.1)
    technique = Technique(71.3, 3.1, 8.2, 7.5, Filtration(3.1, 0.2), RadiationMode.ACQUISITION)
    return IrradiationEvent(
        "1.2.3", 4, STARTED, STARTED, 5, 1, 7.5, 0.7, 0.041, 0.1 + 0.2, 1 / 3, 71.3, 3.1, None,
        pose, replace(pose, primary_deg=13.0), TablePose(1.5, -2.5, 3.5, 1.0, 0.0, 0.0), technique,
        Collimation(10.0, 11.0, 12.0, 13.0),
    )  # fmt: skip


def test_an_event_reads_back_equal() -> None:
    assert event_from_json(json.loads(json.dumps(event_to_json(event())))) == event()
    bare = replace(event(), first_pose=None, last_pose=None, table=None, technique=None, collimation=None)
    assert event_from_json(json.loads(json.dumps(event_to_json(bare)))) == bare


def filled(path: Path) -> bytes:
    journal = Journal(path)
    journal.exam("1.2.3", STARTED, "15 cm", {"patient": "Grün, Łucja"})
    for number in range(5):
        journal.note("note", {"number": number})
    journal.close()
    journal.close()
    return path.read_bytes()


@given(cut=st.integers(0, 2000))
@settings(deadline=None)
def test_a_journal_cut_anywhere_gives_its_whole_lines(tmp_path_factory: pytest.TempPathFactory, cut: int) -> None:
    path = tmp_path_factory.mktemp("cut") / "journal.jsonl"
    content = filled(path)
    kept = content[: min(cut, len(content))]
    path.write_bytes(kept)
    reading = read_journal(path)
    assert len(reading.entries) == kept.count(b"\n")
    assert reading.torn_bytes == len(kept) - (kept.rfind(b"\n") + 1)
    assert reading.damaged_lines == 0


def test_a_damaged_line_in_the_middle_is_counted_and_left_out(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    lines = filled(path).split(b"\n")
    lines[2] = lines[2].replace(b'"number":1', b'"number":7')
    path.write_bytes(b"\n".join(lines))
    reading = read_journal(path)
    assert (len(reading.entries), reading.damaged_lines, reading.torn_bytes) == (5, 1, 0)


def test_a_journal_is_never_written_over(tmp_path: Path) -> None:
    filled(tmp_path / "journal.jsonl")
    with pytest.raises(FileExistsError):
        Journal(tmp_path / "journal.jsonl")


def test_a_closed_journal_refuses(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.jsonl")
    journal.close()
    with pytest.raises(ValueError, match="is closed: open a new exam"):
        journal.note("late")


def test_what_is_no_journal_of_an_exam_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.jsonl"
    path.write_bytes(b"")
    with pytest.raises(JournalError, match="is not the journal of an exam: it is empty"):
        recover_exam(path)
    path.write_bytes(b'{"some": "json"}\n')
    with pytest.raises(JournalError, match="is not the journal of an exam: its first line"):
        recover_exam(path)
    path.unlink()
    journal = Journal(path)
    journal.note("no exam was opened")
    journal.close()
    with pytest.raises(JournalError, match="is not the journal of an exam: its first line"):
        recover_exam(path)


CHILD = """
    import sys, importlib.util, itertools
    from pathlib import Path
    spec = importlib.util.spec_from_file_location("bench", sys.argv[2])
    bench = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(bench)
    from fluoroscope.acquisition import SystemClock
    from fluoroscope.beam.technique import Technique
    from fluoroscope.dose import KermaLedger
    from fluoroscope.imagechain import ImageChain
    from fluoroscope.live import EventRecorder, Journal, LiveLoop, LiveState, Policy

    folder = Path(sys.argv[1])
    clock = SystemClock()
    journal = Journal(folder / "journal.jsonl")
    journal.exam("1.2.3", clock.utc_now(), "15 cm", {"patient": "test"})
    numbers = itertools.count(1)
    loop = LiveLoop(bench.PlainSource(clock, size=64), ImageChain(), KermaLedger("15 cm"), clock,
                    lambda: f"1.2.{next(numbers)}", journal)
    recorder = EventRecorder(loop.subscribe("recorder", Policy.LOSSLESS, 100000), folder, lambda event, spool: None)
    watch = loop.subscribe("watch", Policy.LOSSLESS, capacity=100000)
    loop.start()
    def recorder_queued():
        return next(one.queued for one in loop.snapshot().subscribers if one.name == "recorder")
    def expose(pulses):
        loop.press(Technique(70.0, 3.0, 8.0, 200.0))
        for _ in range(pulses):
            watch.get(30.0)
    expose(10)
    loop.release()
    loop.wait_for(LiveState.HOLD, timeout_s=30.0)
    expose(40)
    # On a busy machine the recorder may be behind: it must have begun with this press.
    while not (folder / "event-0002" / "pixels-000.raw").exists() or recorder_queued() > 20:
        watch.get(30.0)
    print("ready", flush=True)
    while True:
        watch.get(30.0)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL on Windows")
@pytest.mark.req("HAZ-RECORD-001")
def test_an_exam_killed_in_the_middle_of_a_press_keeps_events_dose_and_pictures(tmp_path: Path) -> None:
    from fluoroscope.live import Spool

    bench = Path(__file__).with_name("conftest.py")
    child = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(CHILD), str(tmp_path), str(bench)], stdout=subprocess.PIPE
    )
    assert child.stdout is not None
    assert child.stdout.readline() == b"ready\n"
    assert journal_in_use(tmp_path / "journal.jsonl")
    child.send_signal(signal.SIGKILL)
    child.wait()
    child.stdout.close()
    assert not journal_in_use(tmp_path / "journal.jsonl")
    exam = recover_exam(tmp_path / "journal.jsonl")
    assert not exam.closed
    assert exam.interrupted_event_uid == "1.2.2"
    assert [one.uid for one in exam.events] == ["1.2.1", "1.2.2"]
    first, second = exam.events
    assert first.pulses >= 10
    assert second.pulses >= 10
    assert second.pedal_time_s > 0.0
    # The dose is that of the pulses, bit for bit: they are numbered, so their kerma is known here.
    reading = read_journal(tmp_path / "journal.jsonl")
    indices = [entry["index"] for entry in reading.entries if entry["type"] == "frame"]
    assert exam.frames == len(indices) == first.pulses + second.pulses
    for one, pulses in ((first, indices[: first.pulses]), (second, indices[first.pulses :])):
        assert one.air_kerma_mgy == sum(0.0123 + index * 1e-5 for index in pulses)
    spool = Spool.open(tmp_path / "event-0002")
    # What the recorder had taken when it was killed; every frame of it is whole.
    assert 0 < len(spool) <= second.pulses
    for position, frame in enumerate(spool):
        assert frame.event_uid == "1.2.2"
        assert frame.uid == f"1.2.2.{frame.index}"
        assert (frame.pixels == frame.pixels[0, 0]).all(), position


def test_a_full_disk_leaves_whole_lines(tmp_path: Path) -> None:
    resource = pytest.importorskip("resource")
    assert resource is not None
    script = """
        import resource, sys
        from pathlib import Path
        from fluoroscope.live import Journal
        journal = Journal(Path(sys.argv[1]))
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
        try:
            for number in range(100):
                journal.note("a line of some length", {"number": number})
        except OSError as error:
            print("refused:", error)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
        journal.close()
    """
    path = tmp_path / "journal.jsonl"
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script), str(path)], capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("refused:")
    reading = read_journal(path)
    assert (reading.torn_bytes, reading.damaged_lines) == (0, 0)
    assert [entry["number"] for entry in reading.entries] == list(range(len(reading.entries)))
    assert 5 < len(reading.entries) < 20
