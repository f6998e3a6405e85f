"""The picture of a debrief: needle on both views and in three dimensions, error and dose over time, the marks."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fluoroscope import NOT_A_MEDICAL_DEVICE
from fluoroscope.app.training.drawing import BACKGROUND, EXPERT, FAINT, INK, TRAINEE, Chart, font, plain
from fluoroscope.app.training.expert import EXPERT_TEXT
from fluoroscope.app.training.scoring import ScoredExam
from fluoroscope.app.training.solid_view import SEEN_FROM, SolidView
from fluoroscope.app.training.views import ShownView, carried_to
from fluoroscope.evaluation.training_attempt import Attempt, Moment, Zone
from fluoroscope.patient.library import Patient
from fluoroscope.records.whole_file import whole_file

__all__ = ["draw_debrief", "zone_outline"]

Float = NDArray[np.float64]
SIDE, GAP, TOP = 480, 20, 70
WIDTH, HEIGHT = 3 * SIDE + 4 * GAP, 1120
ZONE, BONE, WRONG = (110, 230, 120), (255, 90, 80), (255, 80, 220)
_LEAST_MM, _MARGIN_MM = 130.0, 18.0


def draw_debrief(scored: ScoredExam, expert: Attempt, views: Sequence[ShownView], patient: Patient, path: Path) -> None:
    """Write the picture to a PNG that appears only when it is whole."""
    from PIL import Image, ImageDraw

    image = Image.new("RGB", (WIDTH, HEIGHT), BACKGROUND)
    draw = ImageDraw.Draw(image)
    _title(draw, scored)
    for number, view in enumerate(views[:2]):
        left = GAP + number * (SIDE + GAP)
        image.paste(_x_ray(scored, expert, view), (left, TOP + 22))
        draw.text((left, TOP), plain(f"{view.name}: {view.text}"), fill=INK, font=font(14))
    left = GAP + 2 * (SIDE + GAP)
    image.paste(_solid(scored, expert, patient), (left, TOP + 22))
    draw.text((left, TOP), f"3-D, {SEEN_FROM}", fill=INK, font=font(14))
    _legend(draw, TOP + 22 + SIDE + 8)
    _charts(draw, scored, expert)
    _marks(draw, scored, GAP + 2 * (SIDE + GAP) - 210, TOP + SIDE + 70)
    draw.text((GAP, HEIGHT - 24), plain(f"Simulated. {NOT_A_MEDICAL_DEVICE}"), fill=FAINT, font=font(13))
    with whole_file(path) as file:
        image.save(file, "PNG")


def zone_outline(zone: Zone) -> Float:
    """Return points (n, 3) that outline a target zone: corners of the box, or its points, or a ball's."""
    if zone.points_mm:
        return np.asarray(zone.points_mm, dtype=np.float64)
    signs = np.array(np.meshgrid(*[(-1.0, 1.0)] * 3)).reshape(3, -1).T
    half = np.asarray(zone.half_mm) + zone.tolerance_mm
    corners: Float = np.asarray(zone.center_mm) + (signs * half) @ np.asarray(zone.axes)
    return corners


def _title(draw: Any, scored: ScoredExam) -> None:
    score, scenario = scored.score, scored.listed.scenario
    who = f", trainee {scored.trainee}" if scored.trainee else ""
    words = "passed" if score.passed else ("reached, not passed" if score.success else "not reached")
    draw.text((GAP, 12), plain(f"Debrief: {scenario.title}{who}"), fill=INK, font=font(20))
    draw.text((WIDTH - GAP, 12), f"{score.total:.0f} of 100, {words}", fill=INK, font=font(20), anchor="ra")
    draw.text((GAP, 42), plain(f"exam {scored.recorded.exam}"), fill=FAINT, font=font(13))


def _legend(draw: Any, y: int) -> None:
    x = GAP
    for colour, words in (
        (TRAINEE, "attempt: needle at the end, way of its tip"), (EXPERT, f"expert run, {EXPERT_TEXT}"),
        (ZONE, "target zone"), (BONE, "bone contact"), (WRONG, "wrong structure"),
    ):  # fmt: skip
        draw.rectangle((x, y + 3, x + 12, y + 11), fill=colour)
        draw.text((x + 17, y), words, fill=INK, font=font(13))
        x += 34 + int(draw.textlength(words, font=font(13)))


def _end_path(moment: Moment) -> Float:
    return np.asarray(moment.path_mm or (moment.entry_mm, moment.tip_mm), dtype=np.float64)


def _x_ray(scored: ScoredExam, expert: Attempt, view: ShownView) -> Any:
    """Return a square picture: the X-ray about the needle, with attempt, expert and target drawn on it."""
    from PIL import Image, ImageDraw

    attempt = scored.attempt

    def moved(points: Any) -> Float:
        return view.project(carried_to(scored.recorded, view.at_s, points))[:, ::-1]

    ends = [attempt.target.entry_mm, attempt.target.aim_mm]
    ends += [one.tip_mm for one in attempt.moments] + [one.entry_mm for one in attempt.moments]
    seen = moved(ends)
    scale_px = 1.0 / _px_per_mm(view, attempt.target.aim_mm)
    middle = 0.5 * (seen.min(axis=0) + seen.max(axis=0))
    reach = 0.5 * max(float(np.ptp(seen, axis=0).max()) + 2.0 * _MARGIN_MM / scale_px, _LEAST_MM / scale_px)
    grid = view.geometry.grid
    whole = view.pixels if view.pixels is not None else np.zeros((grid.rows, grid.columns), dtype=np.uint8)
    box = (middle[0] - reach, middle[1] - reach, middle[0] + reach, middle[1] + reach)
    square = Image.fromarray(whole).transform(
        (SIDE, SIDE), Image.Transform.EXTENT, box, Image.Resampling.BICUBIC
    )  # fmt: skip
    image = square.convert("RGB")
    draw = ImageDraw.Draw(image)

    def at(points: Any) -> list[tuple[float, float]]:
        # The centre of a pixel is its index: half a pixel from the edge it is drawn from.
        return [(float(x), float(y)) for x, y in (moved(points) + 0.5 - (middle - reach)) * SIDE / (2.0 * reach)]

    _overlay(draw, at, attempt, expert)
    return image


def _px_per_mm(view: ShownView, at_mm: Any) -> float:
    """Return how many pixels a millimetre across the beam covers at a point."""
    point = np.asarray(at_mm, dtype=np.float64)
    steps = np.concatenate([np.eye(3), -np.eye(3)]) * 5.0
    seen = view.project(point + steps) - view.project(point)
    return float(np.linalg.norm(seen, axis=1).max()) / 5.0


def _overlay(draw: Any, at: Any, attempt: Attempt, expert: Attempt) -> None:
    """Draw target zone, expert, the tip's way, the needle at the end and what it met."""
    _zone(draw, at(zone_outline(attempt.target.zone)), attempt.target.zone)
    if expert.moments:
        line = at([attempt.target.entry_mm, expert.moments[-1].tip_mm])
        draw.line(line, fill=EXPERT, width=2)
        _dot(draw, line[-1], EXPERT, 4)
    for insertion in dict.fromkeys(one.insertion for one in attempt.moments):
        tips = [one.tip_mm for one in attempt.moments if one.insertion == insertion and one.act != "removed"]
        if len(tips) > 1:
            draw.line(at(tips), fill=tuple(part // 2 for part in TRAINEE), width=3)
    end = attempt.judged
    if end is not None:
        path = at(_end_path(end))
        draw.line(path, fill=TRAINEE, width=2)
        _dot(draw, path[-1], TRAINEE, 4)
    for touch in attempt.touches:
        colour = BONE if touch.what == "bone contact" else WRONG if touch.what in attempt.target.unwanted else None
        if colour is not None and touch.structure not in attempt.target.spared:
            _cross(draw, at([touch.tip_mm])[0], colour)


def _zone(draw: Any, seen: list[tuple[float, float]], zone: Zone) -> None:
    points = np.asarray(seen)
    if len(points) < 3:
        return
    if max(zone.half_mm) == 0.0 and not zone.points_mm:
        middle, reach = points.mean(axis=0), max(0.5 * float(np.ptp(points, axis=0).max()), 5.0)
        draw.ellipse((*(middle - reach), *(middle + reach)), outline=ZONE, width=2)
        return
    draw.polygon(_hull(points), outline=ZONE, width=2)


def _hull(points: Float) -> list[tuple[float, float]]:
    """Return the convex hull of points (n, 2), in order (Andrew's monotone chain)."""
    ordered = sorted({(float(x), float(y)) for x, y in points})

    def half(row: list[tuple[float, float]]) -> list[tuple[float, float]]:
        kept: list[tuple[float, float]] = []
        for x, y in row:
            while len(kept) > 1:
                (x0, y0), (x1, y1) = kept[-2:]
                if (x1 - x0) * (y - y0) - (y1 - y0) * (x - x0) > 0.0:
                    break
                kept.pop()
            kept.append((x, y))
        return kept[:-1]

    return half(ordered) + half(ordered[::-1])


def _solid(scored: ScoredExam, expert: Attempt, patient: Patient) -> Any:
    from PIL import Image, ImageDraw

    attempt = scored.attempt
    entry, aim = np.asarray(attempt.target.entry_mm), np.asarray(attempt.target.aim_mm)
    reach = max(62.0, 0.62 * float(np.linalg.norm(entry - aim)))
    solid = SolidView(0.6 * aim + 0.4 * entry, reach, SIDE)
    image = Image.fromarray(solid.bones(patient, BACKGROUND))
    draw = ImageDraw.Draw(image)

    def at(points: Any) -> list[tuple[float, float]]:
        return [(float(x), float(y)) for x, y, _ in solid.project(points)]

    _overlay(draw, at, attempt, expert)
    return image


def _charts(draw: Any, scored: ScoredExam, expert: Attempt) -> None:
    from fluoroscope.app.training.debrief import target_error_mm

    attempt, began_s = scored.attempt, scored.recorded.began_s
    until = max(1.0, attempt.seconds)
    errors = [(one.at_s - began_s, target_error_mm(attempt, one.tip_mm)) for one in attempt.moments]
    ideal = [(one.at_s, target_error_mm(attempt, one.tip_mm)) for one in expert.moments]
    far = max([5.0, *(value for _, value in errors), *(value for _, value in ideal)])
    left, right = 70, GAP + 2 * (SIDE + GAP) - 270
    until = max(until, *(at_s for at_s, _ in ideal)) if ideal else until
    top = TOP + SIDE + 78
    error = Chart((left, top, right, top + 170), (0.0, until), (0.0, far * 1.05), "", "tip to target zone, mm")
    error.frame(draw)
    error.line(draw, ideal, EXPERT, 2)
    error.line(draw, errors, TRAINEE, 2)
    for touch in attempt.touches:
        if touch.what == "bone contact":
            x, y = error.at(touch.at_s - began_s, target_error_mm(attempt, touch.tip_mm))
            _cross(draw, (x, y), BONE)
    dose = [(0.0, 0.0)]
    for shot in attempt.shots:
        begun, ended = shot.at_s - began_s, shot.at_s - began_s + shot.seconds
        dose += [(begun, dose[-1][1]), (ended, dose[-1][1] + shot.air_kerma_mgy)]
    dose.append((until, dose[-1][1]))
    top += 220
    limit = scored.listed.scenario.limits.air_kerma_mgy
    most = max(0.1, dose[-1][1] * 1.1, 0.0 if limit is None else limit)
    kerma = Chart((left, top, right, top + 130), (0.0, until), (0.0, most), "time, s", "air kerma, mGy")
    kerma.frame(draw)
    kerma.line(draw, dose, TRAINEE, 2)
    if limit is not None:
        kerma.line(draw, [(0.0, limit), (until, limit)], FAINT, 1)


def _marks(draw: Any, scored: ScoredExam, left: int, top: int) -> None:
    """Draw a line for each criterion: what, value, a bar for the mark."""
    for number, one in enumerate(scored.score.criteria):
        y = top + 24 * number
        value = "-" if one.value is None else "none" if one.value >= 1e6 else f"{one.value:.3g}"
        unit = "" if one.unit == "1" or value in ("-", "none") else f" {one.unit}"
        draw.text((left, y), plain(one.what), fill=INK, font=font(14))
        draw.text((left + 520, y), plain(value + unit), fill=INK, font=font(14), anchor="ra")
        if one.mark is not None:
            draw.rectangle((left + 535, y + 3, left + 655, y + 13), outline=FAINT)
            colour = ZONE if one.mark > 0.66 else TRAINEE if one.mark > 0.33 else BONE
            if one.mark > 0.0:
                draw.rectangle((left + 535, y + 3, left + 535 + 120 * one.mark, y + 13), fill=colour)
    y = top + 24 * len(scored.score.criteria) + 8
    for reason in scored.score.reasons[:6]:
        draw.text((left, y), plain(f"- {reason}"), fill=BONE, font=font(14))
        y += 20


def _dot(draw: Any, at: tuple[float, float], colour: Any, radius: float) -> None:
    draw.ellipse((at[0] - radius, at[1] - radius, at[0] + radius, at[1] + radius), outline=colour, width=2)


def _cross(draw: Any, at: tuple[float, float], colour: Any, size: float = 6.0) -> None:
    x, y = at
    draw.line((x - size, y - size, x + size, y + size), fill=colour, width=3)
    draw.line((x - size, y + size, x + size, y - size), fill=colour, width=3)
