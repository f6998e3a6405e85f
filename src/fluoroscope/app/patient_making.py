"""Modelled patients made to order, and the X-ray cards by which patients are chosen."""

import hashlib
import os
import threading
from datetime import UTC, datetime
from importlib import resources
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fluoroscope.acquisition.clock import SteppedClock
from fluoroscope.app.setup import RoomSetup
from fluoroscope.app.terminal import Progress
from fluoroscope.app.virtual import virtual_carm
from fluoroscope.imagechain.chain import ImageChain
from fluoroscope.patient.anatomy.parameters import PatientParameters
from fluoroscope.patient.folders import cache_folder
from fluoroscope.patient.library import Patient, PatientRecord, is_fetched, model_patient, open_patient, patients
from fluoroscope.patient.modelling import model_version
from fluoroscope.patient.named import keep_made, parameters_to_json, teaching_patients

__all__ = ["CARD_PX", "card_of", "draw_card", "make_patient"]

CARD_PX = 256
_CARD_PITCH_MM = 2.0
_PULSES = 12
"""The exposure control has settled by then."""
_DRAWING = threading.Lock()


def make_patient(parameters: PatientParameters, progress: Progress) -> str:
    """Build a patient, keep his recipe under the user's data folder, and return his name.

    From then on he is listed and opens by that name.

    Raises
    ------
    ParameterError
        When nobody can be built like this.
    OSError
        When the data folder cannot be written.
    """
    model_patient(parameters, progress=progress)
    return keep_made(parameters).name


def card_of(name: str, *, draw: bool = False, progress: Progress | None = None) -> bytes | None:
    """Return the card of a named patient: an AP X-ray, PNG of `CARD_PX` squared.

    Those for teaching bring theirs along (``scripts/draw_cards.py`` draws them).

    Parameters
    ----------
    name
        As in `patients`.
    draw
        Draw it when it is not there yet: a modelled patient takes seconds (he is built coarsely for it), else None
        is returned.
    progress
        Told how far it is.

    Raises
    ------
    OSError
        When the cache folder cannot be written.
    """
    record = next((one for one in patients() if one.name == name), None)
    if record is None or not is_fetched(record):
        return None
    path = _card_path(record)
    if path.is_file():
        return path.read_bytes()
    packaged = resources.files("fluoroscope.app").joinpath("cards", f"{name}.png")
    if packaged.is_file() and any(one.name == name for one in teaching_patients()):
        return packaged.read_bytes()
    if not draw:
        return None
    # One at a time: each uses every core.
    with _DRAWING:
        if not path.is_file():
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            draw_card(_coarse(record, progress), path)
    return path.read_bytes()


def _card_path(record: PatientRecord) -> Path:
    version = "scan" if record.parameters is None else f"{model_version()} {parameters_to_json(record.parameters)}"
    digest = hashlib.sha256(version.encode()).hexdigest()[:16]
    return cache_folder() / "cards" / f"{record.name}-{digest}.png"


def _coarse(record: PatientRecord, progress: Progress | None) -> Patient:
    if record.parameters is None:
        return open_patient(record.name, progress=progress)
    return model_patient(record.parameters, record=record, pitch_mm=_CARD_PITCH_MM, keep=False, progress=progress)


def draw_card(patient: Patient, path: Path) -> None:
    """Draw an AP X-ray of a patient as he lies, and write it when it is whole.

    Raises
    ------
    OSError
        When it cannot be written.
    """
    from PIL import Image

    from fluoroscope.imagechain.window import apply_window

    pixels, center, width = _xray(patient)
    grey = apply_window(pixels, center, width)
    side = grey.shape[0] // CARD_PX
    small = grey.reshape(CARD_PX, side, CARD_PX, side).mean(axis=(1, 3))
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        Image.fromarray(np.rint(small).astype(np.uint8)).save(partial, format="PNG")
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def _xray(patient: Patient) -> tuple[NDArray[np.uint16], float, float]:
    """Return pixels, centre and width of the window, of one short press."""
    setup = RoomSetup(position=patient.record.position.value, carm="angiography-room", matrix=512)
    clock = SteppedClock(datetime(2026, 1, 1, tzinfo=UTC))
    carm = virtual_carm(setup, patient, clock, seed=0)
    carm.prepare_view()
    carm.press(carm.control.technique(7.5), "card")
    chain = ImageChain()
    for number, frame in enumerate(carm.frames()):
        if number == 0:
            chain.begin_run(frame)
        chain.process(frame)
        if number + 1 == _PULSES:
            break
    carm.release()
    held = chain.hold()
    if held is None:
        raise ValueError(f"{patient.record.name}: the X-ray gave no picture")
    return held.pixels, *chain.window
