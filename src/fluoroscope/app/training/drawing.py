"""Charts drawn with Pillow: axes, lines, dots."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

__all__ = ["BACKGROUND", "COLOURS", "EXPERT", "FAINT", "INK", "TRAINEE", "Chart", "font", "plain", "ticks"]

Colour = tuple[int, int, int]
BACKGROUND: Colour = (16, 18, 22)
INK: Colour = (230, 233, 238)
FAINT: Colour = (150, 156, 166)
TRAINEE: Colour = (255, 170, 60)
EXPERT: Colour = (90, 200, 255)
COLOURS: tuple[Colour, ...] = (
    TRAINEE, EXPERT, (140, 220, 120), (240, 120, 160), (200, 170, 255), (240, 230, 110), (120, 220, 210),
)  # fmt: skip


@lru_cache(maxsize=8)
def font(size: int) -> Any:
    """Return the built-in font in a size, px."""
    from PIL import ImageFont

    return ImageFont.load_default(size=size)


def plain(text: str) -> str:
    """Return ``text`` in what the built-in font has."""
    return text.replace("µ", "u").replace("²", "2").replace("·", " ").replace("–", "-")


def ticks(low: float, high: float, most: int = 6) -> list[float]:
    """Return round numbers between two, few enough to be read."""
    span = high - low
    if not span > 0.0:
        return [low]
    raw = span / most
    size = 10.0 ** np.floor(np.log10(raw))
    step = float(next(size * factor for factor in (1.0, 2.0, 5.0, 10.0) if size * factor >= raw))
    first = np.ceil(low / step - 1e-9) * step
    return [float(value) + 0.0 for value in np.arange(first, high + 1e-9 * span, step)]


@dataclass(frozen=True, slots=True)
class Chart:
    """A box (left, top, right, bottom) px of a picture with two linear axes.

    Attributes
    ----------
    x, y
        (lowest, highest) of each axis.
    x_label, y_label
        In words with units.
    """

    box: tuple[int, int, int, int]
    x: tuple[float, float]
    y: tuple[float, float]
    x_label: str
    y_label: str

    def at(self, x: float, y: float) -> tuple[float, float]:
        """Return the pixel of a point."""
        left, top, right, bottom = self.box
        across = (x - self.x[0]) / max(self.x[1] - self.x[0], 1e-12)
        up = (y - self.y[0]) / max(self.y[1] - self.y[0], 1e-12)
        return left + across * (right - left), bottom - up * (bottom - top)

    def frame(self, draw: Any) -> None:
        """Draw axes, ticks and labels."""
        left, top, right, bottom = self.box
        draw.rectangle(self.box, outline=FAINT)
        for value in ticks(*self.x):
            px, _ = self.at(value, self.y[0])
            draw.line((px, bottom, px, bottom + 4), fill=FAINT)
            draw.text((px, bottom + 5), f"{value:g}", fill=FAINT, font=font(12), anchor="ma")
        for value in ticks(*self.y, most=4):
            _, py = self.at(self.x[0], value)
            draw.line((left - 4, py, left, py), fill=FAINT)
            draw.text((left - 6, py), f"{value:g}", fill=FAINT, font=font(12), anchor="rm")
        draw.text(((left + right) / 2, bottom + 19), plain(self.x_label), fill=INK, font=font(13), anchor="ma")
        draw.text((left, top - 5), plain(self.y_label), fill=INK, font=font(13), anchor="lb")

    def line(self, draw: Any, points: Sequence[tuple[float, float]], colour: Colour, width: int = 2) -> None:
        """Draw a line through points."""
        if len(points) > 1:
            draw.line([self.at(*point) for point in points], fill=colour, width=width, joint="curve")

    def dot(self, draw: Any, x: float, y: float, colour: Colour, *, filled: bool = True, radius: float = 4.0) -> None:
        """Draw a dot."""
        px, py = self.at(x, y)
        fill = colour if filled else BACKGROUND
        draw.ellipse((px - radius, py - radius, px + radius, py + radius), fill=fill, outline=colour, width=2)
