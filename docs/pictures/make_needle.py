"""Make docs/pictures/needle-detection.png: needles found in pictures of the virtual C-arm, truth beside them."""

import sys
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from fluoroscope.app.guidance.needle_picture import needle_picture
from fluoroscope.evaluation.detection_cases import CaseRoom, case_of
from fluoroscope.evaluation.detection_score import reported_patient
from fluoroscope.guidance.needle import detect_needles
from fluoroscope.patient.library import model_patient

CASES = (("lateral", 500_003, 1.0), ("oblique", 500_005, 0.25))


def main(out: Path) -> None:
    patient = model_patient(reported_patient(500), pitch_mm=1.5)
    room = CaseRoom(patient.basis, patient.reference_mm)
    tiles = []
    for view, seed, dose in CASES:
        case = case_of(room, seed, 2, dose=dose, view=view)
        found = detect_needles(case.attenuation, case.valid)
        shown = case.attenuation[case.valid]
        low, high = np.percentile(shown, [1.0, 99.7])
        bright = np.clip((high - case.attenuation) / (high - low), 0.0, 1.0) * case.valid
        picture = needle_picture((bright * 65535.0).astype(np.uint16), found, 0.5)
        draw = ImageDraw.Draw(picture)
        for needle in case.needles:
            row, column = needle.tip_px
            draw.line((column - 5, row, column + 5, row), fill=(0, 255, 0), width=1)
            draw.line((column, row - 5, column, row + 5), fill=(0, 255, 0), width=1)
        tiles.append(np.asarray(picture.resize((640, 640))))
    Image.fromarray(np.hstack(tiles)).save(out, optimize=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).with_name("needle-detection.png"))
