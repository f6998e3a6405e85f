"""The command ``fluoroscope needle``. Names, flags and JSON keys are public: see docs/reference/command-line.md."""

from pathlib import Path
from typing import Annotated

import typer

from fluoroscope.app.guidance.picture_options import check_overlay
from fluoroscope.app.terminal import loading_bar, print_json, print_table

__all__ = ["find_needles"]


def find_needles(
    clip: Annotated[Path, typer.Argument(metavar="CLIP", help="Recorded X-ray run (DICOM); geometry is not needed.")],
    frames: Annotated[str | None, typer.Option(metavar="A:B", help="Frames A up to, not including, B, from 0.")] = None,
    overlay: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the surest frame with what was found as PNG.")
    ] = None,
    json_output: Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout, nothing else.")] = False,
) -> None:
    """Find needles, wires and catheters in a recorded run, and follow them from frame to frame."""
    from fluoroscope.app.guidance.needle_finding import (
        TOLD_FROM,
        found_facts,
        found_rows,
        found_words,
        frame_range,
        needles_of_clip,
    )
    from fluoroscope.app.guidance.needle_picture import write_needle_picture
    from fluoroscope.dicom.xa import read_clip

    check_overlay(overlay)
    with read_clip(clip) as opened:
        asked = frame_range(frames, opened.frame_count)
        with loading_bar() as progress:
            found = needles_of_clip(opened, asked, progress)
        if overlay is not None:
            best = max(found, key=lambda one: max((n.confidence for n in one.needles if n.seen), default=0.0))
            write_needle_picture(overlay, opened.frame(best.index), best.needles, TOLD_FROM)
        facts = found_facts(opened, found)
    if json_output:
        print_json(facts)
        return
    print_table(
        f"{clip.name}: needles and wires", ["frame", "no.", "tip px", "angle", "sure", "note"], found_rows(found)
    )
    typer.echo(found_words(found))
    if facts["no_mm_because"]:
        typer.echo(f"in pixels only: {facts['no_mm_because']}")
    typer.echo("not a medical device; not for clinical use")
