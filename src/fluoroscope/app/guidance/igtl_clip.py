"""A recorded run played to OpenIGTLink peers without a page, and a peer's live pictures in the room."""

import contextlib
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from fluoroscope.acquisition.clock import SystemClock
from fluoroscope.acquisition.frame import Frame, PixelIntensity
from fluoroscope.app.clip import clip_is_simulated
from fluoroscope.app.guidance.igtl_links import LinkSetup, RoomLinks
from fluoroscope.app.guidance.xray_files import MissingGeometryError, clip_pose
from fluoroscope.app.terminal import warn
from fluoroscope.beam.technique import Technique
from fluoroscope.dicom.xa import Clip, read_clip
from fluoroscope.dose.ledger import KermaLedger
from fluoroscope.geometry.pose import CArmPose
from fluoroscope.imagechain.chain import ImageChain
from fluoroscope.live.loop import LiveLoop, LoopSettings
from fluoroscope.records.uids import new_uid
from fluoroscope.sources.clip import ClipSource

__all__ = ["clip_frame_pose", "serve_clip_link"]

_ANY = Technique(70.0, 1.0, 1.0, 1.0)


def clip_frame_pose(clip: Clip, index_of: Callable[[Frame], int | None]) -> Callable[[Frame], CArmPose | None]:
    """Return what gives the C-arm of a clip's frame, as far as the file says it."""
    known: dict[int, CArmPose | None] = {}

    def pose_of(frame: Frame) -> CArmPose | None:
        index = index_of(frame)
        if index is None:
            return None
        if index not in known:
            try:
                known[index] = clip_pose(clip, index)
            except MissingGeometryError:
                known[index] = None
        return known[index]

    return pose_of


def serve_clip_link(path: Path, setup: LinkSetup, seconds: float | None) -> dict[str, Any]:
    """Play a clip to whoever connects until Ctrl-C, or for so long; return what went out.

    Raises
    ------
    OSError, ValueError
        When the port is taken or the file is no clip.
    """
    clock = SystemClock()
    with contextlib.ExitStack() as closing:
        links = RoomLinks(setup, clock)
        closing.callback(links.close)
        # Shown as its maker windowed it, as the room does.
        clip = replace(read_clip(path), intensity=PixelIntensity.DISP)
        source = ClipSource(clip, clock)
        settings = LoopSettings(window_of=lambda _: (clip.window_center, clip.window_width))
        loop = LiveLoop(source, ImageChain(), KermaLedger(), clock, new_uid, settings=settings)
        closing.callback(loop.close)
        simulated = clip_is_simulated(clip)
        links.join(loop, None, _say, pose_of=clip_frame_pose(clip, source.clip_index), simulated=simulated)
        loop.start()
        loop.press(_ANY)
        warn(f"playing {clip.name}; stop it with Ctrl-C")
        end_s = None if seconds is None else time.monotonic() + seconds
        with contextlib.suppress(KeyboardInterrupt):
            while end_s is None or time.monotonic() < end_s:
                threading.Event().wait(0.1)
        told = links.status()["served"]
    return {"clip": clip.name, **(told or {})}


def _say(level: str, text: str) -> None:
    warn(f"{level}: {text}")
