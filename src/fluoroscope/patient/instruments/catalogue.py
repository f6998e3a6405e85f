"""The instruments there are: sizes, tips, what they are made of, by the names used in commands.

Outer diameters are ISO 9626's nominal ones, bores those of normal walls; stock lengths 3.5, 5 and 7 inches
(``reference/guidance.md`` §4.2; unverified against the standard except 25G). Bevel angles, cones, side holes and hubs
are typical of products, unverified.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Literal

__all__ = ["CATALOGUE", "GAUGES", "Instrument", "instrument"]

Tip = Literal["quincke", "whitacre", "sprotte", "tuohy", "diamond", "blunt"]
Kind = Literal["spinal", "introducer", "epidural", "wire", "trocar", "catheter", "lead"]

GAUGES: Mapping[int, tuple[float, float]] = MappingProxyType(
    {
        11: (3.05, 2.39), 13: (2.41, 1.80), 14: (2.11, 1.60), 17: (1.47, 1.07), 18: (1.27, 0.84), 19: (1.07, 0.69),
        20: (0.91, 0.60), 21: (0.82, 0.51), 22: (0.72, 0.41), 23: (0.64, 0.34), 24: (0.57, 0.31), 25: (0.515, 0.26),
        26: (0.46, 0.24), 27: (0.41, 0.21),
    }
)  # fmt: skip
"""Outer diameter and bore by gauge, mm."""

THIN_BORES: Mapping[int, float] = MappingProxyType({14: 1.60, 17: 1.16, 18: 0.91})
"""Bore of thin walls by gauge, mm: a 20G catheter goes through an 18G Tuohy needle (ISO 9626:2016, unverified)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Instrument:
    """One instrument of the catalogue.

    Attributes
    ----------
    name, title
        "spinal-22G-89", and in words.
    kind, tip
        What it is and how it ends.
    length_mm
        From hub to tip.
    outer_mm, bore_mm
        Diameters; bore 0 for solid.
    material
        Of the shaft, a name of ``beam.materials``.
    cut_deg
        Between bevel and axis; 90 for a square end.
    cone_mm
        Length of a conical tip, 0 for none.
    opening_mm
        From the tip back to the middle of the opening.
    bend_deg, bend_mm
        Angle of a curved tip, and the length it spreads over.
    deflection_mm
        How far the tip leaves the axis at 50 mm depth in muscle: away from its bevel.
    has_stylet
        Whether something fills the bore when it comes out of the package.
    enters_bone, flexible
        A wire or trocar drilled or hammered; a catheter or lead that follows a space.
    electrodes, electrode_mm, electrode_pitch_mm
        Platinum-iridium rings of a lead: number, length, distance from one to the next.
    """

    name: str
    title: str
    kind: Kind
    tip: Tip
    length_mm: float
    outer_mm: float
    bore_mm: float
    material: str = "steel_304"
    cut_deg: float = 90.0
    cone_mm: float = 0.0
    opening_mm: float = 0.0
    bend_deg: float = 0.0
    bend_mm: float = 0.0
    deflection_mm: float = 0.0
    has_stylet: bool = False
    enters_bone: bool = False
    flexible: bool = False
    electrodes: int = 0
    electrode_mm: float = 3.0
    electrode_pitch_mm: float = 7.0

    @property
    def has_hub(self) -> bool:
        """Whether it ends in a hub or handle outside."""
        return self.kind in ("spinal", "introducer", "epidural", "trocar")


def instrument(name: str) -> Instrument:
    """Return an instrument by name.

    Raises
    ------
    ValueError
        When there is none; the message lists the names.
    """
    known = CATALOGUE.get(name)
    if known is None:
        raise ValueError(f"instrument {name!r}: no such instrument; choose one of {', '.join(CATALOGUE)}")
    return known


_BEVEL_MM_AT_50 = 5.0
"""A Quincke needle of 22 or 25G leaves its axis by about 1 mm a centimetre (Drummond and Scott 1980, Anaesthesia
35:854, in beef)."""


def _deflection_mm(gauge: int, share: float) -> float:
    """Thinner needles deflect more, pencil points less.

    W < S < Q: Sitzman and Uncles 1996, doi:10.1213/00000539-199602000-00014. That it goes with the inverse of the
    diameter, and the shares: unverified.
    """
    return share * _BEVEL_MM_AT_50 * 0.62 / GAUGES[gauge][0]


def _spinal(gauge: int, length_mm: int) -> list[Instrument]:
    outer, bore = GAUGES[gauge]
    size = f"{gauge}G, {length_mm} mm"
    cut_deg = 22.0
    quincke = Instrument(
        name=f"spinal-{gauge}G-{length_mm}", title=f"spinal needle {size}, Quincke", kind="spinal", tip="quincke",
        length_mm=float(length_mm), outer_mm=outer, bore_mm=bore, has_stylet=True, cut_deg=cut_deg,
        opening_mm=outer / 2.0 / math.tan(math.radians(cut_deg)), deflection_mm=_deflection_mm(gauge, 1.0),
    )  # fmt: skip
    curved = replace(
        quincke, name=f"spinal-curved-{gauge}G-{length_mm}", title=f"{quincke.title}, tip bent by hand",
        bend_deg=12.0, bend_mm=8.0, deflection_mm=_deflection_mm(gauge, 1.8),
    )  # fmt: skip
    whitacre = replace(
        quincke, name=f"whitacre-{gauge}G-{length_mm}", title=f"spinal needle {size}, Whitacre pencil point",
        tip="whitacre", cut_deg=90.0, cone_mm=1.6 * outer, opening_mm=1.6 * outer + 0.6,
        deflection_mm=_deflection_mm(gauge, 0.1),
    )  # fmt: skip
    sprotte = replace(
        whitacre, name=f"sprotte-{gauge}G-{length_mm}", title=f"spinal needle {size}, Sprotte pencil point",
        tip="sprotte", cone_mm=2.4 * outer, opening_mm=2.4 * outer + 0.8, deflection_mm=_deflection_mm(gauge, 0.25),
    )  # fmt: skip
    return [quincke, curved, whitacre, sprotte]


def _others() -> list[Instrument]:
    found = []
    for gauge, length in ((18, 32), (20, 32), (18, 89)):
        outer, bore = GAUGES[gauge]
        found.append(
            Instrument(
                name=f"introducer-{gauge}G-{length}", title=f"introducer {gauge}G, {length} mm", kind="introducer",
                tip="quincke", length_mm=float(length), outer_mm=outer, bore_mm=bore, cut_deg=25.0,
                opening_mm=outer, deflection_mm=_deflection_mm(gauge, 0.5),
            )
        )  # fmt: skip
    for gauge, length in ((17, 89), (18, 89), (14, 102)):
        outer, bore = GAUGES[gauge][0], THIN_BORES[gauge]
        found.append(
            Instrument(
                name=f"tuohy-{gauge}G-{length}", title=f"Tuohy epidural needle {gauge}G, {length} mm", kind="epidural",
                tip="tuohy", length_mm=float(length), outer_mm=outer, bore_mm=bore, cut_deg=40.0, opening_mm=outer,
                bend_deg=18.0, bend_mm=2.5 * outer, deflection_mm=_deflection_mm(gauge, 0.3), has_stylet=True,
            )
        )  # fmt: skip
    for tenths, length, material in ((16, 200, "steel_304"), (20, 250, "steel_304"), (14, 300, "nitinol")):
        word = "" if material == "steel_304" else "nitinol-"
        found.append(
            Instrument(
                name=f"kwire-{word}{tenths / 10:.1f}-{length}",
                title=f"Kirschner wire {tenths / 10:.1f} mm, {'nitinol' if word else 'steel'}",
                kind="wire", tip="diamond", length_mm=float(length), outer_mm=tenths / 10, bore_mm=0.0,
                material=material, cone_mm=0.2 * tenths, enters_bone=True,
            )
        )  # fmt: skip
    for gauge, length in ((11, 125), (13, 125)):
        outer, bore = GAUGES[gauge]
        found.append(
            Instrument(
                name=f"trocar-{gauge}G-{length}", title=f"vertebroplasty trocar {gauge}G, {length} mm", kind="trocar",
                tip="diamond", length_mm=float(length), outer_mm=outer, bore_mm=bore, cone_mm=1.5 * outer,
                has_stylet=True, enters_bone=True,
            )
        )  # fmt: skip
    found.append(
        Instrument(
            name="catheter-20G-450", title="epidural catheter 20G, radiopaque", kind="catheter", tip="blunt",
            length_mm=450.0, outer_mm=0.85, bore_mm=0.45, material="polyurethane_barium", flexible=True,
        )
    )  # fmt: skip
    found.append(
        Instrument(
            name="lead-8-600", title="spinal cord stimulator lead, eight electrodes", kind="lead", tip="blunt",
            length_mm=600.0, outer_mm=1.3, bore_mm=0.0, material="polyurethane", flexible=True, electrodes=8,
        )
    )  # fmt: skip
    return found


_SPINAL = [
    one
    for gauge in (18, 20, 22, 23, 24, 25, 26, 27)
    for length in ((89, 90, 127, 178) if gauge == 22 else (89, 127, 178) if gauge <= 25 else (89, 127))
    for one in _spinal(gauge, length)
]

CATALOGUE: Mapping[str, Instrument] = MappingProxyType({one.name: one for one in _SPINAL + _others()})
"""Every instrument by name."""
