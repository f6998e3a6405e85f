"""The commands ``fluoroscope igtl …``. Names, flags and JSON keys are public: see docs/reference/command-line.md."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from fluoroscope.app.terminal import loading_bar, print_json, print_table

__all__ = [
    "BitsOption",
    "LinkHostOption",
    "LinkPortOption",
    "ToolNameOption",
    "TrackerFileOption",
    "TrackerOption",
    "igtl_app",
]

igtl_app = typer.Typer(
    no_args_is_help=True, help="OpenIGTLink: 3D Slicer looks on, a tracker tells where the needle is."
)

AddressArgument = Annotated[str, typer.Argument(metavar="HOST:PORT", help="Where the peer listens; port 18944.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout and nothing else.")]
LinkPortOption = Annotated[
    int | None, typer.Option("--igtl-port", min=0, max=65535, help="Offer pictures and poses over OpenIGTLink here.")
]
LinkHostOption = Annotated[
    str, typer.Option("--igtl-host", help="Address for it; beyond loopback there is no protection.")
]
BitsOption = Annotated[int, typer.Option("--igtl-bits", help="16: pixel values as they are; 8: as windowed.")]
TrackerOption = Annotated[str, typer.Option(metavar="HOST:PORT", help="Follow a tool of this OpenIGTLink tracker.")]
ToolNameOption = Annotated[str, typer.Option("--tool", help="The tool, as the tracker sends it: NeedleToTracker.")]
TrackerFileOption = Annotated[
    Path | None, typer.Option(help="Where the tracker stands and the tool's tip lies: by igtl pivot and register.")
]
ToolOption = Annotated[str, typer.Option(help="The tool's name as the tracker sends it, such as NeedleToTracker.")]


@igtl_app.command("listen")
def igtl_listen(
    address: AddressArgument,
    seconds: Annotated[float, typer.Option(min=0.2, max=3600.0, help="How long, s.")] = 5.0,
    json_output: JsonOption = False,
) -> None:
    """Say what a peer sends: devices, types, rates, sizes, the newest poses."""
    from fluoroscope.app.guidance.igtl_listening import listened

    with loading_bar() as progress:
        facts = listened(address, seconds, progress)
    if json_output:
        print_json(facts)
        return
    rows = [
        (one["type"], one["device"], str(one["messages"]), "" if one["rate_hz"] is None else f"{one['rate_hz']:g}",
         _details(one))
        for one in facts["devices"]
    ]  # fmt: skip
    print_table(f"{facts['address']}, {seconds:g} s", ["type", "device", "messages", "a second", "what"], rows)
    if facts["refused"]:
        typer.echo(f"{facts['refused']} messages could not be read; the last: {facts['last_fault']}")


@igtl_app.command("serve")
def igtl_serve(
    clip: Annotated[Path, typer.Argument(metavar="CLIP", help="A recorded XA or XRF object.")],
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0 takes a free one.")] = 18944,
    host: Annotated[str, typer.Option(help="Address to listen on; beyond loopback there is no protection.")] = (
        "127.0.0.1"
    ),
    bits: Annotated[int, typer.Option(help="16: pixel values as they are; 8: as windowed.")] = 16,
    seconds: Annotated[float | None, typer.Option(min=0.1, help="End after so long; else with Ctrl-C.")] = None,
    json_output: JsonOption = False,
) -> None:
    """Play a recorded run to 3D Slicer and others, again and again, without a page."""
    from fluoroscope.app.guidance.igtl_clip import serve_clip_link
    from fluoroscope.app.guidance.igtl_links import LinkSetup

    facts = serve_clip_link(clip, LinkSetup(host, port, bits), seconds)
    if json_output:
        print_json(facts)


@igtl_app.command("pivot")
def igtl_pivot(
    address: AddressArgument,
    tool: ToolOption,
    seconds: Annotated[float, typer.Option(min=0.2, max=600.0, help="How long the tool is swung, s.")] = 20.0,
    out: Annotated[Path | None, typer.Option(help="Tracker file (JSON) to write the tip to.")] = None,
    json_output: JsonOption = False,
) -> None:
    """Find where the tip lies in a tool: swing it about its tip, which stands in a dimple."""
    from fluoroscope.app.guidance.igtl_listening import pivoted

    with loading_bar() as progress:
        facts = pivoted(address, tool, seconds, out, progress)
    _print(f"Tip of {tool}", facts, json_output)


@igtl_app.command("point")
def igtl_point(
    address: AddressArgument,
    tool: ToolOption,
    seconds: Annotated[float, typer.Option(min=0.2, max=60.0, help="How long the tip rests on the point, s.")] = 2.0,
    tracker_file: Annotated[Path | None, typer.Option(help="Tracker file with the tool's tip.")] = None,
    equipment: Annotated[
        tuple[float, float, float] | None,
        typer.Option(metavar="X Y Z", help="Where the point lies in the equipment frame, mm."),
    ] = None,
    csv_file: Annotated[Path | None, typer.Option("--csv", metavar="FILE", help="Add the pair to this table.")] = None,
    json_output: JsonOption = False,
) -> None:
    """Say where the tip rests, and add it to a table of paired points."""
    from fluoroscope.app.guidance.igtl_listening import touched

    with loading_bar() as progress:
        facts = touched(address, tool, seconds, tracker_file, equipment, csv_file, progress)
    _print(f"Point touched by {tool}", facts, json_output)


@igtl_app.command("register")
def igtl_register(
    points: Annotated[
        Path, typer.Argument(metavar="POINTS.csv", help="Rows of tracker x, y, z, equipment x, y, z, mm.")
    ],
    at: Annotated[
        tuple[float, float, float],
        typer.Option(metavar="X Y Z", help="Where the error is worked out, equipment frame, mm; the isocentre else."),
    ] = (0.0, 0.0, 0.0),
    out: Annotated[Path | None, typer.Option(help="Tracker file (JSON) to write the transform to.")] = None,
    json_output: JsonOption = False,
) -> None:
    """Find where the tracker stands by points known in both frames, and how large the error is at a place."""
    from fluoroscope.app.guidance.igtl_listening import registered

    _print("Tracker in the equipment frame", registered(points, at, out), json_output)


def _print(title: str, facts: dict[str, Any], json_output: bool) -> None:
    if json_output:
        print_json(facts)
    else:
        print_table(title, ["what", "value"], [(key, json.dumps(value)) for key, value in facts.items()])


def _details(facts: dict[str, Any]) -> str:
    known = ("shape", "pixels", "spacing_mm", "space", "code", "error", "text")
    told = [f"{key} {facts[key]}" for key in known if facts.get(key) not in (None, "")]
    for name, pose in facts.get("poses", {}).items():
        place = "no rigid pose" if pose is None else ", ".join(f"{row[3]:.1f}" for row in pose[:3])
        told.append(f"{name} at {place}" if pose is not None else f"{name}: {place}")
    return "; ".join(told)
