"""The command ``fluoroscope calibrate``. Names, flags and JSON keys are public: see docs/reference/command-line.md."""

from pathlib import Path
from typing import Annotated, Any

import typer

from fluoroscope.app.terminal import loading_bar, print_json, print_table

__all__ = ["calibrate_carm"]


def calibrate_carm(
    images: Annotated[
        list[Path] | None, typer.Argument(metavar="IMAGES…", help="XA or XRF files of a bead phantom.")
    ] = None,
    phantom: Annotated[
        str, typer.Option(metavar="FILE", help="Beads as JSON, or packaged: spiral, small-fiducial.")
    ] = "spiral",
    fiducial: Annotated[
        bool, typer.Option("--fiducial", help="Find the pose alone: distances and principal point as the tags say.")
    ] = False,
    grid: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Picture of a bead grid on the detector: takes distortion off.")
    ] = None,
    grid_spacing_mm: Annotated[float, typer.Option(help="Between the grid's beads.")] = 15.0,
    grid_bead_mm: Annotated[float, typer.Option(help="Diameter of the grid's beads.")] = 3.0,
    frame: Annotated[int, typer.Option(help="Frame of each file, from 0.")] = 0,
    print_phantom: Annotated[
        bool, typer.Option("--print-phantom", help="Print the phantom as JSON, to be edited, and stop.")
    ] = False,
    json_output: Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout, nothing else.")] = False,
) -> None:
    """Find where source and detector really are, from pictures of beads. Not for clinical use."""
    from fluoroscope.app.guidance.calibrate import CalibrateRequest, calibrate_files, phantom_words, read_phantom

    if print_phantom:
        print_json(phantom_words(read_phantom(phantom)))
        return
    request = CalibrateRequest(tuple(images or ()), phantom, frame, fiducial, grid, grid_spacing_mm, grid_bead_mm)
    with loading_bar() as progress:
        facts = calibrate_files(request, progress)
    if json_output:
        print_json(facts)
    else:
        _print(facts)


def _print(facts: dict[str, Any]) -> None:
    if facts["distortion"] is not None:
        bent = facts["distortion"]
        typer.echo(f"distortion up to {bent['largest_px']:.1f} px taken off, {bent['residual_px']:.2f} px (RMS) left")
    for one in facts["images"]:
        off = one["off_tags"]
        rows = [
            ("reprojection", f"{one['rms_px']:.3f} px RMS, {'good' if one['good'] else 'POOR: above 0.3 px'}"),
            ("beads", f"{one['beads_used']} of {one['beads_found']} spots"),
            ("angles off the tags", f"primary {off['primary_deg']:+.2f}°, secondary {off['secondary_deg']:+.2f}°,"
             f" roll {off['detector_rotation_deg']:+.2f}°"),
            ("distances off the tags", f"source to isocentre {off['source_to_isocenter_mm']:+.1f} mm, to detector"
             f" {off['source_to_detector_mm']:+.1f} mm"),
            ("central ray", f"row {one['principal_px'][0]:.1f}, column {one['principal_px'][1]:.1f}"),
        ]  # fmt: skip
        print_table(f"{one['image']}, not for clinical use", ["what", "value"], rows)
    for number, one in enumerate(facts["to_first"], start=2):
        typer.echo(f"image {number} stands to image 1 otherwise than the tags say by {one['turn_deg']:.2f}° and"
                   f" {one['shift_mm']:.1f} mm")  # fmt: skip
