"""The commands ``igtl …`` and the flags of run and replay: over real sockets, and what is said of bad input."""

import json
import threading
import time
from contextlib import closing

import numpy as np
import pytest

from fluoroscope.app.guidance.igtl_files import TrackerFile, read_tracker_file, write_tracker_file
from fluoroscope.app.guidance.igtl_room import open_link_room
from fluoroscope.geometry.rigid import apply, inverse, rotation, translation
from fluoroscope.sources.openigtlink import Image, LinkAddress, LinkClient, LinkServer, Status, Transform


class Peer:
    """A program that sends what ``tell(server, number)`` says, a hundred times a second."""

    def __init__(self, tell):
        self.server = LinkServer(port=0)
        self._tell, self._ended = tell, threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    @property
    def address(self):
        return f"127.0.0.1:{self.server.port}"

    def _run(self):
        number = 0
        while not self._ended.wait(0.01):
            self._tell(self.server, number)
            number += 1

    def close(self):
        self._ended.set()
        self._thread.join()
        self.server.close()


def swinging(tip, pivot):
    """A tool swung about its tip."""

    def tell(server, number):
        turn = rotation((1, 0, 0), 30 * np.sin(0.11 * number)) @ rotation((0, 1, 0), 30 * np.sin(0.07 * number))
        server.publish("Stylus", Transform(translation(pivot) @ turn @ translation(-np.asarray(tip))), time.time_ns())

    return tell


def test_listen_says_what_a_peer_sends(command):
    def tell(server, number):
        server.publish("Needle", Transform(translation((1.0, 2.0, 3.0))), time.time_ns())
        server.publish("Broken", Transform(np.zeros((4, 4))), time.time_ns())
        server.publish("Video", Image(np.zeros((6, 8), np.uint8), np.diag([0.5, 0.5, 1.0, 1.0])), time.time_ns())
        server.publish("Aurora", Status(13, 0, "WARMUP", "warms up"), time.time_ns())

    with closing(Peer(tell)) as peer:
        code, out, _ = command("igtl", "listen", peer.address, "--seconds", "0.5", "--json")
        table = command("igtl", "listen", peer.address, "--seconds", "0.3")[1]
    assert code == 0
    told = {one["device"]: one for one in json.loads(out)["devices"]}
    assert told["Needle"]["poses"]["Needle"][0] == [1.0, 0.0, 0.0, 1.0]
    assert told["Needle"]["rate_hz"] > 1.0
    assert told["Broken"]["poses"] == {"Broken": None}
    assert (told["Video"]["shape"], told["Video"]["pixels"]) == ([6, 8], "uint8")
    assert told["Video"]["spacing_mm"] == [0.5, 0.5, 1.0]
    assert told["Aurora"]["text"] == "warms up"
    assert "Needle" in table
    assert "WARMUP" in table


@pytest.mark.req("REQ-GUI-055")
def test_pivot_point_and_register_make_a_tracker_file(command, tmp_path):
    tip, file = [2.0, -1.0, 110.0], tmp_path / "tracker.json"
    with closing(Peer(swinging(tip, [10.0, 20.0, -150.0]))) as peer:
        code, out, _ = command(
            "igtl", "pivot", peer.address, "--tool", "Stylus", "--seconds", "1.5", "--out", file, "--json"
        )
    assert code == 0
    found = json.loads(out)
    np.testing.assert_allclose(found["tip_mm"], tip, atol=0.01)
    assert found["swing_deg"] > 30.0

    truth = translation((100.0, -40.0, 25.0)) @ rotation((1.0, 0.0, 1.0), 50.0)
    table = tmp_path / "points.csv"
    for place in ((0, 0, 0), (60, 0, 0), (0, 50, 10), (30, 40, 60)):
        touching = translation(apply(inverse(truth), place)) @ rotation((1, 1, 0), 20.0) @ translation(-np.asarray(tip))

        def tell(server, number, touching=touching):
            server.publish("Stylus", Transform(touching), time.time_ns())

        with closing(Peer(tell)) as peer:
            words = ["--tool", "Stylus", "--seconds", "0.2", "--tracker-file", file, "--csv", table]
            code, out, _ = command("igtl", "point", peer.address, *words, "--equipment", *map(str, place), "--json")
        assert code == 0
        np.testing.assert_allclose(json.loads(out)["tracker_mm"], apply(inverse(truth), place), atol=0.01)
    code, out, _ = command("igtl", "register", table, "--out", file, "--json")
    assert code == 0
    told = json.loads(out)
    np.testing.assert_allclose(told["equipment_from_tracker"], truth, atol=1e-3)
    assert told["rms_mm"] < 0.01
    kept = read_tracker_file(file)
    assert kept.tool == "Stylus"
    np.testing.assert_allclose(kept.setup.tip_mm, tip, atol=0.01)
    np.testing.assert_allclose(kept.setup.equipment_from_tracker, truth, atol=1e-3)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["igtl", "listen", "nowhere:port"], "HOST:PORT"),
        (["igtl", "listen", "127.0.0.1:1", "--seconds", "0.2"], "127.0.0.1:1"),
        (["igtl", "serve", "missing.dcm", "--port", "0"], "missing.dcm"),
        (["igtl", "serve", "missing.dcm", "--bits", "12"], "choose 8 or 16"),
        (["igtl", "register", "missing.csv"], "missing.csv"),
        (["igtl", "point", "127.0.0.1:1", "--tool", "x", "--equipment", "1", "2", "3"], "--csv"),
        (["run", "--tool", "Needle"], "--tracker"),
        (["run", "--tracker", "127.0.0.1:1", "--no-open"], "--tool"),
        (["run", "--tracker", "127.0.0.1:0", "--tool", "x", "--no-open"], "HOST:PORT"),
        (["run", "--tracker", "127.0.0.1:1", "--tracker-file", "missing.json", "--no-open"], "missing.json"),
        (["run", "--igtl-bits", "7"], "8 or 16"),
        (["replay", "igtl://nowhere:port", "--no-open"], "HOST:PORT"),
        (["replay", "missing.dcm", "--no-open"], "missing.dcm"),
    ],
)
def test_bad_input_is_one_line(command, words, said, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("fluoroscope.app.guidance.igtl_listening._CONNECT_S", 0.3)
    port = ["--port", "0"] if words[0] in ("run", "replay") else []
    code, out, err = command(*words, *port)
    assert code == 2
    assert out == ""
    assert said in err
    assert [line for line in err.splitlines() if line.startswith("error: ")] == [err.splitlines()[-1]]
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("1,2,3,4,5,6\n1,2,3,4,5\n", "line 2"),
        ("1,2,3,4,5,6\n1,2,3,4,5,six\n", "line 2"),
        ("x,y,z,a,b,c\n1,2,3,4,5,nan\n", "line 2"),
        ("1,2,3,4,5,6\n", "at least 3"),
        ("", "at least 3"),
        ("0,0,0,0,0,0\n1,0,0,1,0,0\n2,0,0,2,0,0\n5,0,0,5,0,0\n", "line"),
    ],
)
def test_a_table_of_points_that_is_none_is_refused(command, tmp_path, text, said):
    table, file = tmp_path / "points.csv", tmp_path / "tracker.json"
    table.write_text(text)
    code, _, err = command("igtl", "register", table, "--out", file)
    assert code == 2
    assert said in err
    assert not file.exists()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{", "JSON"),
        ("[]", "no tracker file"),
        ('{"tool": 5}', "tool"),
        ('{"tip_mm": [1, 2]}', "tip_mm"),
        ('{"tip_mm": [1, 2, "x"]}', "tip_mm"),
        ('{"latency_s": 99}', "latency_s"),
        ('{"latency_s": true}', "latency_s"),
        ('{"equipment_from_tracker": [[2,0,0,0],[0,1,0,0],[0,0,1,0],[0,0,0,1]]}', "rigid"),
        ('{"equipment_from_tracker": [[-1,0,0,0],[0,1,0,0],[0,0,1,0],[0,0,0,1]]}', "rigid"),
        ('{"volume_mm": [[1, 2, 3]]}', "volume_mm"),
        ("[" * 5000, "JSON"),
    ],
)
def test_a_tracker_file_that_is_none_is_refused_and_not_overwritten(tmp_path, content, said):
    file = tmp_path / "tracker.json"
    file.write_text(content)
    with pytest.raises(ValueError, match=said) as caught:
        read_tracker_file(file)
    assert str(file) in str(caught.value)
    with pytest.raises(ValueError, match=said):
        write_tracker_file(file, TrackerFile(tool="x"))
    assert file.read_text() == content


def test_serve_plays_a_run_to_a_peer_with_its_place_in_space(command, tmp_path, wait_for):
    words = ["small", "--out", tmp_path / "sim", "--matrix", "512", "--seconds", "0.4", "--primary-deg", "20"]
    code, _, err = command("simulate", *words)
    assert code == 0, err
    with closing(LinkServer(port=0)) as free:
        port = free.port
    got = {}
    with closing(LinkClient(LinkAddress("127.0.0.1", port), lambda one: got.update({one.device: one}))):
        clip = tmp_path / "sim" / "cine.dcm"
        code, out, _ = command("igtl", "serve", clip, "--port", port, "--seconds", "4", "--bits", "8", "--json")
    assert code == 0
    told = json.loads(out)
    assert told["pictures"] > 5
    image = got["SimulatedFluoroscopy"].content
    assert image.pixels.dtype == np.uint8
    assert image.pixels.shape == (512, 512)
    # Seen from 20° to the side: the picture's plane is turned about the table's length.
    normal = image.matrix[:3, 2]
    assert np.rad2deg(np.arcsin(abs(normal[0]))) == pytest.approx(20.0, abs=0.01)
    np.testing.assert_allclose(normal[2], 0.0, atol=1e-6)


@pytest.mark.req("REQ-GUI-054")
def test_the_room_shows_what_a_peer_sends_live(exams, wait_for):
    pictures = np.random.default_rng(2).integers(2000, 60000, (3, 64, 96)).astype(np.uint16)

    def tell(server, number):
        if number % 3 == 0:
            server.publish("SimulatedFluoroscopy", Image(pictures[number // 3 % 3]), time.time_ns())

    with closing(Peer(tell)) as peer:
        room = open_link_room(f"igtl://{peer.address}", exams)
        try:
            status = room.status()
            assert status["simulated"] is True
            assert (status["detector"]["rows"], status["detector"]["columns"]) == (64, 96)
            assert room.latest("live", 0, 0.1) is None
            room.command("pedal", {"down": True})
            shown = room.latest("live", 0, 20.0)
            assert shown is not None
            assert any(np.array_equal(shown.pixels, one) for one in pictures)
            room.command("pedal", {"down": False})
            assert wait_for(lambda: room.status()["state"] == "HOLD")
            told = room.status()
            # The pedal of a looker-on gives no radiation, and what the peer gave is not known, which is not 0.
            assert told["dose"]["air_kerma_mgy"] is None
            assert told["dose"]["kap_gy_cm2"] is None
            assert told["pulses"]["delivered"] > 0
            room.command("store_image", {})
        finally:
            room.close()


@pytest.mark.req("REQ-GUI-054")
def test_a_peer_that_goes_away_ends_the_run_with_a_reason(exams, wait_for, monkeypatch):
    monkeypatch.setattr("fluoroscope.sources.openigtlink.images._SILENT_S", 0.5)
    peer = Peer(lambda server, number: server.publish("Video", Image(np.full((8, 8), number % 200, np.uint8)), 1))
    with closing(open_link_room(f"igtl://{peer.address}/Video", exams)) as room:
        room.command("pedal", {"down": True})
        assert room.latest("live", 0, 20.0) is not None
        address = peer.address
        peer.close()
        assert wait_for(lambda: room.status()["state"] == "FAULT")
        assert address in room.status()["state_reason"]
