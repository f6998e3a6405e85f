"""Where along the spine a procedure is done: the space between two vertebrae, a bone, or the sacrum."""

import re
from dataclasses import dataclass
from typing import Literal

from fluoroscope.patient.level_names import LEVELS

__all__ = ["LevelKind", "SpineLevel", "parse_level"]

LevelKind = Literal["space", "bone", "sacrum"]

_ORDER = (*LEVELS, "S1")
_WORD = re.compile(r"^(?:vertebrae?[_ ]?)?([CTLS]\d{1,2})$", re.IGNORECASE)
_SACRUM = {"SACRUM", "SACRAL", "S"}
_EXAMPLES = {
    "space": "a space between two neighbours, such as L3-L4",
    "bone": "a vertebra, such as L3",
    "sacrum": "the word sacrum",
}


@dataclass(frozen=True, slots=True)
class SpineLevel:
    """A level of the spine.

    Attributes
    ----------
    kind
        Space, bone or sacrum.
    upper, lower
        "L3" and "L4" of a space, "S1" for the sacrum's top; both the same of a bone; both "S1" of the sacrum.
    """

    kind: LevelKind
    upper: str
    lower: str

    @property
    def name(self) -> str:
        """As it is written: "L3-L4", "L3", "sacrum"."""
        if self.kind == "sacrum":
            return "sacrum"
        return self.upper if self.kind == "bone" else f"{self.upper}-{self.lower}"


def parse_level(word: str, kinds: tuple[LevelKind, ...], what: str) -> SpineLevel:
    """Return the level a word names.

    Parameters
    ----------
    word
        "L3-L4" for a space ("L3/L4", "L3_L4", "L3–L4" are the same), "L3" for a bone, "sacrum" or "S1".
    kinds
        What the procedure takes.
    what
        The procedure, for the message.

    Raises
    ------
    ValueError
        When the word names no level, or one of the wrong kind.
    """
    text = word.strip()
    wanted = " or ".join(_EXAMPLES[kind] for kind in kinds)
    parts = [part for part in re.split(r"[\s_/–—-]+", text.upper()) if part]
    level = _read(parts)
    if level is None:
        raise ValueError(f"level {word!r}: names no level of the spine; {what} takes {wanted}")
    if level.kind not in kinds and level == SpineLevel("sacrum", "S1", "S1") and "bone" in kinds:
        level = SpineLevel("bone", "S1", "S1")
    if level.kind not in kinds:
        is_a = {"space": "a space", "bone": "a bone", "sacrum": "the sacrum"}[level.kind]
        raise ValueError(f"level {word!r}: is {is_a}, and {what} takes {wanted}")
    return level


def _read(parts: list[str]) -> SpineLevel | None:
    if parts and parts[0] in ("VERTEBRAE", "VERTEBRA"):
        parts = parts[1:]
    if parts and parts[0] in _SACRUM and len(parts) == 1:
        return SpineLevel("sacrum", "S1", "S1")
    words = [found.group(1).upper() for part in parts if (found := _WORD.match(part))]
    if len(words) != len(parts) or not 1 <= len(words) <= 2 or any(word not in _ORDER for word in words):
        return None
    if len(words) == 1:
        return SpineLevel("sacrum", "S1", "S1") if words[0] == "S1" else SpineLevel("bone", words[0], words[0])
    upper, lower = words
    # L4 may be the last above the sacrum, and T11 or T13 the last with ribs: the patient's labels decide.
    neighbours = (upper[0] == lower[0] and int(lower[1:]) == int(upper[1:]) + 1) or (
        (upper[0] + lower[0], lower[1:]) in (("TL", "1"), ("CT", "1"), ("LS", "1"))
    )
    return SpineLevel("space", upper, lower) if neighbours else None
