"""The room on the pictures another program sends live: a frame grabber's, another C-arm's, our own."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from fluoroscope.acquisition.clock import SystemClock
from fluoroscope.acquisition.frame import Frame, PixelIntensity, Provenance
from fluoroscope.acquisition.protocols import SourceError
from fluoroscope.app.clip import ClipSession, clip_status
from fluoroscope.app.dose.room_dose import RoomDose
from fluoroscope.app.dose.rules import DoseRules
from fluoroscope.app.room import FluoroscopyRoom
from fluoroscope.app.room_parts import NextExam, RoomParts
from fluoroscope.app.terminal import warn
from fluoroscope.dicom.xa import Clip
from fluoroscope.dose.ledger import KermaLedger
from fluoroscope.imagechain.chain import ImageChain
from fluoroscope.live.loop import LiveLoop
from fluoroscope.records.exam_store import exams_folder
from fluoroscope.records.uids import new_uid
from fluoroscope.sources.openigtlink import LinkFrameSource, parse_address
from fluoroscope.sources.openigtlink.images import LinkPictures

__all__ = ["open_link_room"]

_FIRST_S = 10.0
_RATE_S = 1.0
_SIMULATED = "simulated"


@dataclass(frozen=True, slots=True)
class _Stream:
    """What is known of a peer's pictures, in the words of a recorded run; what a peer does not say is unknown."""

    name: str
    description: str
    rows: int
    columns: int
    rate_hz: float
    manufacturer: str = ""
    model: str = "OpenIGTLink"
    pitch_mm: float | None = None
    intensity: PixelIntensity = PixelIntensity.DISP
    patient_name: str = ""
    patient_id: str = ""
    patient_position: str = ""
    angles: Sequence[Any] = ()
    tube_voltage_kv: float | None = None
    source_to_detector_mm: float | None = None
    source_to_patient_mm: float | None = None
    rate_known: bool = True
    frame_count: int = 2


def open_link_room(name: str, exams: Path | None = None) -> FluoroscopyRoom:
    """Return the room on a peer's pictures; the pedal decides which are shown.

    The pedal gives no radiation: nothing of dose is counted, asked or forbidden.

    Parameters
    ----------
    name
        ``igtl://HOST:PORT``, and ``/DEVICE`` for one of several.
    exams
        Folder of exams; the user's data folder when absent.

    Raises
    ------
    ValueError
        When the name is no address, or no picture comes.
    """
    host, _, device = name.removeprefix("igtl://").partition("/")
    clock = SystemClock()
    pictures = LinkPictures(parse_address(host), device)
    try:
        warn(f"waiting for a picture of {pictures.name}")
        shape = pictures.first(_FIRST_S).pixels.shape
        source = LinkFrameSource(pictures, clock, shape, _rate_hz(pictures), Provenance.RECORDED)
    except BaseException as fault:
        pictures.close()
        if isinstance(fault, SourceError):
            raise ValueError(str(fault)) from fault
        raise
    rows, columns = shape
    said = "simulated pictures of a peer" if _SIMULATED in pictures.device.lower() else "live pictures of a peer"
    stream = _Stream(f"{pictures.name} {pictures.device}", said, rows, columns, source.info.nominal_rate_hz)
    chain = ImageChain()
    loop = LiveLoop(source, chain, KermaLedger(), clock, new_uid)

    def open_session(_: NextExam) -> ClipSession:
        loop.new_exam(KermaLedger(), None)
        return ClipSession(cast("Clip", stream), Path(pictures.device), exams if exams is not None else exams_folder())

    def taken(_: Frame) -> dict[str, Any]:
        return {
            "label": f"{pictures.device} of {pictures.name}",
            "markers": None,
            "view_text": None,
            "source_to_detector_mm": None,
            "source_to_isocenter_mm": None,
            "tube_voltage_kv": None,
            "tube_current_ma": None,
            "pulse_width_ms": None,
            "pulse_rate_hz": stream.rate_hz,
        }

    loop.start()
    dose = RoomDose(DoseRules(), loop, clock)
    parts = RoomParts(loop, chain, clock, dose, open_session, list, clip=clip_status(cast("Clip", stream)), taken=taken)
    return FluoroscopyRoom(parts, open_session(NextExam()))


def _rate_hz(pictures: LinkPictures) -> float:
    """Return how many pictures a second come, measured for a second; 1 when only one came."""
    before, began_s = pictures.newest, time.monotonic()
    newest = before
    while time.monotonic() - began_s < _RATE_S:
        newest = pictures.newest
        time.sleep(0.02)
    return max(round((newest - before) / _RATE_S, 1), 1.0)
