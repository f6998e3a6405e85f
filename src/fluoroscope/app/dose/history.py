"""What the registry knows of a patient's dose: for ``fluoroscope dose history`` and for the page."""

import secrets
from pathlib import Path
from typing import Any

from fluoroscope.app.dose.told_exposures import TOLD_FOLDER, ToldExposures, ToldWaiting
from fluoroscope.dose.budget import three_digits
from fluoroscope.patient.folders import data_folder
from fluoroscope.records.exam_store import exams_folder
from fluoroscope.registry import Registry
from fluoroscope.registry.history import Cumulative, ExamHistory, OutsideFacts, PatientHistory
from fluoroscope.registry.importing import Imported
from fluoroscope.registry.people import PatientFacts, find_patients
from fluoroscope.registry.reports import Person

__all__ = [
    "exam_rows",
    "history_facts",
    "history_rows",
    "imported_rows",
    "nobody",
    "outside_row",
    "patient_cells",
    "patient_rows",
    "pseudonym_secret",
    "told_waiting",
    "waiting_cells",
    "waiting_rows",
]

_UNKNOWN_POINT = "a point that is not known"


def history_facts(history: PatientHistory) -> dict[str, Any]:
    """Return a history JSON-ready; null where nothing says so."""
    exams, sums = history.exams, history.cumulative
    days = [one.started.date() for one in exams if one.started is not None]
    return {
        "known": True,
        "patient_id": history.patient.patient_id or None,
        "issuer": history.patient.issuer or None,
        "number": history.patient.number,
        "name": history.patient.name or None,
        "birth_date": _day(history.patient.birth_date),
        "sex": history.patient.sex or None,
        "merged_ids": list(history.patient.merged),
        "exams": len(exams),
        "since": _day(min(days)) if days else None,
        "cumulative": {
            "air_kerma_mgy": sums.air_kerma_mgy,
            "kap_gy_cm2": sums.kap_gy_cm2,
            "fluoroscopy_time_s": sums.fluoroscopy_time_s,
            "effective_msv": sums.effective_msv,
            "peak_skin_mgy": sums.peak_skin_mgy,
        },
        "air_kerma_by_reference_point": _by_point(sums.kerma_by_point),
        "last": _exam(exams[-1]) if exams else None,
        "exam_list": [_exam(one) for one in exams],
        "not_counted": [_exam(one) for one in history.left_out],
        "outside": [outside_row(one) for one in history.outside],
        "unknown": [note.text for note in history.unknown],
        "unknown_codes": [note.code for note in history.unknown],
        "lines": _lines(history),
    }


def nobody(patient_id: str) -> dict[str, Any]:
    """Return the history of somebody who is not in the registry: the keys of `history_facts`, and nothing known."""
    nothing = dict.fromkeys(
        ("air_kerma_mgy", "kap_gy_cm2", "fluoroscopy_time_s", "effective_msv", "peak_skin_mgy"), None
    )
    line = "no exam in the registry; ask the patient for X-ray elsewhere"
    return {
        "known": False, "patient_id": patient_id, "issuer": None, "number": None, "name": None, "birth_date": None,
        "sex": None, "merged_ids": [], "exams": 0, "since": None, "cumulative": nothing,
        "air_kerma_by_reference_point": [], "last": None, "exam_list": [], "not_counted": [], "outside": [],
        "unknown": [], "unknown_codes": [], "lines": [line],
    }  # fmt: skip


def history_rows(history: PatientHistory) -> list[tuple[str, str]]:
    """Return a history for people: who, what is known, what is not."""
    patient = history.patient
    who = ", ".join(word for word in (patient.name, _day(patient.birth_date) or "", patient.sex) if word)
    rows = [("patient", who or "no name")]
    if patient.merged:
        rows.append(("also known as", ", ".join(patient.merged)))
    rows += [("in sum" if number == 0 else "", line) for number, line in enumerate(_lines(history))]
    rows += [("to know", note.text) for note in history.unknown]
    rows += [(f"elsewhere, {one.id}", _told(one)) for one in history.outside]
    return rows


def told_waiting(person: Person | None = None) -> tuple[list[ToldWaiting], list[str]]:
    """Return what patients told in a room of this computer and the registry may not have yet.

    Parameters
    ----------
    person
        Only of who may be this person; of everybody when absent.

    Returns
    -------
    waiting
        In the order in which it was told.
    faults
        A line for each file that cannot be read.
    """
    told = ToldExposures(exams_folder() / TOLD_FOLDER)
    return [one for one in told.waiting() if person is None or _may_be(one, person)], told.faults


def _may_be(one: ToldWaiting, person: Person) -> bool:
    born = (one.patient.birth_date, person.birth_date)
    return one.patient.patient_id == person.patient_id and (None in born or born[0] == born[1])


def waiting_rows(history: PatientHistory) -> tuple[list[dict[str, Any]], list[str]]:
    """Return what a patient told that is not in their history yet, JSON-ready, and faults; see `told_waiting`."""
    patient = history.patient
    ids = (patient.patient_id, *patient.merged)
    waiting, faults = told_waiting()
    here = {one.told_uid for one in history.outside if one.told_uid} | {str(one.id) for one in history.outside}
    rows = [
        one.row() | {"told_to": one.by or None, "at": one.at, "taken_back": one.removed}
        for one in waiting
        if any(name and _may_be(one, Person(name, birth_date=patient.birth_date)) for name in ids)
        and (str(one.uid) in here if one.removed else str(one.uid) not in here)
    ]
    return rows, faults


def waiting_cells(rows: list[dict[str, Any]]) -> list[tuple[str, str]]:
    """Return what waits for people."""
    return [
        (
            "told, not in yet",
            f"exposure {row['id']} is taken back; a room that runs hands it to the registry"
            if row["taken_back"]
            else ", ".join(filter(None, (row["kind"], row["body_part"], row["place"], row["when"])))
            + f", told {row['at'][:10]}; a room that runs hands it to the registry",
        )
        for row in rows
    ]


def exam_rows(history: PatientHistory) -> list[tuple[str, ...]]:
    """Return a row for every exam: when, what, machine, KAP, air kerma, time, source."""
    return [
        (
            "–" if one.started is None else f"{one.started:%Y-%m-%d %H:%M}",
            one.procedure or "–",
            one.machine or "–",
            _figure(one.dose.kap_gy_cm2, "Gy·cm²"),
            ", ".join(f"{three_digits(value)} mGy at {point or _UNKNOWN_POINT}" for point, value in _points(one))
            or "–",
            _time(one.dose.fluoroscopy_time_s),
            one.source + (", simulated" if one.simulated else ""),
        )
        for one in (*history.exams, *history.left_out)
    ]


def patient_rows(registry: Registry, words: str = "") -> list[dict[str, Any]]:
    """Return a JSON-ready row for every patient whose id or name holds ``words``."""
    return [_patient(one) for one in find_patients(registry, words)]


def outside_row(one: OutsideFacts) -> dict[str, Any]:
    """Return an exposure elsewhere JSON-ready."""
    return {
        "id": one.id,
        "uid": one.told_uid or None,
        "kind": one.kind,
        "body_part": one.body_part or None,
        "place": one.place or None,
        "when": one.when or None,
        "confirmed": one.confirmed,
        "effective_msv": one.effective_msv,
        "effective_source": one.effective_source or None,
    }


def _patient(one: PatientFacts) -> dict[str, Any]:
    return {
        "number": one.number,
        "patient_id": one.patient_id or None,
        "issuer": one.issuer or None,
        "name": one.name or None,
        "birth_date": _day(one.birth_date),
        "sex": one.sex or None,
        "exams": one.exams,
        "merged_ids": list(one.merged),
    }


def _exam(one: ExamHistory) -> dict[str, Any]:
    return {
        "study_uid": one.study_uid,
        "date": None if one.started is None else one.started.isoformat(timespec="seconds"),
        "procedure": one.procedure or None,
        "machine": one.machine or None,
        "source": one.source,
        "simulated": one.simulated,
        "air_kerma_mgy": one.dose.air_kerma_mgy,
        "air_kerma_by_reference_point": _by_point(one.dose.kerma_by_point),
        "kap_gy_cm2": one.dose.kap_gy_cm2,
        "fluoroscopy_time_s": one.dose.fluoroscopy_time_s,
        "events": one.dose.events,
        "objects": one.objects,
        "effective_msv": one.effective_msv,
        "effective_source": one.effective_source or None,
        "peak_skin_mgy": one.peak_skin_mgy,
        "peak_skin_source": one.peak_skin_source or None,
        "notes": [note.text for note in one.dose.notes],
    }


def _by_point(kerma: dict[str, float]) -> list[dict[str, Any]]:
    return [{"reference_point": point or None, "air_kerma_mgy": value} for point, value in sorted(kerma.items())]


def _points(one: ExamHistory) -> list[tuple[str, float]]:
    return sorted(one.dose.kerma_by_point.items())


def _lines(history: PatientHistory) -> list[str]:
    """Return the sums in sentences for people."""
    exams, sums = history.exams, history.cumulative
    days = [one.started for one in exams if one.started is not None]
    if not exams:
        return ["no exam in the registry"]
    since = f" since {min(days):%Y-%m-%d}" if days else ""
    lines = [f"{len(exams)} {'exam' if len(exams) == 1 else 'exams'}{since}: {_sums(sums)}"]
    for point, value in sorted(sums.kerma_by_point.items()):
        lines.append(f"air kerma {three_digits(value)} mGy at {point or _UNKNOWN_POINT}")
    if sums.effective_msv is not None:
        lines.append(f"effective dose {sums.effective_msv:.2g} mSv, an estimate")
    if sums.peak_skin_mgy is not None:
        lines.append(f"largest peak skin dose of one exam {three_digits(sums.peak_skin_mgy)} mGy")
    return lines


def _sums(sums: Cumulative) -> str:
    return f"KAP {_figure(sums.kap_gy_cm2, 'Gy·cm²')}, fluoroscopy {_time(sums.fluoroscopy_time_s)}"


def _told(one: OutsideFacts) -> str:
    words = ", ".join(word for word in (one.kind, one.body_part, one.place, one.when) if word)
    dose = "" if one.effective_msv is None else f", {one.effective_msv:g} mSv (estimate: {one.effective_source})"
    return f"{words}{dose}, {'confirmed' if one.confirmed else 'not confirmed'}"


def _figure(value: float | None, unit: str) -> str:
    return "–" if value is None else f"{three_digits(value)} {unit}"


def _time(seconds: float | None) -> str:
    if seconds is None or round(seconds) < 60:
        return _figure(seconds, "s")
    return f"{round(seconds) // 60} min {round(seconds) % 60:02d} s"


def _day(value: Any) -> str | None:
    return None if value is None else f"{value:%Y-%m-%d}"


def patient_cells(rows: list[dict[str, Any]]) -> list[tuple[str, ...]]:
    """Return the list of patients for people."""
    return [
        (
            f"#{row['number']}",
            " = ".join((row["patient_id"] or "–", *row["merged_ids"])),
            row["name"] or "–",
            row["birth_date"] or "–",
            str(row["exams"]),
        )
        for row in rows
    ]


def imported_rows(told: Imported) -> list[tuple[str, str]]:
    """Return how an import went, for people."""
    rows = [
        ("new in the registry", told.new),
        ("in the registry already", told.known),
        ("unchanged since an earlier import", told.skipped),
        ("nothing of dose in them", told.other),
        ("left out", len(told.left_out)),
    ]
    return [(words, str(count)) for words, count in rows if count or words.startswith("new")]


def pseudonym_secret(key: Path | None) -> str:
    """Return the secret behind the pseudonyms: of a file, or of one in the data folder, which is made when missing.

    Raises
    ------
    ValueError
        The file cannot be read.
    """
    path = data_folder() / "pseudonyms.key" if key is None else key
    try:
        if key is None and not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch(mode=0o600, exist_ok=False)
            path.write_text(secrets.token_hex(32) + "\n", encoding="ascii")
        return path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as fault:
        raise ValueError(
            f"{path}: the secret cannot be read or made ({fault}); name another file with --key"
        ) from fault
