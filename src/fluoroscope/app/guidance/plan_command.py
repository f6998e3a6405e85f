"""The command ``fluoroscope plan``. Names, flags and JSON keys are public: see docs/reference/command-line.md."""

from pathlib import Path
from typing import Annotated, Any

import typer

from fluoroscope.app.terminal import print_json, print_table

__all__ = ["plan_needle"]

PatientArgument = Annotated[
    str | None,
    typer.Argument(metavar="PATIENT", help="Built-in name, NIfTI/NRRD/MHA file, DICOM folder, or made patient."),
]


def plan_needle(
    patient: PatientArgument = None,
    procedure: Annotated[str, typer.Option(help="What is done, such as lumbar-puncture; --list names all.")] = "",
    level: Annotated[str, typer.Option(help="L3-L4 for a space, L3 for a bone, sacrum.")] = "",
    side: Annotated[str | None, typer.Option(help="left or right of the patient; either when not said.")] = None,
    position: Annotated[str, typer.Option(help="How the patient lies: HFP, FFP, or on a side.")] = "HFP",
    carm: Annotated[str, typer.Option("--carm", help="C-arm whose reach the views keep within.")] = "mobile-flat-panel",
    labels: Annotated[Path | None, typer.Option(help="Label map of the CT: NIfTI, NRRD, MHA or DICOM SEG.")] = None,
    names: Annotated[Path | None, typer.Option("--names", help="Names of the labels: CSV or JSON.")] = None,
    series: Annotated[
        str | None, typer.Option("--series", help="Series Instance UID, where a folder holds several.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=20, help="How many ways at most.")] = 5,
    picture: Annotated[
        Path | None, typer.Option(help="PNG to write: CT slices through the best path, and its views.")
    ] = None,
    bmi: Annotated[float | None, typer.Option(help="kg/m², for the depth formulas on a CT.")] = None,
    weight_kg: Annotated[float | None, typer.Option(help="With --height-cm in place of --bmi.")] = None,
    height_cm: Annotated[float | None, typer.Option(help="With --weight-kg in place of --bmi.")] = None,
    age: Annotated[float | None, typer.Option("--age", help="Years; below 18 a child's formulas hold.")] = None,
    list_procedures: Annotated[
        bool, typer.Option("--list", help="Show the procedures, their targets, views and sources.")
    ] = False,
    json_output: Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout, nothing else.")] = False,
) -> None:
    """Plan a needle on a patient's CT: skin entry, target, C-arm views, needle, clearances; the best way first."""
    from fluoroscope.app.guidance.planning import PlanRequest, body_build, plan_patient, procedure_facts

    if list_procedures:
        _print_procedures(procedure_facts(), json_output)
        return
    body = body_build(bmi, weight_kg, height_cm, age)
    request = PlanRequest(patient, procedure, level, side, position, carm, labels, names, series, limit, picture, body)
    facts = plan_patient(request)
    if json_output:
        print_json(facts)
    else:
        _print_plan(facts)
        if picture is not None:
            typer.echo(f"written: {picture}")


def _print_plan(facts: dict[str, Any]) -> None:
    columns = ["", "way in", "score", "entry LPS mm", "target LPS mm", "depth", "needle", "coaxial view", "nearest"]
    rows = []
    for place, one in enumerate(facts["trajectories"], start=1):
        gaps = {name: gap for name, gap in one["clearances_mm"].items() if gap is not None and gap > 0.0}
        near = min(gaps, key=lambda name: gaps[name], default="")
        rows.append(
            (
                str(place),
                " ".join(word for word in (one["approach"], one["side"]) if word),
                f"{one['score']:.2f}",
                _place(one["entry_mm"]),
                _place(one["target_mm"]),
                f"{one['depth_mm']:.0f} mm",
                one["needle"]["name"],
                one["coaxial"]["text"],
                f"{near.replace('_', ' ')} {gaps[near]:.1f} mm" if near else "",
            )
        )
    title = f"{facts['title']} at {facts['level']}. {facts['notice']}"
    print_table(title, columns, rows)
    for words in dict.fromkeys(word for one in facts["trajectories"] for word in one["warnings"]):
        typer.echo(f"warning: {words}")
    for words in facts["notes"]:
        typer.echo(f"note: {words}")


def _print_procedures(facts: dict[str, Any], json_output: bool) -> None:
    if json_output:
        print_json(facts)
        return
    rows = [(one["name"], one["title"], one["level"], one["target"], one["view"]) for one in facts["procedures"]]
    print_table("Procedures", ["name", "what", "level", "target", "view"], rows)
    typer.echo("Sources of every number, verified or not: --json, and the documentation, Procedures.")


def _place(point: list[float]) -> str:
    return ", ".join(f"{part:.0f}" for part in point)
