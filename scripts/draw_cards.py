"""Draw the X-ray cards of the teaching patients into the package; run it when the model has changed. Minutes."""

import sys
from pathlib import Path

from fluoroscope.app.patient_making import draw_card
from fluoroscope.patient.library import model_patient, patients
from fluoroscope.patient.named import teaching_patients

FOLDER = Path("src/fluoroscope/app/cards")
PITCH_MM = 1.5


def main(names: list[str]) -> None:
    FOLDER.mkdir(exist_ok=True)
    records = {record.name: record for record in patients()}
    for name in names or [one.name for one in teaching_patients()]:
        record = records[name]
        if record.parameters is None:
            raise SystemExit(f"error: {name} is no modelled patient")
        patient = model_patient(record.parameters, record=record, pitch_mm=PITCH_MM, keep=False)
        draw_card(patient, FOLDER / f"{name}.png")
        print(name)


if __name__ == "__main__":
    main(sys.argv[1:])
