"""Units as vendors write them, to ours: Gy·cm², mGy, s, mm, cm², kV, mA, deg, pulses a second."""

import math
from typing import Final

__all__ = ["OUR_UNIT", "UNITS", "to_unit"]

_KAP_GY_CM2 = {
    "gym2": 1e4, "dgym2": 1e3, "cgym2": 100.0, "mgym2": 10.0, "ugym2": 0.01, "ngym2": 1e-5,
    "gycm2": 1.0, "dgycm2": 0.1, "cgycm2": 0.01, "mgycm2": 1e-3, "ugycm2": 1e-6, "gymm2": 0.01, "mgymm2": 1e-5,
}  # fmt: skip
_KERMA_MGY = {"gy": 1e3, "dgy": 100.0, "cgy": 10.0, "mgy": 1.0, "ugy": 1e-3, "ngy": 1e-6}
_TIME_S = {
    "s": 1.0, "sec": 1.0, "secs": 1.0, "second": 1.0, "seconds": 1.0, "ms": 1e-3, "msec": 1e-3, "us": 1e-6,
    "min": 60.0, "mins": 60.0, "minute": 60.0, "minutes": 60.0, "h": 3600.0,
}  # fmt: skip
_LENGTH_MM = {"mm": 1.0, "cm": 10.0, "m": 1e3, "um": 1e-3}
_AREA_CM2 = {"m2": 1e4, "dm2": 100.0, "cm2": 1.0, "mm2": 0.01}
# Here the templates allow one unit only, and vendors leave it out or call it 1.
_VOLTAGE_KV = {"kv": 1.0, "kvp": 1.0, "v": 1e-3, "": 1.0, "1": 1.0}
_CURRENT_MA = {"ma": 1.0, "a": 1e3, "ua": 1e-3, "": 1.0, "1": 1.0}
_ANGLE_DEG = {"deg": 1.0, "degree": 1.0, "degrees": 1.0, "°": 1.0, "rad": math.degrees(1.0), "": 1.0, "1": 1.0}
_RATE_HZ = {
    "/s": 1.0,
    "1/s": 1.0,
    "hz": 1.0,
    "fps": 1.0,
    "pps": 1.0,
    "/min": 1 / 60,
    "1/min": 1 / 60,
    "": 1.0,
    "1": 1.0,
}
UNITS: Final = {
    "kap": _KAP_GY_CM2, "kerma": _KERMA_MGY, "time": _TIME_S, "length": _LENGTH_MM, "area": _AREA_CM2,
    "voltage": _VOLTAGE_KV, "current": _CURRENT_MA, "angle": _ANGLE_DEG, "rate": _RATE_HZ,
}  # fmt: skip
"""Factors to our units by kind, then by the unit in lower case without what separates its parts."""
OUR_UNIT: Final = {
    "kap": "Gy·cm²", "kerma": "mGy", "time": "s", "length": "mm", "area": "cm²", "voltage": "kV", "current": "mA",
    "angle": "deg", "rate": "1/s",
}  # fmt: skip

_SEPARATORS = str.maketrans({"²": "2", "µ": "u", "μ": "u", **dict.fromkeys(" .*·⋅×^-()[]_", "")})
_COUNTED = ("{pulse}", "{pulses}", "pulses", "pulse", "{frame}", "{frames}", "frames", "frame", "images", "image")
_LARGEST = 1e12
"""Beyond it a number is none of a machine's, and sums would overflow."""


def to_unit(kind: str, number: float, unit: str) -> float | None:
    """Return a number in our unit of ``kind`` (a key of `UNITS`), or None when the unit is not one of that kind."""
    plain = unit.translate(_SEPARATORS).lower()
    if kind == "rate":
        plain = next((plain.removeprefix(word) for word in _COUNTED if plain.startswith(word)), plain)
    factor = UNITS[kind].get(plain)
    return None if factor is None or not abs(number * factor) <= _LARGEST else number * factor
