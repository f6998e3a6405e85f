"""How hard tissue is to push through, and how much it turns a bevel.

Anchor: 11.1 to 11.8 N on the plunger of a 16G Tuohy needle in porcine ligamentum flavum (Vaughan, Dubey, Wee and
Isaacs 2012, "Measuring Tuohy needle insertion force on a porcine spine"). The other tissues are set in proportion to
it after the order in Dubey et al. 2012, doi:10.5772/50764: unverified. Cutting force goes with the diameter:
unverified.
"""

from collections.abc import Mapping
from types import MappingProxyType

from fluoroscope.patient.instruments.catalogue import Instrument

__all__ = ["BONE_STOP_N", "cutting_n", "friction_n_per_mm", "puncture_n", "turning"]

_REFERENCE_MM = 1.65
_FLAVUM_N = 11.4
BONE_STOP_N = 15.0
"""Where a hand stops when a spinal needle stands on bone (unverified)."""

# Cutting force with a 16G Tuohy, N; friction per mm of shaft, N/mm; how much a bevel turns, muscle = 1.
_TISSUES: Mapping[str, tuple[float, float, float]] = MappingProxyType(
    {
        "air": (0.0, 0.0, 0.0), "skin": (10.0, 0.02, 0.3), "fat": (1.5, 0.008, 0.5), "muscle": (3.0, 0.02, 1.0),
        "ligament": (7.5, 0.04, 1.0), "epidural space": (0.3, 0.0, 0.1), "CSF": (0.05, 0.0, 0.0),
        "nerve root": (1.0, 0.01, 0.3), "cord": (0.5, 0.005, 0.2), "vessel": (0.5, 0.005, 0.1),
        "disc": (9.0, 0.05, 1.0), "facet joint": (4.0, 0.02, 0.5), "cartilage": (9.0, 0.05, 0.5),
        "organ": (2.0, 0.01, 0.6), "bowel": (2.0, 0.005, 0.4), "lung": (0.8, 0.002, 0.2), "fetus": (1.0, 0.0, 0.0),
        "bone": (60.0, 0.3, 0.0), "metal": (500.0, 0.0, 0.0),
    }
)  # fmt: skip
_SHARPNESS: Mapping[str, float] = MappingProxyType(
    {"tuohy": 1.0, "quincke": 0.7, "whitacre": 1.0, "sprotte": 1.1, "diamond": 0.8, "blunt": 1.5}
)
"""Cutting force of a tip beside a Tuohy's of the same diameter: pencil points part fibres and ask more (unverified)."""
_PUNCTURES: Mapping[str, float] = MappingProxyType({"skin": 14.0, "ligamentum flavum": _FLAVUM_N, "dura": 4.0})
"""Peak as a membrane gives way, 16G Tuohy, N; skin and dura unverified."""


def _scale(instrument: Instrument) -> float:
    return instrument.outer_mm / _REFERENCE_MM * _SHARPNESS[instrument.tip]


def cutting_n(instrument: Instrument, tissue: str, structure: str = "") -> float:
    """Return the force at the tip while it goes through a tissue, N."""
    if structure == "ligamentum_flavum":
        return _FLAVUM_N * _scale(instrument)
    return _TISSUES.get(tissue, _TISSUES["muscle"])[0] * _scale(instrument)


def puncture_n(instrument: Instrument, membrane: str) -> float:
    """Return the peak force at which a membrane gives way, N."""
    return _PUNCTURES[membrane] * _scale(instrument)


def friction_n_per_mm(instrument: Instrument, tissue: str) -> float:
    """Return the drag on each mm of shaft in a tissue, N/mm; it goes with the girth."""
    return _TISSUES.get(tissue, _TISSUES["muscle"])[1] * instrument.outer_mm / _REFERENCE_MM


def turning(instrument: Instrument, tissue: str) -> float:
    """Return the curvature of the tip's path in a tissue, 1/mm.

    Such that the instrument leaves its axis by ``deflection_mm`` over 50 mm of muscle.
    """
    return 2.0 * instrument.deflection_mm / 50.0**2 * _TISSUES.get(tissue, _TISSUES["muscle"])[2]
