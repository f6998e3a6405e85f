"""What was recorded: rows for ``fluoroscope exams``."""

from pathlib import Path
from typing import Any

from fluoroscope.records.exam_store import ExamRecord, exams_folder, list_exams, load_exam

__all__ = ["exam_facts", "exam_rows"]


def exam_rows() -> list[dict[str, Any]]:
    """Return a JSON-ready row for every exam, newest first."""
    rows = []
    for summary in list_exams(exams_folder()):
        row: dict[str, Any] = {
            "id": summary.folder.name,
            "started": None if summary.started is None else summary.started.isoformat(timespec="seconds"),
            "patient": summary.patient_name,
            "state": summary.problem or ("open or cut short" if summary.ended is None else "closed"),
            "runs": summary.runs,
            "frames": None,
            "air_kerma_mgy": None,
            "kap_gy_cm2": None,
        }
        if not summary.problem:
            row |= _sums(load_exam(summary.folder))
        rows.append(row)
    return rows


def exam_facts(exam: str) -> dict[str, Any]:
    """Return what an exam holds; ``exam`` is its id or its folder."""
    folder = Path(exam) if Path(exam).is_dir() else exams_folder() / exam
    record = load_exam(folder)
    return {
        "folder": str(folder),
        "statement": record.identity.statement,
        "patient": record.identity.patient.name,
        "description": record.identity.description,
        "started": record.identity.started.isoformat(timespec="seconds"),
        "ended": None if record.ended is None else record.ended.isoformat(timespec="seconds"),
        "complete": record.complete,
        "study_uid": record.identity.study_uid,
        **_sums(record),
        "events": [
            {
                "number": one.event.number,
                "pulses": one.event.pulses,
                "pulse_rate_hz": one.event.pulse_rate_hz,
                "air_kerma_mgy": one.event.air_kerma_mgy,
                "kap_gy_cm2": one.event.kap_gy_cm2,
                "pedal_time_s": one.event.pedal_time_s,
            }
            for one in record.events
        ],
        "files": [file.name for file in record.files],
        "calibration": None if record.calibration is None else record.calibration.words,
        "notes": record.notes,
        "details": record.details,
    }


def _sums(record: ExamRecord) -> dict[str, Any]:
    events = [one.event for one in record.events]
    return {
        "frames": sum(event.pulses for event in events),
        "air_kerma_mgy": round(sum(event.air_kerma_mgy for event in events), 6),
        "kap_gy_cm2": round(sum(event.kap_gy_cm2 for event in events), 6),
    }
