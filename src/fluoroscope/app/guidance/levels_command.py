"""The command ``fluoroscope levels``. Names, flags and JSON keys are public: see docs/reference/command-line.md."""

from pathlib import Path
from typing import Annotated, Any

import typer

from fluoroscope.app.guidance.picture_options import check_overlay, pixel_option
from fluoroscope.app.terminal import loading_bar, print_json, print_table, warn

__all__ = ["name_levels"]


def name_levels(
    ct: Annotated[str, typer.Option("--ct", help="Patient: built-in name, NIfTI/NRRD/MHA file, DICOM folder.")],
    image: Annotated[list[Path], typer.Option("--image", help="XA or XRF file with geometry tags; again for more.")],
    labels: Annotated[Path | None, typer.Option(help="Label map of the CT: NIfTI, NRRD, MHA or DICOM SEG.")] = None,
    names: Annotated[Path | None, typer.Option(help="Names of the labels: CSV or JSON.")] = None,
    series: Annotated[str | None, typer.Option(help="Series Instance UID, where a folder holds several.")] = None,
    frame: Annotated[int, typer.Option("--frame", help="Frame of each image, from 0.")] = 0,
    expect: Annotated[str, typer.Option("--expect", help="Level thought to lie under --at: warned if not.")] = "",
    at: Annotated[str | None, typer.Option("--at", metavar="ROW,COLUMN", help="Pixel of the first image.")] = None,
    overlay: Annotated[Path | None, typer.Option(metavar="FILE", help="Write a PNG with the names.")] = None,
    json_output: Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout, nothing else.")] = False,
) -> None:
    """Name the vertebrae on X-ray images from a labelled CT, without a start. Not for clinical use."""
    from fluoroscope.app.guidance.levels import LevelsRequest, label_files, write_names

    request = LevelsRequest(ct, tuple(image), frame, expect, pixel_option("--at", at), labels, names, series)
    check_overlay(overlay)
    with loading_bar() as progress:
        named = label_files(request, progress)
    if overlay is not None:
        write_names(overlay, named)
    if json_output:
        print_json(named.facts)
    else:
        _print(named.facts)


def _print(facts: dict[str, Any]) -> None:
    for warning in [*facts["warnings"], facts.get("wrong_level", "")]:
        if warning:
            warn(f"warning: {warning}")
    if not facts["success"]:
        typer.echo(f"NOT labelled: {facts['reason']}.")
        return
    rows = [
        (name, *(f"row {one['center_px'][0]:.0f}, column {one['center_px'][1]:.0f}" for one in shown))
        for name, shown in facts["levels"].items()
    ]
    images = [f"image {chr(65 + n)}" for n in range(len(rows[0]) - 1)]
    print_table("Levels, not for clinical use", ["level", *images], rows)
    typer.echo(f"confidence {facts['confidence']:.2f}, {facts['time_s']:.1f} s")
