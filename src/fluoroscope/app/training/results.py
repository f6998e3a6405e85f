"""Results of training as they are told: attempts, learning curves, and a picture of them."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fluoroscope import NOT_A_MEDICAL_DEVICE
from fluoroscope.app.training.drawing import BACKGROUND, COLOURS, FAINT, INK, Chart, font, plain
from fluoroscope.evaluation.training_curve import CurveSettings, learning_curve
from fluoroscope.records.whole_file import whole_file

__all__ = ["draw_curves", "result_facts"]

RECENT = 5


def result_facts(
    trainee: str | None, scenario: str | None, registry: str | None
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Return what is kept, JSON-ready, and a row for each attempt.

    Raises
    ------
    RegistryError
        Nobody has the code, or the registry cannot be opened.
    """
    from fluoroscope.registry import Registry, standing
    from fluoroscope.registry.training import attempts_of, export_attempts

    settings = CurveSettings()
    with Registry(standing(registry)) as opened:
        attempts = attempts_of(opened, trainee, scenario)
    told = []
    for code in dict.fromkeys(one.trainee for one in attempts):
        own = [one for one in attempts if one.trainee == code]
        curve = learning_curve([one.passed for one in own], settings)
        totals = [one.total for one in own]
        told.append(
            {
                "trainee": code,
                "attempts": len(own),
                "passed": sum(one.passed for one in own),
                "recent": sum(totals[-RECENT:]) / len(totals[-RECENT:]),
                "totals": totals,
                "passes": [one.passed for one in own],
                "lc_cusum": list(curve.learning),
                "cusum": list(curve.keeping),
                "proficient_at": curve.proficient_at,
                "lost_at": curve.lost_at,
            }
        )
    rows = export_attempts(attempts)
    facts = {
        "statement": f"Results of training in simulation. {NOT_A_MEDICAL_DEVICE}",
        "learning_curve": {
            "method": "LC-CUSUM on passed and not passed (Biau and Porcher 2010, doi:10.1002/sim.3947)",
            "adequate_failures": settings.adequate,
            "inadequate_failures": settings.inadequate,
            "limit": settings.limit,
        },
        "trainees": told,
        "attempts": rows,
    }
    return facts, rows


def draw_curves(trainees: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Write totals and LC-CUSUM over the attempts to a PNG.

    Raises
    ------
    ValueError
        When there is nothing to draw.
    """
    from PIL import Image, ImageDraw

    if not trainees:
        raise ValueError("results: no attempts are kept yet; score an exam with --trainee first")
    image = Image.new("RGB", (960, 640), BACKGROUND)
    draw = ImageDraw.Draw(image)
    most = max(2, *(one["attempts"] for one in trainees))
    limit = CurveSettings().limit
    top = max(limit * 1.2, *(max(one["lc_cusum"]) for one in trainees))
    totals = Chart((70, 60, 700, 300), (1.0, float(most)), (0.0, 100.0), "attempt", "total of 100")
    sums = Chart((70, 370, 700, 590), (1.0, float(most)), (0.0, top), "attempt", "LC-CUSUM")
    totals.frame(draw)
    sums.frame(draw)
    sums.line(draw, [(1.0, limit), (float(most), limit)], FAINT, 1)
    draw.text((708, sums.at(1.0, limit)[1]), "adequate above", fill=FAINT, font=font(13), anchor="lm")
    for number, one in enumerate(trainees):
        colour = COLOURS[number % len(COLOURS)]
        points = [(float(n), float(value)) for n, value in enumerate(one["totals"], start=1)]
        totals.line(draw, points, colour, 2)
        for (n, value), passed in zip(points, one["passes"], strict=True):
            totals.dot(draw, n, value, colour, filled=passed)
        sums.line(draw, [(float(n), value) for n, value in enumerate(one["lc_cusum"], start=1)], colour, 2)
        if number < 20:
            draw.text((720, 64 + 20 * number), plain(str(one["trainee"]))[:26], fill=colour, font=font(14))
    draw.text((70, 20), "Results of training in simulation: filled where passed", fill=INK, font=font(18))
    draw.text((70, 614), plain(NOT_A_MEDICAL_DEVICE), fill=FAINT, font=font(13))
    with whole_file(path) as file:
        image.save(file, "PNG")
