"""The commands ``fluoroscope dose …``. Names, flags and JSON keys are public: see docs/reference/command-line.md."""

import sys
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fluoroscope.app.dose.registry_commands import add_registry_commands
from fluoroscope.app.terminal import loading_bar, print_json, print_table, warn

if TYPE_CHECKING:
    from fluoroscope.registry import Registry

__all__ = ["dose_app"]

dose_app = typer.Typer(no_args_is_help=True, help="Radiation dose: read, mapped, controlled, remembered.")
add_registry_commands(dose_app)

JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout and nothing else.")]


@dose_app.command("read")
def dose_read(
    files: Annotated[list[Path], typer.Argument(metavar="FILES…", help="Dose reports (RDSR), X-ray images, folders.")],
    json_output: JsonOption = False,
    csv_output: Annotated[bool, typer.Option("--csv", help="Print every irradiation event as CSV.")] = False,
) -> None:
    """Read what dose objects of any machine say: totals, sums, events and everything that looks wrong."""
    from fluoroscope.app.dose.reading import dose_csv, dose_facts, dose_rows, read_dose_objects

    if json_output and csv_output:
        raise ValueError("--json and --csv: choose one")
    with loading_bar() as progress:
        objects, faults = read_dose_objects(files, progress)
    for fault in faults:
        warn(f"left out: {fault}")
    if json_output:
        print_json({"objects": [dose_facts(one) for one in objects], "left_out": faults})
    elif csv_output:
        sys.stdout.write(dose_csv(objects))
    else:
        for one in objects:
            print_table(str(one.path), ["what", "value"], dose_rows(one))


@dose_app.command("alerts")
def dose_alerts(
    files: Annotated[list[Path], typer.Argument(metavar="FILES…", help="Dose reports (RDSR), X-ray images, folders.")],
    levels: Annotated[
        Path | None, typer.Option(help="Dose rules with local levels below the published ones: TOML or JSON.")
    ] = None,
    phantom: Annotated[
        str | None, typer.Option(help="Map the peak skin dose too, on a phantom of dose map: adult, cylinder, plane …")
    ] = None,
    json_output: JsonOption = False,
) -> None:
    """Say which alert levels a procedure reached, in order, and in which event."""
    from fluoroscope.app.dose.alerts import alert_facts, alert_rows
    from fluoroscope.app.dose.map import Body, running_peaks
    from fluoroscope.app.dose.reading import read_dose_objects
    from fluoroscope.app.dose.rules import read_rules

    if phantom is not None:
        _check_body(phantom)
    rules = read_rules(levels).levels
    peaks = None if phantom is None else partial(running_peaks, body=Body(phantom))
    with loading_bar() as progress:
        objects, faults = read_dose_objects(files, progress)
    for fault in faults:
        warn(f"left out: {fault}")
    if json_output:
        print_json({"objects": [alert_facts(one, rules, peaks) for one in objects], "left_out": faults})
    else:
        for one in objects:
            print_table(str(one.path), ["when", "what"], alert_rows(one, rules, peaks))


@dose_app.command("rules")
def dose_rules(
    file: Annotated[Path | None, typer.Argument(metavar="[FILE]", help="A site's rules: TOML or JSON.")] = None,
    json_output: JsonOption = False,
    toml_output: Annotated[bool, typer.Option("--toml", help="Print TOML to be edited; the default.")] = False,
) -> None:
    """Print the dose rules that hold, packaged or with FILE over them: levels, screening, limits, budget, typical."""
    from fluoroscope.app.dose.rules import read_rules
    from fluoroscope.app.dose.rules_text import rules_tables, rules_toml

    if json_output and toml_output:
        raise ValueError("--json and --toml: choose one")
    rules = read_rules(file)
    if json_output:
        print_json(rules_tables(rules))
    else:
        sys.stdout.write(rules_toml(rules))


@dose_app.command("map")
def dose_map(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A dose report (RDSR) of fluoroscopy.")],
    phantom: Annotated[
        str,
        typer.Option(
            metavar="BODY", help="plane, cylinder, adult, child, or a patient: name, CT file or DICOM folder."
        ),
    ] = "adult",
    height_cm: Annotated[
        float | None, typer.Option(help="Adult 100 to 230 cm (176 when not said), child 45 to 170 (110).")
    ] = None,
    weight_kg: Annotated[
        float | None, typer.Option(help="Adult 15 to 300 kg (73 when not said), child 2 to 100 (19).")
    ] = None,
    position: Annotated[
        str | None, typer.Option(help="How the patient lay, where the report is silent or wrong: HFS, HFP, FFS, FFP …")
    ] = None,
    table_file: Annotated[
        Path | None,
        typer.Option("--table", metavar="FILE", help="Where the site's table is when the report says 0: TOML."),
    ] = None,
    json_output: JsonOption = False,
    csv_file: Annotated[
        Path | None, typer.Option("--csv", metavar="FILE", help="Write every cell of the skin.")
    ] = None,
    png_file: Annotated[Path | None, typer.Option("--png", metavar="FILE", help="Write the skin unrolled.")] = None,
    dicom_file: Annotated[
        Path | None,
        typer.Option("--dicom", metavar="FILE", help="Write a Patient Radiation Dose SR, a map as FILE_map.dcm."),
    ] = None,
) -> None:
    """Work out the peak skin dose and where it lies; without a table position, its bounds."""
    from fluoroscope.app.dose.map import Body, map_dose, map_facts, map_rows, write_map_csv, write_map_png
    from fluoroscope.app.dose.output_paths import check_outputs
    from fluoroscope.dose.skin_machines import read_table_frame
    from fluoroscope.dose.skin_phantoms import USUAL
    from fluoroscope.geometry.table import PatientPosition
    from fluoroscope.records.patient_dose import map_path

    _check_body(phantom, sized=height_cm is not None or weight_kg is not None)
    written = (dicom_file, dicom_file and map_path(dicom_file), csv_file, png_file)
    check_outputs(written, (file, table_file, Path(phantom)))
    if position is not None and position not in PatientPosition.__members__:
        raise ValueError(f"position must be {', '.join(PatientPosition.__members__)}, got {position}")
    lies = None if position is None else PatientPosition[position]
    usual_cm, usual_kg = USUAL.get(phantom, USUAL["adult"])
    tall_cm, heavy_kg = usual_cm if height_cm is None else height_cm, usual_kg if weight_kg is None else weight_kg
    body = Body(phantom, tall_cm, heavy_kg, lies)
    report = map_dose(file, body, None if table_file is None else read_table_frame(table_file))
    if csv_file is not None:
        write_map_csv(report, csv_file)
    if png_file is not None:
        write_map_png(report, png_file)
    if dicom_file is not None:
        from fluoroscope.app.dose.map_record import write_map_record

        write_map_record(report, dicom_file, body)
    if json_output:
        print_json(map_facts(report))
    else:
        print_table(str(file), ["what", "value"], map_rows(report))


def _check_body(phantom: str, *, sized: bool = False) -> None:
    if not phantom.strip():
        raise ValueError("--phantom is empty; name plane, cylinder, adult, child or a patient")
    if sized and phantom in ("plane", "cylinder"):
        raise ValueError(f"--phantom {phantom} has one size; leave out --height-cm and --weight-kg")


RegistryOption = Annotated[
    str | None,
    typer.Option(
        "--registry", metavar="URL", help="File or postgresql:// URL; FLUOROSCOPE_REGISTRY, else the data folder."
    ),
]


@dose_app.command("history")
def dose_history(
    patient: Annotated[
        str | None, typer.Argument(metavar="[PATIENT]", help="Patient id, or #number of the list.")
    ] = None,
    find: Annotated[str, typer.Option(help="Of the list: whose id or name holds this.")] = "",
    registry: RegistryOption = None,
    json_output: JsonOption = False,
) -> None:
    """Say what a patient has had, what is not known of it, and what they told of elsewhere; or list the patients."""
    from fluoroscope.app.dose import history as words
    from fluoroscope.registry import Registry, RegistryError, standing
    from fluoroscope.registry.history import patient_history
    from fluoroscope.registry.reports import Person

    with Registry(standing(registry)) as opened:
        if patient is None:
            _print_patients(opened, find, json_output)
            return
        try:
            history = patient_history(opened, patient)
        except RegistryError as fault:
            waiting, _ = words.told_waiting(Person(patient))
            if not waiting:
                raise
            raise RegistryError(f"{fault}; {_waits(len(waiting))}") from fault
    rows, faults = words.waiting_rows(history)
    for line in faults:
        warn(line)
    if json_output:
        print_json(words.history_facts(history) | {"told_waiting": rows})
        return
    print_table(patient, ["what", "value"], words.history_rows(history) + words.waiting_cells(rows))
    columns = ["when", "procedure", "machine", "KAP", "air kerma", "fluoroscopy", "source"]
    print_table("exams", columns, words.exam_rows(history))


def _print_patients(opened: "Registry", find: str, json_output: bool) -> None:
    from fluoroscope.app.dose.history import patient_cells, patient_rows, told_waiting

    rows = patient_rows(opened, find)
    waiting, faults = told_waiting()
    for line in [*faults, *([_waits(len(waiting))] if waiting else [])]:
        warn(line)
    if json_output:
        print_json({"patients": rows})
    elif not rows and not find:
        typer.echo(f"registry {opened.shown}: there is nothing yet; fluoroscope dose import FOLDER")
    else:
        print_table("patients", ["number", "id", "name", "born", "exams"], patient_cells(rows))


def _waits(count: int) -> str:
    told = "1 exposure that was told waits" if count == 1 else f"{count} exposures that were told wait"
    return f"{told} for the registry: a room that runs hands over"


@dose_app.command("import")
def dose_import(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Of dose reports and X-ray images, or one file.")],
    registry: RegistryOption = None,
    json_output: JsonOption = False,
) -> None:
    """Keep every dose object of a folder in the registry; cut short, the same command goes on from there."""
    from fluoroscope.app.dose.history import imported_rows
    from fluoroscope.registry import Registry
    from fluoroscope.registry.importing import check_folder, import_folder

    check_folder(folder)
    with Registry(registry) as opened, loading_bar() as progress:
        told = import_folder(opened, folder, progress)
    if told.left_out and folder.is_file():
        raise ValueError(told.left_out[0])
    for line in told.left_out:
        warn(f"left out: {line}")
    if json_output:
        print_json(asdict(told))
    else:
        print_table(str(folder), ["what", "files"], imported_rows(told))


@dose_app.command("estimate")
def dose_estimate(
    files: Annotated[list[Path], typer.Argument(metavar="FILES…", help="Dose reports (RDSR), X-ray images, folders.")],
    age: Annotated[float | None, typer.Option(help="Of the patient, years.")] = None,
    sex: Annotated[str | None, typer.Option(help="M or F.")] = None,
    pregnant_weeks: Annotated[float | None, typer.Option(help="Weeks of pregnancy: the dose of the conceptus.")] = None,
    region: Annotated[
        str | None,
        typer.Option(help="Where a report is silent: cervical, thoracic, lumbar, abdomen, pelvis."),
    ] = None,
    position: Annotated[str | None, typer.Option(help="Where a report is silent: HFS, HFP, FFS, FFP …")] = None,
    coefficients: Annotated[
        Path | None, typer.Option(metavar="FILE", help="TOML with a section [coefficients] in place of the published.")
    ] = None,
    json_output: JsonOption = False,
) -> None:
    """Estimate effective dose, organ doses, the dose of a conceptus and nominal risk, each with range and source."""
    from fluoroscope.app.dose.estimates import estimate_facts, estimate_rows, patient_facts, read_coefficients
    from fluoroscope.app.dose.reading import read_dose_objects

    facts = patient_facts(age, sex, pregnant_weeks, region, position)
    table = read_coefficients(coefficients)
    with loading_bar() as progress:
        objects, faults = read_dose_objects(files, progress)
    for fault in faults:
        warn(f"left out: {fault}")
    found = [estimate_facts(one, facts, table) for one in objects]
    if json_output:
        print_json({"objects": found, "left_out": faults})
    else:
        for one in found:
            print_table(one["path"], ["what", "value"], estimate_rows(one))


@dose_app.command("staff")
def dose_staff(
    primary_deg: Annotated[float, typer.Option(help="Of the C-arm, equipment; 90 lateral, detector left.")] = 0.0,
    secondary_deg: Annotated[float, typer.Option(help="Of the C-arm, equipment.")] = 0.0,
    kap_rate: Annotated[float, typer.Option(help="KAP rate, Gy·cm²/min.")] = 1.0,
    kap_gy_cm2: Annotated[
        float | None, typer.Option("--kap-gy-cm2", help="KAP of a case: doses of it instead of rates.")
    ] = None,
    kv: Annotated[float, typer.Option(help="Tube voltage, 40 to 150 kV.")] = 80.0,
    copper_mm: Annotated[float, typer.Option(help="Added copper, mm.")] = 0.1,
    position: Annotated[str, typer.Option(help="How the patient lies: HFP, HFS, FFP …")] = "HFP",
    height: Annotated[str, typer.Option(help="eye, trunk, hand, gonads, legs.")] = "trunk",
    height_cm: Annotated[float | None, typer.Option(help="Another height above the floor, 0 to 200 cm.")] = None,
    shield: Annotated[list[str] | None, typer.Option(help="curtain, ceiling or glasses; may be repeated.")] = None,
    apron: Annotated[str, typer.Option(help="Of lead, mm: none, 0.25, 0.35, 0.5.")] = "0.35",
    coefficients: Annotated[
        Path | None, typer.Option(metavar="FILE", help="TOML with a section [coefficients.staff] of the site.")
    ] = None,
    png_file: Annotated[Path | None, typer.Option("--png", metavar="FILE", help="Write the map from above.")] = None,
    json_output: JsonOption = False,
) -> None:
    """Estimate the scatter around the table: where to stand, and what distance, side, shield and lead change."""
    from fluoroscope.app.dose.estimates import read_coefficients
    from fluoroscope.app.dose.staff_case import StaffCase, staff_case, write_staff_png
    from fluoroscope.app.dose.staff_dose import staff_rows

    case = StaffCase(
        primary_deg,
        secondary_deg,
        kap_rate,
        kap_gy_cm2,
        kv,
        copper_mm,
        position,
        height,
        height_cm,
        shield,
        apron,
        read_coefficients(coefficients).staff,
    )
    found = staff_case(case)
    if png_file is not None:
        write_staff_png(case, png_file)
    if json_output:
        print_json(found)
    else:
        print_table("scatter around the table", ["what", "value"], staff_rows(found))
