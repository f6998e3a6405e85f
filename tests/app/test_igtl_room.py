"""The real room over OpenIGTLink: a peer sees its pictures where they are, a tracker's needle is compared with them."""

import threading
import time
from contextlib import closing, suppress

import numpy as np
import pytest

from fluoroscope.acquisition.clock import SystemClock
from fluoroscope.acquisition.frame import PixelIntensity
from fluoroscope.app.guidance.igtl_files import TrackerFile, write_tracker_file
from fluoroscope.app.guidance.igtl_links import LinkSetup, RoomLinks, joined
from fluoroscope.app.guidance.igtl_out import picture_place, ras_from_lps, source_pose
from fluoroscope.app.guidance.live_eyes import needle_eye
from fluoroscope.geometry.grid import DetectorGrid
from fluoroscope.geometry.pose import CArmPose
from fluoroscope.geometry.projection import project_points, projection_geometry
from fluoroscope.geometry.rigid import inverse, rotation, translation
from fluoroscope.geometry.table import TablePose, equipment_from_table
from fluoroscope.guidance.view import view_of
from fluoroscope.sources.openigtlink import LinkAddress, LinkClient, LinkServer, Transform, poses_of

LPS = np.diag([-1.0, -1.0, 1.0, 1.0])


@pytest.fixture
def looking_on(room, wait_for):
    """Join the room to a port and give what a peer gets: the newest message of each device."""
    links = RoomLinks(LinkSetup(port=0), SystemClock())
    room.join(links)
    host, port = links.status()["served"]["address"].split(":")
    got = {}

    def take(arrived):
        got[arrived.device] = arrived

    with closing(LinkClient(LinkAddress(host, int(port)), take)):
        assert wait_for(lambda: "SourceToEquipment" in got)
        yield got


@pytest.mark.req("REQ-GUI-051")
def test_a_picture_lies_where_its_rays_end(room, looking_on, expose, wait_for):
    room.command("nudge_joints", dict.fromkeys(list(_joints(room))[:2], 8.0))
    expose(room)
    assert wait_for(lambda: "SimulatedFluoroscopy" in looking_on)
    shown = room.latest("live", 0, 5.0)
    assert wait_for(lambda: np.array_equal(looking_on["SimulatedFluoroscopy"].content.pixels, shown.pixels))
    image = looking_on["SimulatedFluoroscopy"].content
    assert image.space == "RAS"
    assert np.linalg.det(image.matrix[:3, :3]) > 0.0
    arm = room.status()["carm"]
    grid = DetectorGrid(512, 512, room.status()["detector"]["pitch_mm"])
    pose = CArmPose(arm["primary_deg"], arm["secondary_deg"], arm["source_to_isocenter_mm"],
                    arm["source_to_detector_mm"], detector_rotation_deg=arm["roll_deg"])  # fmt: skip
    geometry = projection_geometry(pose, grid)
    for row, column in ((0, 0), (0, 511), (511, 0), (100, 333)):
        place = LPS @ image.matrix @ [column, row, 0.0, 1.0]
        np.testing.assert_allclose(project_points(geometry, place[:3]), [row, column], atol=0.01)
        depth = geometry.pixel_from_world[2] @ place
        assert depth == pytest.approx(arm["source_to_detector_mm"], abs=0.01)


def _joints(room):
    return [joint["name"] for joint in room.status()["carm"]["joints"]]


@pytest.mark.req("REQ-GUI-051")
def test_poses_go_out_as_everything_stands_now(room, looking_on, wait_for):
    before = looking_on["SourceToEquipment"].content.matrix
    room.command("nudge_joints", {_joints(room)[0]: 15.0})
    room.command("move_table", {"lateral_mm": 40.0, "height_mm": 25.0})
    assert wait_for(lambda: not np.allclose(looking_on["SourceToEquipment"].content.matrix, before))
    told = LPS @ looking_on["SourceToEquipment"].content.matrix
    arm = room.status()["carm"]
    assert poses_of("", looking_on["SourceToEquipment"].content)[0][1] is not None
    assert np.linalg.norm(told[:3, 3]) == pytest.approx(arm["source_to_isocenter_mm"], abs=0.01)
    # The beam's middle goes through the isocentre.
    np.testing.assert_allclose(told[:3, 3] - arm["source_to_isocenter_mm"] * told[:3, 2], 0.0, atol=0.01)
    detector = LPS @ looking_on["DetectorToEquipment"].content.matrix
    np.testing.assert_allclose(detector[:3, 3] - told[:3, 3], -arm["source_to_detector_mm"] * told[:3, 2], atol=0.01)
    wanted = equipment_from_table(TablePose(lateral_mm=40.0, height_mm=25.0))
    assert wait_for(lambda: np.allclose(LPS @ looking_on["TableToEquipment"].content.matrix @ LPS, wanted, atol=1e-3))


def test_registration_and_tip_of_guidance_go_out_once_the_bone_was_found(room, exams, wait_for):
    guidance, got = room._guidance._opened(), {}
    scene = guidance._scene
    links = RoomLinks(LinkSetup(port=0), SystemClock())
    room.join(links)
    host, port = links.status()["served"]["address"].split(":")
    with closing(LinkClient(LinkAddress(host, int(port)), lambda one: got.update({one.device: one}))):
        assert wait_for(lambda: "SourceToEquipment" in got)
        # A path is followed, and the bone was found 3 mm from where the table says it lies.
        guidance._on, guidance._path = True, object
        assert guidance.places() == {}
        scene.shifted, scene.tip_mm = translation((3.0, 0.0, 0.0)), np.array([1.0, 2.0, 3.0])
        assert wait_for(lambda: "CtToEquipment" in got and "NeedleTipToEquipment" in got)
    placed = inverse(room._parts.bedside.patient_from_equipment()) @ translation((3.0, 0.0, 0.0))
    np.testing.assert_allclose(LPS @ got["CtToEquipment"].content.matrix @ LPS, placed, atol=1e-3)
    tip = placed @ [1.0, 2.0, 3.0, 1.0]
    np.testing.assert_allclose(LPS @ got["NeedleTipToEquipment"].content.matrix[:, 3], tip, atol=1e-3)
    guidance._on = False
    assert guidance.places() == {}


def test_times_are_those_of_the_pulse_not_of_sending(room, looking_on, expose, wait_for):
    began_ns = time.time_ns()
    expose(room)
    ended_ns = time.time_ns()
    assert wait_for(lambda: "SimulatedFluoroscopy" in looking_on)
    assert began_ns < looking_on["SimulatedFluoroscopy"].sent_ns < ended_ns + 10**9


def test_the_status_tells_who_looks_on_and_the_end_of_the_room_ends_it(room, looking_on):
    served = room.status()["links"]["served"]
    assert len(served["peers"]) == 1
    assert room.status()["links"]["tracker"] is None
    port = int(served["address"].rpartition(":")[2])
    room.close()
    with suppress(OSError), closing(LinkServer(port=port)) as again:
        assert again.port == port


def test_a_room_that_nobody_joins_opens_no_port(room):
    assert room.status()["links"] is None


def test_a_taken_port_is_said_before_anything_is_loaded():
    with closing(LinkServer(port=0)) as taken, pytest.raises(OSError, match="cannot be listened on"):
        joined(lambda: pytest.fail("the room was opened"), LinkSetup(port=taken.port))


def test_coordinates_that_3d_slicer_expects():
    moved = translation((10.0, 20.0, 30.0))
    # A CT's point (1, 2, 3) LPS is (-1, -2, 3) RAS; in the equipment frame it lies at (11, 22, 33) LPS.
    np.testing.assert_allclose(ras_from_lps("Ct", moved) @ [-1.0, -2.0, 3.0, 1.0], [-11.0, -22.0, 33.0, 1.0])
    # A needle's tip is its own origin; its own axes stay.
    np.testing.assert_allclose(ras_from_lps("NeedleTip", moved) @ [0.0, 0.0, 0.0, 1.0], [-10.0, -20.0, 30.0, 1.0])
    pose = CArmPose(0.0, 0.0, 750.0, 1200.0)
    np.testing.assert_allclose(source_pose(pose)[:3, 3], [0.0, 750.0, 0.0], atol=1e-9)
    # Under the table is posterior: -A in RAS. Without a pose a picture lies flat about the origin.
    np.testing.assert_allclose(ras_from_lps("Source", source_pose(pose))[:3, 3], [0.0, -750.0, 0.0], atol=1e-9)
    flat = picture_place(None, (3, 5), None)
    np.testing.assert_allclose(flat @ [2.0, 1.0, 0.0, 1.0], [0.0, 0.0, 0.0, 1.0])


class Tracker:
    """An electromagnetic tracker's program that tells a needle of the room, truth and an error."""

    def __init__(self, room):
        self.server = LinkServer(port=0)
        self.room, self.off_mm = room, np.zeros(3)
        self.equipment_from_tracker = translation((150.0, 80.0, -40.0)) @ rotation((0.0, 1.0, 1.0), 35.0)
        self.tip_mm = np.array([0.0, 0.0, 60.0])
        self.rng = np.random.default_rng(1)
        self.ended = threading.Event()
        self.told = threading.Event()
        self.thread = threading.Thread(target=self._tell)
        self.thread.start()

    def file(self, path):
        matrix = tuple(map(tuple, self.equipment_from_tracker.tolist()))
        write_tracker_file(path, TrackerFile("NeedleToTracker", tuple(self.tip_mm), 0.1, matrix, 0.5, 0.0, 0.01))
        return path

    def _tell(self):
        while not self.ended.wait(0.025):
            needle = self.room.status()["needle"]
            if needle is None:
                continue
            tip = np.array(needle["tip_mm"]) + self.off_mm + self.rng.normal(0.0, 0.1, 3)
            pose = inverse(self.equipment_from_tracker) @ translation(tip) @ translation(-self.tip_mm)
            self.server.publish("NeedleToTracker", Transform(pose), time.time_ns())
            self.told.set()

    def close(self):
        self.ended.set()
        self.thread.join()
        self.server.close()


@pytest.fixture
def tracked(room, tmp_path):
    """Join the room to a tracker of its needle."""
    with closing(Tracker(room)) as tracker:
        file = tracker.file(tmp_path / "tracker.json")
        address = f"127.0.0.1:{tracker.server.port}"
        room.join(RoomLinks(LinkSetup(tracker=address, tracker_file=file), SystemClock()))
        yield tracker
        room.close()


def status(room):
    return room.status()["links"]["tracker"]


def needle_under_x_ray(room, wait_for):
    """Put a trocar across the beam and look at it."""
    room.command(
        "needle_place", {"type": "trocar-11G-125", "position_mm": [20.0, 96.0, 0.0], "toward": [0.6, -0.8, 0.0]}
    )
    room.command("needle_move", {"advance_mm": 25.0})
    assert wait_for(lambda: status(room)["state"] == "tracked")
    # Compiled before the beam is on, or the first look would wait for it while pictures are made.
    view = view_of(np.full((64, 64), 30000, np.uint16), PixelIntensity.LIN, projection_geometry(
        CArmPose(0.0, 0.0, 750.0, 1200.0), DetectorGrid(64, 64, 0.6)))  # fmt: skip
    needle_eye().look(view, 0.0, None)
    room.command("set_technique", {"pulse_rate_hz": 7.5})
    room.command("pedal", {"down": True})


@pytest.mark.req("REQ-GUI-058")
def test_a_tracked_needle_is_compared_with_the_pictures_and_an_alarm_is_told(room, tracked, wait_for):
    assert status(room)["state"] == "never seen"
    needle_under_x_ray(room, wait_for)
    told = {}

    def compared(state):
        told.update(status(room))
        return told["state"] == state and told["difference_mm"] is not None

    assert wait_for(lambda: compared("tracked"), 120.0)
    assert told["difference_mm"] < 1.5
    assert np.linalg.norm(np.array(told["fused_mm"]) - room.status()["needle"]["tip_mm"]) < 1.5
    # Along the table: across the beam of an AP view.
    tracked.off_mm = np.array([0.0, 0.0, 5.0])
    assert wait_for(lambda: compared("disagrees with the image") and told["difference_mm"] > 4.0, 120.0)
    assert told["alarm"]
    assert told["fused_mm"] is None
    assert told["difference_mm"] == pytest.approx(5.0, abs=1.2)
    messages = [one for one in room.status()["messages"] if "tracker and X-ray differ" in one["text"]]
    assert [one["level"] for one in messages] == ["stop"]


@pytest.mark.req("REQ-GUI-058")
def test_a_tracker_that_falls_silent_or_is_gone_is_told(room, tracked, wait_for):
    room.command("needle_place", {"type": "trocar-11G-125", "position_mm": [20.0, 96.0, 0.0], "toward": "skin"})
    assert wait_for(lambda: status(room)["state"] == "tracked")
    room.command("needle_remove", {})
    assert wait_for(lambda: status(room)["state"] == "tracker lost")
    assert status(room)["tip_mm"] is None
    assert any("tracker lost" in one["text"] for one in room.status()["messages"])
    assert status(room)["connected"]
    tracked.server.close()
    assert wait_for(lambda: not status(room)["connected"])
    assert str(tracked.server.port) in status(room)["reason"]


def test_a_tool_the_tracker_does_not_send_is_said_with_those_it_does(room, wait_for):
    with closing(LinkServer(port=0)) as server:
        links = RoomLinks(LinkSetup(tracker=f"127.0.0.1:{server.port}", tool="Needle"), SystemClock())
        room.join(links)
        assert wait_for(lambda: server.publish("Stylus", Transform(np.eye(4)), 1))
        assert wait_for(lambda: "Stylus" in status(room)["reason"])
        assert wait_for(lambda: server.publish("Needle", Transform(np.eye(4)), 1))
        assert wait_for(lambda: "igtl register" in status(room)["reason"])
        assert status(room)["tip_mm"] is None
        room.close()
