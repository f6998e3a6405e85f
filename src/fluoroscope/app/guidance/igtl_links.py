"""Other programs beside the room: those that look on over OpenIGTLink, and a tracker."""

import contextlib
import ipaddress
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from fluoroscope.acquisition.clock import Clock, SystemClock
from fluoroscope.acquisition.frame import Frame
from fluoroscope.app.console import Console
from fluoroscope.app.terminal import warn
from fluoroscope.geometry.pose import CArmPose
from fluoroscope.geometry.rigid import Matrix
from fluoroscope.live.loop import LiveLoop

if TYPE_CHECKING:
    from fluoroscope.app.guidance.igtl_out import PictureSender
    from fluoroscope.app.guidance.igtl_tracker import RoomTracker
    from fluoroscope.sources.openigtlink import LinkServer

__all__ = ["LinkSetup", "RoomLinks", "is_loopback", "joined"]


@dataclass(frozen=True, slots=True)
class LinkSetup:
    """What the user asked for.

    Attributes
    ----------
    host, port
        Where pictures and poses are served; no port, nothing is served.
    bits
        16: pixel values as they are; 8: as windowed on the page.
    tracker
        HOST:PORT of the tracker's program; "" for none.
    tool
        The tool to follow, as the tracker calls it; "" takes that of the file.
    tracker_file
        What was found out about tool and tracker, or None.
    """

    host: str = "127.0.0.1"
    port: int | None = None
    bits: int = 16
    tracker: str = ""
    tool: str = ""
    tracker_file: Path | None = None

    def __post_init__(self) -> None:
        if self.bits not in (8, 16):
            raise ValueError(f"--igtl-bits {self.bits}: choose 8 or 16")
        if not self.tracker and (self.tool or self.tracker_file is not None):
            raise ValueError("--tool and --tracker-file belong to a tracker: give --tracker HOST:PORT too")


class RoomLinks:
    """Opened before anything is loaded, so that a taken port or a wrong file is said at once; then joined to a room.

    Parameters
    ----------
    setup
        What the user asked for.
    clock
        Of the room that will be joined.

    Raises
    ------
    OSError
        When the port is taken.
    ValueError
        When an address, a file or a name is wrong.
    """

    def __init__(self, setup: LinkSetup, clock: Clock) -> None:
        # Loaded only where somebody asks for it: the first picture of others does not wait.
        from fluoroscope.sources.openigtlink import LinkServer

        self._setup, self._clock = setup, clock
        self._sender: PictureSender | None = None
        self._closing = contextlib.ExitStack()
        self._server: LinkServer | None = None
        self.tracker: RoomTracker | None = None
        with contextlib.ExitStack() as undo:
            if setup.port is not None:
                self._server = LinkServer(setup.host, setup.port)
                undo.callback(self._server.close)
                _warn_of_door(self._server)
            if setup.tracker:
                self.tracker = _tracker(setup, clock)
                undo.callback(self.tracker.close)
            self._closing = undo.pop_all()

    def join(
        self,
        loop: LiveLoop,
        console: Console | None,
        tell: Callable[[str, str], None],
        more: Callable[[], Mapping[str, Matrix]] = dict,
        pose_of: Callable[[Frame], CArmPose | None] | None = None,
        simulated: bool | None = None,
    ) -> None:
        """Let the others see a room, and the room the tracker.

        Parameters
        ----------
        loop, console
            Of the room; no console where a clip is played.
        tell
            Takes (level, text) for the operator.
        more
            Gives further poses that are known, ``{"NeedleTip": equipment_from_tip}``.
        pose_of
            Gives the C-arm of a picture that does not bring it along.
        simulated
            Whether the pictures were computed; as each says itself when absent.
        """
        from fluoroscope.app.guidance.igtl_out import PictureSender, arm_and_table

        tracker = self.tracker

        def poses() -> dict[str, Matrix]:
            carm = None if console is None else console.carm
            told = {} if carm is None else arm_and_table(carm.pose, carm.table)
            return {**told, **more(), **({} if tracker is None else tracker.poses())}

        if tracker is not None:
            tracker.begin(loop, tell)
        if self._server is not None:
            self._sender = PictureSender(
                loop, self._clock, self._server, poses, pose_of, eight_bits=self._setup.bits == 8, simulated=simulated
            )
            self._closing.callback(self._sender.close)

    def status(self) -> dict[str, Any]:
        """Return what the page is told of both, JSON-ready."""
        return {
            "served": None if self._sender is None else self._sender.status(),
            "tracker": None if self.tracker is None else self.tracker.status(),
        }

    def close(self) -> None:
        """Let everybody go. May be called twice."""
        self._closing.close()


def is_loopback(host: str) -> bool:
    """Whether an address can be reached from this computer only."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class _Joins(Protocol):
    """A room that links can be joined to."""

    def join(self, links: RoomLinks) -> None:
        """Let other programs see it, and it a tracker."""
        ...


_Room = TypeVar("_Room", bound=_Joins)


def joined(open_: Callable[[], _Room], setup: LinkSetup | None) -> _Room:
    """Return the room that ``open_`` opens, joined to what the user asked for; a wrong wish is said before it opens."""
    if setup is None or (setup.port is None and not setup.tracker):
        return open_()
    links = RoomLinks(setup, SystemClock())
    try:
        room = open_()
        room.join(links)
    except BaseException:
        links.close()
        raise
    return room


def _warn_of_door(server: "LinkServer") -> None:
    warn(f"OpenIGTLink: pictures and poses at {server.host}:{server.port}")
    if not is_loopback(server.host):
        warn(
            "warning: OpenIGTLink has no password and no encryption: whoever reaches this address sees the pictures;"
            " use it in a closed network only"
        )


def _tracker(setup: LinkSetup, clock: Clock) -> "RoomTracker":
    from fluoroscope.app.guidance.igtl_files import TrackerFile, read_tracker_file
    from fluoroscope.app.guidance.igtl_tracker import RoomTracker
    from fluoroscope.sources.openigtlink import parse_address

    address = parse_address(setup.tracker)
    known = TrackerFile() if setup.tracker_file is None else read_tracker_file(setup.tracker_file)
    tool = setup.tool or known.tool or ""
    if not tool:
        raise ValueError(f"--tool: name the tool of {address} to follow; fluoroscope igtl listen {address} lists them")
    registered = None if known.equipment_from_tracker is None else known.registration_rms_mm or 0.5
    return RoomTracker(address, tool, known.setup, registered, clock)
