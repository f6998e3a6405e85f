"""The commands of ``fluoroscope dose`` that change the registry or write it out."""

import csv
import getpass
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fluoroscope.app.terminal import print_json, print_table

if TYPE_CHECKING:
    from fluoroscope.registry.merging import MergeFacts

__all__ = ["add_registry_commands"]

RegistryOption = Annotated[
    str | None,
    typer.Option(metavar="URL", help="File or postgresql:// URL; FLUOROSCOPE_REGISTRY, else one in the data folder."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout and nothing else.")]
ByOption = Annotated[str, typer.Option("--by", help="Who; the name of this computer's user when absent.")]
WhyOption = Annotated[str, typer.Option("--why", help="The reason; it stays in the registry.")]
Patient = Annotated[str, typer.Argument(metavar="PATIENT", help="Id, or '#number' of the list, in quotes.")]

outside_app = typer.Typer(no_args_is_help=True, help="Exposures elsewhere, told by the patient.")


def add_registry_commands(dose_app: typer.Typer) -> None:
    """Add them to the commands of dose."""
    dose_app.add_typer(outside_app, name="outside")
    for name, command in (("correct", correct), ("merge", merge), ("export", export), ("erase", erase)):
        dose_app.command(name)(command)


@outside_app.command("add")
def outside_add(
    patient: Patient,
    kind: Annotated[str, typer.Option(help="Such as CT or angiography.")],
    body_part: Annotated[str, typer.Option(help="Of the body.")] = "",
    place: Annotated[str, typer.Option(help="Hospital or town.")] = "",
    when: Annotated[str, typer.Option(help="2019, 2019-05 or 2019-05-03.")] = "",
    confirmed: Annotated[bool, typer.Option(help="A report or the other hospital confirms it.")] = False,
    effective_msv: Annotated[float | None, typer.Option(help="An estimate; only with --effective-source.")] = None,
    effective_source: Annotated[str, typer.Option(help="Where the estimate comes from.")] = "",
    by: ByOption = "",
    registry: RegistryOption = None,
    json_output: JsonOption = False,
) -> None:
    """Keep an exposure elsewhere. The patient may be new to the registry."""
    from fluoroscope.registry import Registry
    from fluoroscope.registry.outside import ToldExposure, add_outside
    from fluoroscope.registry.people import find_patients
    from fluoroscope.registry.reports import Person

    patient = patient.strip()
    if not patient:
        raise ValueError("patient: the id is empty; give the id of the patient who told of it")
    told = ToldExposure(kind, body_part, place, when, confirmed, effective_msv, effective_source)
    with Registry(registry) as opened:
        known = patient.startswith("#") or any(one.patient_id == patient for one in find_patients(opened, patient))
        number = add_outside(opened, patient if known else Person(patient), told, told_to=by or _user())
    if json_output:
        print_json({"id": number})
    else:
        typer.echo(f"kept as exposure {number}")


@outside_app.command("list")
def outside_list(patient: Patient, registry: RegistryOption = None, json_output: JsonOption = False) -> None:
    """Print the exposures elsewhere of a patient."""
    from fluoroscope.app.dose.history import outside_row
    from fluoroscope.registry import Registry, standing
    from fluoroscope.registry.history import patient_history

    with Registry(standing(registry)) as opened:
        rows = [outside_row(one) for one in patient_history(opened, patient).outside]
    if json_output:
        print_json({"outside": rows})
    else:
        columns = ["id", "kind", "body_part", "place", "when", "confirmed", "effective_msv", "effective_source"]
        heads = ["id", "kind", "body part", "place", "when", "confirmed", "mSv", "source of it"]
        print_table(patient, heads, [[_cell(row[name]) for name in columns] for row in rows])


@outside_app.command("confirm")
def outside_confirm(number: int, why: WhyOption, by: ByOption = "", registry: RegistryOption = None) -> None:
    """Note that an exposure elsewhere is confirmed, and by what."""
    from fluoroscope.registry import Registry, standing
    from fluoroscope.registry.outside import confirm_outside

    with Registry(standing(registry)) as opened:
        confirm_outside(opened, number, who=by or _user(), why=why)
    typer.echo(f"exposure {number} is confirmed")


@outside_app.command("remove")
def outside_remove(number: int, why: WhyOption, by: ByOption = "", registry: RegistryOption = None) -> None:
    """Take an exposure elsewhere back; that it was told stays in the registry."""
    from fluoroscope.registry import Registry, standing
    from fluoroscope.registry.outside import remove_outside

    with Registry(standing(registry)) as opened:
        remove_outside(opened, number, who=by or _user(), why=why)
    typer.echo(f"exposure {number} is taken back")


def correct(
    patient: Annotated[str, typer.Argument(metavar="PATIENT|STUDY", help="Patient id, #number, or a study UID.")],
    field: Annotated[
        str | None,
        typer.Argument(help="name, birth_date, sex; of a study procedure, procedure_key, started, simulated."),
    ] = None,
    value: Annotated[str | None, typer.Argument(help="What is right.")] = None,
    why: WhyOption = "",
    by: ByOption = "",
    registry: RegistryOption = None,
    json_output: JsonOption = False,
) -> None:
    """Correct a value of a patient or exam; without one, print what was changed before."""
    from fluoroscope.procedure.catalogue import procedure_named
    from fluoroscope.registry import Registry, standing
    from fluoroscope.registry.changing import CORRECTABLE, correct_exam, correct_patient, history_of_changes

    with Registry(standing(registry)) as opened:
        if field is None:
            changes = history_of_changes(opened, patient)
            if json_output:
                print_json({"changes": [asdict(one) for one in changes]})
            else:
                columns = ["when (UTC)", "of", "field", "old", "new", "who", "why"]
                rows = [
                    (f"{one.changed_utc:%Y-%m-%d %H:%M}", f"{one.table} {one.row}", one.field, _cell(one.old),
                     _cell(one.new), one.who, one.why)
                    for one in changes
                ]  # fmt: skip
                print_table(patient, columns, rows)
            return
        if value is None:
            raise ValueError(f"{field}: say what is right")
        if field == "procedure_key" and value:
            procedure_named(value)
        change = correct_exam if field in CORRECTABLE["exam"] else correct_patient
        changed = change(opened, patient, field, value, who=by or _user(), why=why)
    if json_output:
        print_json({"changed": changed})
    else:
        typer.echo("corrected" if changed else "it stands so already")


def merge(
    patient: Annotated[
        str | None, typer.Argument(metavar="PATIENT", help="Who is shown; id, or '#number', in quotes.")
    ] = None,
    other: Annotated[str | None, typer.Argument(metavar="OTHER", help="Who is the same person.")] = None,
    undo: Annotated[
        int | None, typer.Option(metavar="NUMBER", help="Take the two of this merge apart again; see --list.")
    ] = None,
    list_them: Annotated[bool, typer.Option("--list", help="Print every merge and what became of it.")] = False,
    why: WhyOption = "",
    by: ByOption = "",
    registry: RegistryOption = None,
    json_output: JsonOption = False,
) -> None:
    """Make two patients one person: an exam that came under both ids counts once. Or undo that."""
    from fluoroscope.registry import Registry, standing
    from fluoroscope.registry.merging import merge_patients, merges, undo_merge

    if (patient is not None) + (undo is not None) + list_them != 1 or (patient is None) != (other is None):
        raise ValueError("merge: give PATIENT and OTHER, or --undo NUMBER, or --list")
    if not list_them and not why.strip():
        raise ValueError("merge: say why with --why; it stays in the registry")
    with Registry(standing(registry)) as opened:
        if list_them:
            _print_merges(merges(opened), json_output)
        elif undo is not None:
            undone = undo_merge(opened, undo, who=by or _user(), why=why)
            stays = f"; what was corrected since stays with {undone.kept}: {', '.join(undone.corrected)}"
            line = f"{', '.join(undone.joined)} and {undone.kept} are apart again{stays if undone.corrected else ''}"
            _print(asdict(undone), line, json_output)
        elif patient is not None and other is not None:
            number = merge_patients(opened, patient, other, who=by or _user(), why=why)
            line = f"{other} is {patient} from now on; back:  fluoroscope dose merge --undo {number} --why …"
            _print({"merge": number}, line, json_output)


def _print_merges(found: Sequence["MergeFacts"], json_output: bool) -> None:
    if json_output:
        print_json({"merges": [asdict(one) for one in found]})
        return
    rows = [
        (str(one.id), one.kept, ", ".join(one.joined), f"{one.merged_utc:%Y-%m-%d %H:%M}", one.who, one.why,
         "" if one.undone_utc is None else f"{one.undone_utc:%Y-%m-%d %H:%M} {one.undone_who}: {one.undone_why}")
        for one in found
    ]  # fmt: skip
    print_table("merges", ["number", "shown as", "joined", "when (UTC)", "who", "why", "undone"], rows)


def _print(facts: dict[str, object], line: str, json_output: bool) -> None:
    if json_output:
        print_json(facts)
    else:
        typer.echo(line)


def export(
    patient: Annotated[str | None, typer.Argument(metavar="[PATIENT]", help="Of one patient; all when absent.")] = None,
    anonymise: Annotated[bool, typer.Option(help="Pseudonyms instead of ids, no names, no free text.")] = False,
    dates: Annotated[
        str | None, typer.Option(help="Of anonymised rows: shift, year or drop; shift when absent.")
    ] = None,
    key: Annotated[
        Path | None, typer.Option(help="File of the secret behind the pseudonyms; one in the data folder when absent.")
    ] = None,
    registry: RegistryOption = None,
    json_output: JsonOption = False,
) -> None:
    """Write the exams out: CSV, or JSON with --json; one row an exam and reference point."""
    from fluoroscope.app.dose.history import pseudonym_secret
    from fluoroscope.registry import Registry, standing
    from fluoroscope.registry.exporting import COLUMNS, Pseudonyms, export_exams

    # Who asks for moved dates believes the rows name nobody.
    if not anonymise and (dates is not None or key is not None):
        raise ValueError("--dates and --key are for --anonymise: without it the rows would name the patients")
    pseudonyms = Pseudonyms(pseudonym_secret(key), dates or "shift") if anonymise else None
    with Registry(standing(registry)) as opened:
        rows = export_exams(opened, patient, pseudonyms)
    if json_output:
        print_json({"exams": rows})
        return
    writer = csv.DictWriter(sys.stdout, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)


def erase(
    patient: Patient,
    why: WhyOption,
    by: ByOption = "",
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    registry: RegistryOption = None,
    json_output: JsonOption = False,
) -> None:
    """Erase a person with all that is known of them, for good; files of exams and backups are not touched."""
    from fluoroscope.registry import Registry, standing
    from fluoroscope.registry.changing import erase_patient
    from fluoroscope.registry.history import patient_history

    with Registry(standing(registry)) as opened:
        history = patient_history(opened, patient)
        if not yes:
            exams = len(history.exams) + len(history.left_out)
            question = f"erase {patient} ({history.patient.name or 'no name'}, {exams} exams) for good?"
            typer.confirm(question, abort=True, err=True)
        erased = erase_patient(opened, patient, who=by or _user(), why=why)
    if json_output:
        print_json(asdict(erased))
    else:
        typer.echo(f"erased: {erased.exams} exams, {erased.objects} objects, {erased.outside} exposures elsewhere")


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):
        raise ValueError("who makes the change is not known: give --by") from None


def _cell(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "–" if value in (None, "") else str(value)
