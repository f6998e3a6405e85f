"""Make the picture of docs/explanations/image-chain.md: one press on the modelled default patient, stage by stage.

Run: ``python docs/pictures/make_image_chain.py`` (needs Pillow).
"""

import itertools
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from fluoroscope.acquisition import Collimation, SteppedClock
from fluoroscope.beam.technique import Technique
from fluoroscope.detector import Detector
from fluoroscope.geometry import C_ARMS
from fluoroscope.imagechain import ChainSettings, ImageChain
from fluoroscope.patient.library import open_patient
from fluoroscope.patient.scene import Body, Scene
from fluoroscope.sources.virtual import CArmSetup, VirtualCArm

HERE = Path(__file__).parent
SIDE = 360


class Resting:
    """A patient who lies still."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene

    def at(self, time_s: float) -> Scene:
        return self.scene


def grey(values: np.ndarray, center: float, width: float) -> Image.Image:
    shown = np.clip((values.astype(np.float64) - center) / width + 0.5, 0.0, 1.0) * 255.0
    return Image.fromarray(shown.astype(np.uint8)).resize((SIDE, SIDE), Image.Resampling.LANCZOS)


def main() -> None:
    patient = open_patient("anna")
    x, y, z = (float(part) for part in patient.reference_mm)
    clock = SteppedClock(datetime(2026, 1, 1, tzinfo=UTC))
    scene = Resting(Scene((Body("patient", patient.basis),)))
    setup = CArmSetup(reference_mm=(x, y, z), field_index=1, collimation=Collimation(80.0, 80.0, 95.0, 95.0))
    carm = VirtualCArm(scene, C_ARMS["mobile-flat-panel"], setup, Detector(seed=1), clock)
    carm.press(Technique(70.0, 3.0, 8.0, 15.0), "1.2.3")
    frames = list(itertools.islice(carm.frames(), 16))
    carm.release()
    filtered, plain = ImageChain(), ImageChain(ChainSettings(recursion=1.0))
    for chain in (filtered, plain):
        chain.begin_run(frames[0])
        outputs = [chain.process(frame) for frame in frames]
        if chain is filtered:
            smooth = outputs[-1]
    held = filtered.hold()
    if held is None:
        raise RuntimeError("a run of sixteen frames gave no hold")
    raw = frames[-1].pixels
    panels = [
        ("LIN, as the detector gives it", grey(raw, raw.max() / 2.0, raw.max())),
        ("logarithm, shutter", grey(outputs[-1].pixels, *plain.window)),
        ("recursive filter, k = 0.5", grey(smooth.pixels, *filtered.window)),
        ("last image hold, mean of 8", grey(held.pixels, *filtered.window)),
    ]
    sheet = Image.new("L", (SIDE * 4 + 24, SIDE + 28), 255)
    draw = ImageDraw.Draw(sheet)
    for column, (title, panel) in enumerate(panels):
        sheet.paste(panel, (column * (SIDE + 8), 28))
        draw.text((column * (SIDE + 8) + 4, 6), title, fill=0, font_size=16)
        draw.text((column * (SIDE + 8) + 6, SIDE + 6), "SIMULATED", fill=200, font_size=14)
    sheet.save(HERE / "image-chain" / "stages.png", optimize=True)


if __name__ == "__main__":
    main()
