"""The room as an OpenIGTLink server: its pictures as planes in space, and where everything stands, 30 times a second.

What goes out is in 3D Slicer's coordinates, RAS mm, of the equipment frame: origin at the isocentre, axes of a
head-first supine patient. A transform named AToB takes A's coordinates to B's.
"""

import threading
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from fluoroscope.acquisition.clock import Clock, PulseTimer
from fluoroscope.acquisition.frame import Frame, Provenance
from fluoroscope.geometry.pose import CArmPose, beam_axes
from fluoroscope.geometry.rigid import Matrix
from fluoroscope.geometry.table import TablePose, equipment_from_table
from fluoroscope.imagechain.window import apply_window
from fluoroscope.live.loop import LiveLoop
from fluoroscope.live.subscription import LivePicture, Policy
from fluoroscope.sources.openigtlink import Image, LinkServer, Transform

__all__ = ["PictureSender", "arm_and_table", "detector_pose", "picture_place", "ras_from_lps", "source_pose"]

RATE_HZ = 30.0
_WAIT_S = 0.25
_SLICE_MM = 1.0
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
_ANATOMICAL = ("Ct", "Table", "Patient")
"""Frames whose own axes are anatomical (LPS here, RAS in Slicer); a detector's or needle's axes are its own."""


def source_pose(pose: CArmPose) -> Matrix:
    """Return ``equipment_from_source`` (4, 4): at the focal spot, x along columns, y along rows, z from the detector.

    With z toward the detector the axes would be left-handed, and no rigid pose.
    """
    axes = beam_axes(pose)
    placed = np.eye(4)
    placed[:3, :3] = np.stack([axes.u, axes.v, -axes.d], axis=1)
    placed[:3, 3] = np.asarray(pose.isocenter_mm) - pose.source_to_isocenter_mm * axes.d
    return placed


def detector_pose(pose: CArmPose) -> Matrix:
    """Return ``equipment_from_detector`` (4, 4): as `source_pose`, at the middle of the picture on the detector."""
    placed = source_pose(pose)
    placed[:3, 3] -= pose.source_to_detector_mm * placed[:3, 2]
    return placed


def ras_from_lps(name: str, equipment_from_it: Matrix) -> Matrix:
    """Return a transform ``NameToEquipment`` between RAS frames of one between LPS frames.

    Parameters
    ----------
    name
        Its own frame: anatomical ones turn on both sides, others on the equipment's only.
    equipment_from_it
        Rigid (4, 4), LPS.
    """
    turned: Matrix = _RAS @ equipment_from_it
    return turned @ _RAS if name in _ANATOMICAL else turned


def picture_place(pose: CArmPose | None, shape: tuple[int, int], pitch_mm: float | None) -> Matrix:
    """Return (4, 4) RAS mm from (column, row, 0) of a picture: on the detector, or flat at the origin without a pose.

    Parameters
    ----------
    pose
        Of the C-arm; None when not known.
    shape
        Rows and columns.
    pitch_mm
        At the detector; taken as 1 when not known.
    """
    pitch = pitch_mm or 1.0
    placed = np.diag([1.0, 1.0, 1.0, 1.0]) if pose is None else detector_pose(pose)
    scaled = placed @ np.diag([pitch, pitch, _SLICE_MM, 1.0])
    rows, columns = shape
    scaled[:3, 3] -= scaled[:3, :2] @ np.array([(columns - 1) / 2.0, (rows - 1) / 2.0])
    ras: Matrix = _RAS @ scaled
    return ras


class PictureSender:
    """Sends a loop's pictures, and poses 30 times a second, to whoever is connected.

    Parameters
    ----------
    loop, clock
        Whose pictures, and its clock.
    server
        Through which they go; closed with the sender.
    poses
        Gives ``{"Source": equipment_from_source, …}`` as everything stands now, LPS; what is not known is left out.
    pose_of
        Gives the C-arm of a picture; its own when absent.
    eight_bits
        Send pictures as they are windowed on the page, uint8, in place of uint16.
    simulated
        Whether the pictures were computed; as each says itself when absent.
    """

    def __init__(
        self,
        loop: LiveLoop,
        clock: Clock,
        server: LinkServer,
        poses: Callable[[], Mapping[str, Matrix]],
        pose_of: Callable[[Frame], CArmPose | None] | None = None,
        *,
        eight_bits: bool = False,
        simulated: bool | None = None,
    ) -> None:
        self._clock, self._server, self._poses, self._eight_bits = clock, server, poses, eight_bits
        self._simulated = simulated
        self._pose_of = pose_of if pose_of is not None else lambda frame: frame.pose
        self._ended = threading.Event()
        self._pictures = 0
        self._subscription = loop.subscribe("OpenIGTLink", Policy.LATEST)
        self._threads = [
            threading.Thread(target=target, name=f"OpenIGTLink {what}", daemon=True)
            for what, target in (("pictures", self._send_pictures), ("poses", self._send_poses))
        ]
        for thread in self._threads:
            thread.start()

    def status(self) -> dict[str, Any]:
        """Return how many pictures went out and how the peers keep up, JSON-ready."""
        told = self._server.status()
        return {
            "address": f"{told.host}:{told.port}",
            "peers": [{"address": one.address, "sent": one.sent, "dropped": one.dropped} for one in told.peers],
            "pictures": self._pictures,
            "skipped": self._subscription.skipped,
            "dropped": told.dropped,
            "last_loss": told.last_loss,
        }

    def close(self) -> None:
        """Send no more and let all peers go. May be called twice."""
        self._ended.set()
        self._subscription.close()
        for thread in self._threads:
            thread.join()
        self._server.close()

    def _send_pictures(self) -> None:
        while not self._ended.is_set():
            picture = self._subscription.get(_WAIT_S)
            if isinstance(picture, LivePicture):
                self._send_picture(picture)
            elif self._subscription.closed:
                return

    def _send_picture(self, picture: LivePicture) -> None:
        frame = picture.shown
        pixels = apply_window(frame.pixels, *picture.window) if self._eight_bits else frame.pixels
        rows, columns = frame.pixels.shape
        place = picture_place(self._pose_of(frame), (rows, columns), frame.pitch_mm)
        simulated = frame.provenance is Provenance.SIMULATED if self._simulated is None else self._simulated
        # Whoever sees it elsewhere must see that nobody was X-rayed.
        device = "SimulatedFluoroscopy" if simulated else "Fluoroscopy"
        self._server.publish(device, Image(pixels, place, "RAS"), self._utc_ns(frame.acquired_ns))
        self._pictures += 1

    def _send_poses(self) -> None:
        timer = PulseTimer(RATE_HZ, self._clock)
        while timer.next(self._ended) is not None:
            if not self._server.has_peers:
                continue
            now_ns = self._utc_ns(self._clock.monotonic_ns())
            for name, pose in self._poses().items():
                self._server.publish(f"{name}ToEquipment", Transform(ras_from_lps(name, pose)), now_ns)

    def _utc_ns(self, at_ns: int) -> int:
        """Return the time of day of a monotonic moment, ns since 1970."""
        now = (self._clock.utc_now() - _EPOCH) // timedelta(microseconds=1) * 1000
        return now - (self._clock.monotonic_ns() - at_ns)


def arm_and_table(pose: CArmPose | None, table: TablePose | None) -> dict[str, Matrix]:
    """Return the poses of C-arm and table that are known."""
    told: dict[str, Matrix] = {}
    if pose is not None:
        told["Source"], told["Detector"] = source_pose(pose), detector_pose(pose)
    if table is not None:
        told["Table"] = equipment_from_table(table)
    return told
