"""The command ``fluoroscope register``. Names, flags and JSON keys are public: see docs/reference/command-line.md."""

from pathlib import Path
from typing import Annotated, Any

import typer

from fluoroscope.app.guidance.picture_options import check_overlay, pixel_option
from fluoroscope.app.terminal import loading_bar, print_json, print_table

__all__ = ["register_vertebra"]


def register_vertebra(
    ct: Annotated[str, typer.Option("--ct", help="Patient: built-in name, NIfTI/NRRD/MHA file, DICOM folder.")],
    image: Annotated[list[Path], typer.Option("--image", help="XA or XRF file with geometry tags; again for more.")],
    level: Annotated[str, typer.Option("--level", help="Vertebra to find: L3, T12, sacrum …")],
    labels: Annotated[Path | None, typer.Option(help="Label map of the CT: NIfTI, NRRD, MHA or DICOM SEG.")] = None,
    names: Annotated[Path | None, typer.Option(help="Names of the labels: CSV or JSON.")] = None,
    series: Annotated[str | None, typer.Option(help="Series Instance UID, where a folder holds several.")] = None,
    frame: Annotated[
        list[int] | None, typer.Option("--frame", help="Frame from 0; once, or once for each image.")
    ] = None,
    start: Annotated[
        str, typer.Option(help="near or far: the level is within 8 or 15 mm of the isocentre; nothing: search.")
    ] = "nothing",
    click: Annotated[
        str | None, typer.Option(metavar="ROW,COLUMN", help="Pixel of the level in the first image.")
    ] = None,
    overlay: Annotated[Path | None, typer.Option(metavar="FILE", help="Write a PNG with the outline.")] = None,
    json_output: Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout, nothing else.")] = False,
) -> None:
    """Find where a vertebra of a CT is in one or more X-ray images, and how sure that is. Not for clinical use."""
    from fluoroscope.app.guidance.register import RegisterRequest, register_files
    from fluoroscope.app.guidance.register_overlay import write_overlay

    request = RegisterRequest(
        ct, tuple(image), level, tuple(frame or (0,)), start, pixel_option("--click", click), labels, names, series
    )
    check_overlay(overlay)
    with loading_bar() as progress:
        done = register_files(request, progress)
    if overlay is not None:
        write_overlay(overlay, done.views, done.models, done.registration)
    if json_output:
        print_json(done.facts)
    else:
        _print(done.facts)


def _print(facts: dict[str, Any]) -> None:
    rows = [
        ("similarity", f"{facts['similarity']:.2f}"),
        ("in the plane", f"± {_mm(facts['sigma_in_plane_mm'])}"),
        ("in depth", f"± {_mm(facts['sigma_depth_mm'])}"),
        ("time", f"{facts['time_s']:.1f} s"),
    ]
    for view in facts["views"]:
        at = view["center_px"]
        place = "" if at is None else f", centre at row {at[0]:.1f}, column {at[1]:.1f}"
        rows.append((view["image"], f"{view['view']}: similarity {view['similarity']:.2f}{place}"))
    print_table(f"{facts['level']}, not for clinical use", ["what", "value"], rows)
    if facts["success"]:
        typer.echo(
            f"{facts['level']} found; one standard deviation {_mm(facts['sigma_in_plane_mm'])} in the plane of the"
            f" first image, {_mm(facts['sigma_depth_mm'])} in depth."
        )
    else:
        typer.echo(f"{facts['level']} NOT registered: {facts['reason']}.")


def _mm(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.2f} mm"
