"""The whole room without a browser: the port that the page's server calls, on a small CT, with real files."""

import errno
import json
import os
import signal
import subprocess
import sys

import numpy as np
import pydicom
import pytest

from fluoroscope.app.recording import recover_exams
from fluoroscope.app.serving import open_clip_room, open_room
from fluoroscope.app.setup import RoomSetup
from fluoroscope.dicom.xa import read_clip
from fluoroscope.monitor.control import RefusedError
from fluoroscope.records.exam_store import ExamFolder, load_exam


def test_a_press_from_pedal_to_files(room, exams, expose, wait_for):
    status = room.status()
    json.dumps(status, allow_nan=False)
    assert status["state"] == "READY"
    assert status["carm"]["view_text"] == "antero-posterior"
    room.command("set_technique", {"pulse_rate_hz": 15.0})
    expose(room)
    assert wait_for(lambda: room.latest("live", -1, 1.0).kind == "hold")
    room.command("view", {"name": "lateral"})
    assert "lateral" in room.status()["carm"]["view_text"]
    expose(room, mode="acquisition")
    stored = room.command("store_image", {})
    room.command("show_stored", {"id": stored["id"]})
    assert room.latest("reference", -1, 1.0).event_number == 2
    assert wait_for(lambda: all(run["recorded"] for run in room.status()["runs"]))
    room.command("replay_run", {"event_number": 1})
    assert wait_for(lambda: not room.status()["replay"]["playing"])
    dose = room.status()["dose"]
    assert dose["air_kerma_mgy"] > 0.0
    room.close()
    (folder,) = exams.iterdir()
    names = {path.name for path in folder.iterdir()}
    assert {"run-001.dcm", "run-002.dcm", "image-001.dcm", "image-001.png", "dose.dcm", "exam.json"} <= names
    record = load_exam(folder)
    assert sum(one.event.air_kerma_mgy for one in record.events) == pytest.approx(dose["air_kerma_mgy"], rel=1e-12)
    run = pydicom.dcmread(folder / "run-002.dcm")
    assert run.IrradiationEventUID == record.events[1].event.uid
    assert run.RadiationSetting == "GR"


@pytest.mark.req("REQ-DICOM-002")
def test_every_pulse_is_stored_as_it_was_shown(room, exams, wait_for):
    room.command("set_technique", {"pulse_rate_hz": 30.0})
    shown = {}
    loop_subscription = room._parts.loop
    room.command("pedal", {"down": True})
    assert wait_for(lambda: room.status()["pulses"]["delivered"] >= 12)
    room.command("pedal", {"down": False})
    assert wait_for(lambda: room.status()["state"] == "HOLD")
    for picture in loop_subscription.pictures():
        if picture.raw is not None:
            shown[picture.shown.index] = picture.shown.pixels
    delivered = room.status()["pulses"]["delivered"]
    room.close()
    assert len(shown) >= 12
    with read_clip(next(exams.glob("*/run-001.dcm"))) as clip:
        assert clip.frame_count == delivered
        for index, pixels in shown.items():
            assert np.array_equal(clip.frame(index), pixels)


@pytest.mark.req("HAZ-BEAM-001")
def test_losing_the_operator_ends_the_exposure(room, wait_for):
    room.command("pedal", {"down": True})
    assert wait_for(lambda: room.status()["state"] == "EXPOSING")
    room.operator_lost()
    assert wait_for(lambda: room.status()["state"] in ("HOLD", "READY"))


def test_a_technique_by_hand_keeps_the_limits_and_the_status(room):
    room.command(
        "set_technique", {"automatic": False, "tube_voltage_kv": 100, "tube_current_ma": 60, "pulse_width_ms": 6}
    )
    assert room.status()["technique"]["tube_current_ma"] == 60.0
    for change in (
        {"pulse_rate_hz": 30.0, "tube_current_ma": 100, "pulse_width_ms": 12},
        {"tube_current_ma": 900},
        {"pulse_rate_hz": 15.0, "copper_mm": 9.0},
    ):
        with pytest.raises(RefusedError):
            room.command("set_technique", change)
        json.dumps(room.status(), allow_nan=False)
    assert room.status()["technique"]["tube_current_ma"] == 60.0
    room.command("set_technique", {"automatic": True})
    assert room.status()["technique"]["automatic"] is True


def test_what_is_refused_says_why(room):
    for name, args, said in (
        ("move_joints", {"orbital": 200.0}, "out of reach"),
        ("move_joints", {"wobble": 1.0}, "wobble"),
        ("move_table", {"height_mm": 9999.0}, "out of reach"),
        ("set_technique", {"pulse_rate_hz": 11.0}, "11"),
        ("set_technique", {"automatic": False, "tube_voltage_kv": 200.0}, "kV"),
        ("set_collimation", {"left_mm": -400.0}, ""),
        ("set_field", {"index": 9}, "field"),
        ("set_patient", {"name": "nobody"}, "nobody"),
        ("show_stored", {}, "stored"),
        ("replay_run", {}, "run"),
        ("store_image", {}, "X-ray"),
        ("fly", {}, "fly"),
    ):
        with pytest.raises(RefusedError) as refusal:
            room.command(name, args)
        assert said in str(refusal.value), (name, str(refusal.value))
    assert room.status()["state"] == "READY"


@pytest.mark.req("HAZ-PATIENT-001")
def test_another_patient_is_another_exam(room, exams, expose, wait_for):
    first = room.status()["exam"]["uid"]
    expose(room)
    room.command("pedal", {"down": True})
    assert wait_for(lambda: room.status()["state"] == "EXPOSING")
    with pytest.raises(RefusedError):
        room.command("set_patient", {"name": "small"})
    room.command("pedal", {"down": False})
    # A tap too short for a pulse leaves no picture to hold.
    assert wait_for(lambda: room.status()["state"] in ("HOLD", "READY"))
    room.command("set_patient", {"name": "small"})
    assert wait_for(lambda: room.status()["patient"]["name"] == "small" and not room.status()["state_reason"], 60.0)
    assert room.status()["exam"]["uid"] != first
    assert room.status()["dose"]["air_kerma_mgy"] == 0.0
    expose(room)
    room.close()
    by_patient = {}
    for folder in exams.iterdir():
        for path in folder.glob("*.dcm"):
            head = pydicom.dcmread(path, stop_before_pixels=True)
            by_patient.setdefault((str(head.PatientName), head.StudyInstanceUID), set()).add(folder)
    # One study, one patient, one folder: nothing of one exam lies in the other.
    assert len(by_patient) == 2
    assert all(len(folders) == 1 for folders in by_patient.values())


def test_an_exam_without_x_ray_leaves_nothing(small_ct, exams):
    open_room(RoomSetup(str(small_ct), matrix=512), exams).close()
    assert not list(exams.iterdir())


@pytest.mark.req("HAZ-RECORD-001")
def test_a_killed_program_loses_no_frame_and_no_dose(small_ct, exams):
    script = (
        "import sys, time\n"
        "from pathlib import Path\n"
        "from fluoroscope.app.serving import open_room\n"
        "from fluoroscope.app.setup import RoomSetup\n"
        "room = open_room(RoomSetup(sys.argv[1], matrix=512), Path(sys.argv[2]))\n"
        "room.command('set_technique', {'pulse_rate_hz': 15.0})\n"
        "room.command('pedal', {'down': True})\n"
        "while True:\n"
        "    print(room.status()['pulses']['delivered'], room.status()['dose']['air_kerma_mgy'], flush=True)\n"
        "    time.sleep(0.02)\n"
    )
    victim = subprocess.Popen(
        [sys.executable, "-c", script, str(small_ct), str(exams)], stdout=subprocess.PIPE, text=True, env=os.environ
    )
    seen = (0, 0.0)
    for line in victim.stdout:
        seen = (int(line.split()[0]), float(line.split()[1]))
        if seen[0] >= 10:
            break
    victim.send_signal(signal.SIGKILL)
    victim.wait()
    victim.stdout.close()
    (told,) = recover_exams(exams)
    assert "recovered" in told
    (folder,) = exams.iterdir()
    with read_clip(folder / "run-001.dcm") as clip:
        # One picture may have been on its way from the loop to the spool.
        assert clip.frame_count >= seen[0] - 1
    dose = pydicom.dcmread(folder / "dose.dcm")
    assert dose.CompletionFlag == "PARTIAL"
    record = load_exam(folder)
    assert sum(one.event.air_kerma_mgy for one in record.events) >= seen[1] * (1 - 1e-9)
    assert recover_exams(exams) == []


def test_an_exam_that_is_open_is_not_recovered(room, exams, expose):
    expose(room)
    assert recover_exams(exams) == []


def test_a_clip_plays_in_the_same_room(room, exams, tmp_path, expose):
    room.command("set_technique", {"pulse_rate_hz": 15.0})
    expose(room, pulses=4)
    room.close()
    run = next(exams.glob("*/run-001.dcm"))
    replayed = open_clip_room(run, tmp_path / "others")
    try:
        status = replayed.status()
        json.dumps(status, allow_nan=False)
        assert status["simulated"] is True
        expose(replayed, pulses=2)
        assert replayed.status()["dose"]["air_kerma_mgy"] is None
        replayed.command("store_image", {})
        with pytest.raises(RefusedError):
            replayed.command("move_joints", {"orbital": 1.0})
        frame = replayed.latest("live", -1, 1.0)
        assert frame.pixels.shape == (512, 512)
        # A stored picture of a clip is a picture: no DICOM object that would have to make facts up.
        assert [path.suffix for path in (tmp_path / "others").rglob("*") if path.is_file()] == [".png"]
    finally:
        replayed.close()


def full_disk(monkeypatch, owner, name):
    """Let ``owner.name`` fail as on a full disk until the returned switch is called."""
    real = getattr(owner, name)
    switch = {"full": True}

    def failing(*args, **kwargs):
        if switch["full"]:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(*args, **kwargs)

    monkeypatch.setattr(owner, name, failing)
    return lambda: switch.update(full=False)


@pytest.mark.req("HAZ-RECORD-001")
@pytest.mark.parametrize("step", ["add_event", "save_run", "close"])
def test_a_disk_that_is_full_at_any_step_loses_nothing(room, exams, monkeypatch, step, expose):
    emptied = full_disk(monkeypatch, ExamFolder, step)
    expose(room)
    kerma = room.status()["dose"]["air_kerma_mgy"]
    pulses = room.status()["pulses"]["delivered"]
    untold = room.close()
    assert any("not written yet" in text for text in untold), untold
    emptied()
    told = recover_exams(exams)
    assert len(told) == 1
    (folder,) = exams.iterdir()
    record = load_exam(folder)
    assert [one.event.air_kerma_mgy for one in record.events] == [pytest.approx(kerma, rel=1e-12)]
    assert (folder / "dose.dcm").is_file()
    with read_clip(folder / "run-001.dcm") as clip:
        assert clip.frame_count == pulses
    assert recover_exams(exams) == []


@pytest.mark.req("HAZ-PATIENT-001")
def test_a_patient_that_cannot_be_opened_leaves_the_one_before_on_the_table(room, exams, monkeypatch, expose, wait_for):
    expose(room)
    body = room._parts.console.carm
    emptied = full_disk(monkeypatch, ExamFolder, "create")
    room.command("set_patient", {"name": "small"})
    assert wait_for(lambda: not room.status()["state_reason"], 60.0)
    assert any("could not be opened" in message["text"] for message in room.status()["messages"])
    # No exam is open: radiation would be in no record.
    with pytest.raises(RefusedError, match="no exam"):
        room.command("pedal", {"down": True})
    emptied()
    room.command("close_exam", {})
    assert wait_for(lambda: not room.status()["state_reason"], 60.0)
    assert room.status()["patient"]["name"] == "small.nii.gz"
    assert room._parts.console.carm is body
    expose(room)
    room.close()
    assert {record.identity.patient.name for record in map(load_exam, exams.iterdir())} == {"small.nii.gz"}


@pytest.mark.req("HAZ-BEAM-001")
def test_stop_works_while_an_exam_changes_and_a_run_is_replayed(room, expose, wait_for):
    room.command("set_technique", {"pulse_rate_hz": 15.0})
    expose(room, pulses=6)
    assert wait_for(lambda: room.status()["runs"])
    room.command("replay_run", {})
    room.command("stop", {})
    assert not room.status()["replay"]["playing"]
    room.command("close_exam", {})
    for _ in range(20):
        room.command("stop", {})
    assert wait_for(lambda: not room.status()["state_reason"], 60.0)
    with pytest.raises(RefusedError):
        room.command("replay_run", {})
    expose(room)
