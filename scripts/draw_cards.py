"""Draw the X-ray cards of the teaching patients into the package, and all of them as one picture for the docs.

Run it when the model has changed: some minutes. With names, only those are drawn anew.
"""

import sys
import textwrap
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from fluoroscope.app.patient_making import CARD_PX, draw_card
from fluoroscope.patient.library import model_patient, patients
from fluoroscope.patient.named import teaching_patients

FOLDER = Path("src/fluoroscope/app/cards")
OVERVIEW = Path("docs/pictures/patients/overview.png")
PITCH_MM = 1.5
COLUMNS, TITLE_PX = 5, 44


def main(names: list[str]) -> None:
    FOLDER.mkdir(exist_ok=True)
    records = {record.name: record for record in patients()}
    for name in names or [one.name for one in teaching_patients()]:
        record = records[name]
        if record.parameters is None:
            raise SystemExit(f"error: {name} is no modelled patient")
        patient = model_patient(record.parameters, record=record, pitch_mm=PITCH_MM, keep=False)
        draw_card(patient, FOLDER / f"{name}.png")
        print(name, flush=True)
    overview()


def overview() -> None:
    """Lay all cards side by side, each with its name and what it shows."""
    people = teaching_patients()
    rows = -(-len(people) // COLUMNS)
    sheet = Image.new("L", (COLUMNS * CARD_PX, rows * (CARD_PX + TITLE_PX)), 16)
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(13)
    for n, one in enumerate(people):
        x, y = n % COLUMNS * CARD_PX, n // COLUMNS * (CARD_PX + TITLE_PX)
        sheet.paste(Image.open(FOLDER / f"{one.name}.png"), (x, y))
        for row, words in enumerate(textwrap.wrap(f"{one.name}: {one.description}", 38)[:2]):
            draw.text((x + 4, y + CARD_PX + 3 + 17 * row), words, fill=230, font=font)
    OVERVIEW.parent.mkdir(exist_ok=True)
    sheet.save(OVERVIEW, optimize=True)


if __name__ == "__main__":
    main(sys.argv[1:])
