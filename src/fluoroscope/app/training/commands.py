"""The commands ``fluoroscope training``. Names, flags and JSON keys are public: docs/reference/command-line.md."""

import csv
import getpass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fluoroscope import NOT_A_MEDICAL_DEVICE
from fluoroscope.app.dose.output_paths import check_outputs
from fluoroscope.app.terminal import loading_bar, print_json, print_table, warn

if TYPE_CHECKING:
    from fluoroscope.app.training.scoring import ScoredExam

__all__ = ["training_app"]

training_app = typer.Typer(no_args_is_help=True, help="Exercises, their scores, learning curves and debriefs.")

JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout and nothing else.")]
RegistryOption = Annotated[
    str | None,
    typer.Option(metavar="URL", help="File or postgresql:// URL; FLUOROSCOPE_REGISTRY, else one in the data folder."),
]
TraineeOption = Annotated[str, typer.Option("--trainee", help="Code of who trains; a score is kept under it.")]
ScenarioName = Annotated[str, typer.Argument(metavar="NAME", help="Name of a scenario, or a YAML file.")]
ExamName = Annotated[str, typer.Argument(metavar="EXAM", help="Id from `exams list`, or its folder.")]
ByOption = Annotated[str, typer.Option("--by", help="Who; the name of this computer's user when absent.")]
WhyOption = Annotated[str, typer.Option("--why", help="The reason; it stays in the registry.")]


@training_app.command("list")
def training_list(json_output: JsonOption = False) -> None:
    """List the scenarios: packaged ones and those of your own folder."""
    from fluoroscope.app.training.scenario import own_folder, scenarios

    found, faults = scenarios()
    rows = [
        {
            "name": one.name,
            "title": one.scenario.title,
            "difficulty": one.scenario.difficulty,
            "procedure": one.scenario.procedure,
            "guidance": one.scenario.guidance,
            "own": one.own,
        }
        for one in found
    ]
    for line in faults:
        warn(f"warning: {line}")
    if json_output:
        print_json({"scenarios": rows, "folder": str(own_folder()), "faults": faults})
        return
    print_table(
        "Training scenarios",
        ["name", "what", "difficulty", "guidance"],
        [(str(r["name"]), str(r["title"]), str(r["difficulty"]), "yes" if r["guidance"] else "no") for r in rows],
    )
    typer.echo(f"your own: {own_folder()}")


@training_app.command("show")
def training_show(name: ScenarioName, json_output: JsonOption = False) -> None:
    """Show a scenario: patient, goal, limits, and how it is marked."""
    from dataclasses import asdict

    from fluoroscope.app.training.scenario import find_scenario

    listed = find_scenario(name)
    scenario, marking = listed.scenario, listed.scenario.marking()
    facts = {"name": listed.name, **scenario.model_dump(mode="json", exclude={"marks"})}
    facts["marks"] = {key: {**asdict(rule), "rule": rule.text} for key, rule in marking.rules.items()}
    if json_output:
        print_json(facts)
        return
    shown = {key: value for key, value in facts.items() if key != "marks"}
    print_table(scenario.title, ["what", "value"], [(key, str(value)) for key, value in shown.items()])
    rows = [(rule.what, rule.text, f"{rule.weight:g}") for rule in marking.rules.values()]
    print_table("Marks", ["what", "rule", "weight"], rows)


@training_app.command("run")
def training_run(
    name: ScenarioName,
    trainee: TraineeOption = "",
    matrix: Annotated[int, typer.Option(help="Picture size in pixels: 512 or 1024.")] = 1024,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port of the page.")] = 8042,
    registry: RegistryOption = None,
    no_open: Annotated[bool, typer.Option("--no-open", help="Do not open the browser.")] = False,
) -> None:
    """Open the fluoroscopy room for an exercise; when it is closed, the score is printed and kept."""
    from fluoroscope.app.serving import Doors
    from fluoroscope.app.training.room import run_exercise
    from fluoroscope.app.training.scenario import find_scenario

    doors = Doors(port=port, open_browser=not no_open)
    for folder in run_exercise(find_scenario(name), trainee, matrix, registry, doors):
        _tell_end(folder, trainee, registry)


def _tell_end(folder: Path, trainee: str, registry: str | None) -> None:
    from fluoroscope.app.training.scoring import keep_score, score_exam

    try:
        scored = score_exam(folder)
        _print_score(scored)
        if trainee:
            typer.echo(f"kept for {trainee}: {keep_score(scored, trainee, registry, _user())}")
    except (ValueError, OSError) as fault:
        warn(f"warning: {' '.join(str(fault).split())}")


@training_app.command("attempt")
def training_attempt(
    name: ScenarioName,
    hand: Annotated[Path, typer.Option(help="YAML list of hand commands, or the folder of a recorded exam.")],
    out: Annotated[Path | None, typer.Option(help="Folder for the exam; the user's exams when absent.")] = None,
    trainee: TraineeOption = "",
    matrix: Annotated[int, typer.Option(help="Picture size in pixels: 512 or 1024.")] = 1024,
    seed: Annotated[int, typer.Option(min=0, help="Seed of noise and breaths.")] = 0,
    breathing: Annotated[bool, typer.Option(help="The patient breathes, or lies still.")] = True,
    json_output: JsonOption = False,
) -> None:
    """Carry out a list of hand commands without a screen, record the exam and score it."""
    from fluoroscope.app.training.room import headless_attempt
    from fluoroscope.app.training.scenario import find_scenario
    from fluoroscope.app.training.scoring import score_exam, score_facts

    with loading_bar() as progress:
        folder = headless_attempt(
            find_scenario(name), hand, trainee, matrix=matrix, exams=out, seed=seed, breathing=breathing,
            progress=progress,
        )  # fmt: skip
    scored = score_exam(folder)
    if json_output:
        print_json({"folder": str(folder), **score_facts(scored)})
        return
    _print_score(scored)
    typer.echo(f"recorded in {folder}")


@training_app.command("score")
def training_score(
    exam: ExamName,
    scenario: Annotated[str, typer.Option(help="Score by this scenario, where the exam was no training.")] = "",
    trainee: TraineeOption = "",
    registry: RegistryOption = None,
    json_output: JsonOption = False,
) -> None:
    """Score an exam against the truth; with --trainee the score is kept."""
    from fluoroscope.app.training.reading import exam_folder
    from fluoroscope.app.training.scoring import keep_score, score_exam, score_facts

    scored = score_exam(exam_folder(exam), scenario)
    kept = keep_score(scored, trainee, registry, _user()) if trainee else None
    if json_output:
        print_json({**score_facts(scored), "kept": kept, "kept_for": trainee or None})
        return
    _print_score(scored)
    if kept:
        typer.echo(f"kept for {trainee}: {kept}")


@training_app.command("debrief")
def training_debrief(
    exam: ExamName,
    out: Annotated[Path | None, typer.Option(help="PNG to write; beside the exam when absent.")] = None,
    scenario: Annotated[str, typer.Option(help="Score by this scenario, where the exam was no training.")] = "",
    json_output: JsonOption = False,
) -> None:
    """Draw an attempt beside an expert run: needle on both views and in 3-D, error and dose over time."""
    from fluoroscope.app.training.debrief import debrief_exam
    from fluoroscope.app.training.reading import exam_folder

    folder = exam_folder(exam)
    path = folder / "debrief.png" if out is None else out
    check_outputs([path], [])
    with loading_bar() as progress:
        facts = debrief_exam(folder, path, scenario, progress)
    if json_output:
        print_json({"picture": str(path), **facts})
    else:
        typer.echo(f"total {facts['score']['total']:.0f} of 100; the debrief: {path}")


@training_app.command("results")
def training_results(
    trainee: Annotated[str | None, typer.Option("--trainee", help="Of one trainee; everybody when absent.")] = None,
    scenario: Annotated[str | None, typer.Option(help="Of one scenario.")] = None,
    csv_path: Annotated[Path | None, typer.Option("--csv", help="CSV file to write.")] = None,
    plot: Annotated[Path | None, typer.Option("--plot", help="PNG of the learning curve to write.")] = None,
    registry: RegistryOption = None,
    json_output: JsonOption = False,
) -> None:
    """Print the results that are kept: attempts, learning curve, when performance became adequate."""
    from fluoroscope.app.training.results import draw_curves, result_facts

    check_outputs([csv_path, plot], [])
    facts, rows = result_facts(trainee, scenario, registry)
    if csv_path is not None:
        _write_csv(csv_path, rows)
    if plot is not None:
        draw_curves(facts["trainees"], plot)
    if json_output:
        print_json(facts)
        return
    columns = ["trainee", "number", "attempted_utc", "scenario", "total", "success", "passed"]
    table = [tuple(_cell(row[name]) for name in columns) for row in rows]
    print_table(
        "Results of training", ["trainee", "no.", "when (UTC)", "scenario", "total", "success", "passed"], table
    )
    for one in facts["trainees"]:
        at = one["proficient_at"]
        said = "not shown to be adequate yet" if at is None else f"adequate from attempt {at} on"
        typer.echo(f"{one['trainee']}: {one['attempts']} attempts, mean of the last five {one['recent']:.0f}; {said}")


@training_app.command("anonymise")
def training_anonymise(
    trainee: Annotated[str, typer.Argument(metavar="TRAINEE", help="Code.")],
    why: WhyOption = "",
    by: ByOption = "",
    registry: RegistryOption = None,
) -> None:
    """Take code, name, exam and day off a trainee's results; the scores stay. Exams on disk are not changed."""
    from fluoroscope.registry import Registry, standing
    from fluoroscope.registry.training import anonymise_trainee

    with Registry(standing(registry)) as opened:
        code = anonymise_trainee(opened, trainee, who=by or _user(), why=why)
    typer.echo(f"the results stay under {code}")


@training_app.command("erase")
def training_erase(
    trainee: Annotated[str, typer.Argument(metavar="TRAINEE", help="Code.")],
    why: WhyOption = "",
    by: ByOption = "",
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    registry: RegistryOption = None,
) -> None:
    """Erase a trainee with all results. Exams on disk are not changed."""
    from fluoroscope.registry import Registry, standing
    from fluoroscope.registry.training import erase_trainee

    if not yes:
        typer.confirm(f"erase trainee {trainee} with all results", abort=True)
    with Registry(standing(registry)) as opened:
        count = erase_trainee(opened, trainee, who=by or _user(), why=why)
    typer.echo(f"erased with {count} attempts")


def _print_score(scored: "ScoredExam") -> None:
    score = scored.score
    rows = [
        (
            one.what,
            "–" if one.value is None else _figure(one.value, one.unit),
            one.rule,
            "–" if one.mark is None else f"{100.0 * one.mark:.0f} %",
            f"{one.weight:g}",
        )
        for one in score.criteria
    ]
    print_table(
        f"{scored.listed.scenario.title}. {NOT_A_MEDICAL_DEVICE}", ["what", "value", "rule", "mark", "weight"], rows
    )
    words = "passed" if score.passed else ("reached, not passed" if score.success else "not reached")
    typer.echo(f"total {score.total:.0f} of 100: {words}")
    for reason in score.reasons:
        typer.echo(f"- {reason}")


def _figure(value: float, unit: str) -> str:
    if value >= 1e6:
        return "none"
    return f"{value:.3g}" if unit == "1" else f"{value:.3g} {unit}"


def _cell(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.0f}" if isinstance(value, float) else str(value)


def _write_csv(path: Path, rows: list[dict[str, Any]]) -> None:
    from fluoroscope.records.whole_file import whole_file
    from fluoroscope.registry.training import ATTEMPT_COLUMNS

    columns = list(dict.fromkeys([*ATTEMPT_COLUMNS, *(name for row in rows for name in row)]))
    with whole_file(path) as file:
        import io

        text = io.TextIOWrapper(file, encoding="utf-8", newline="")
        writer = csv.DictWriter(text, columns)
        writer.writeheader()
        writer.writerows(rows)
        text.flush()
        text.detach()


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):
        return "unknown"
