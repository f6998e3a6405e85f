"""The procedures planned here: target, way in, views, needles, and where every number comes from.

Angles of a way in are between the needle, seen from the target out to the skin, and straight back: *lateral* toward the
side (below 0: toward the other side), *cranial* toward the head (below 0: the needle comes from the feet). They are in
the axes of the bone or disc named, so that a bent or tilted spine takes its ways in along.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from fluoroscope.guidance.planning.levels import LevelKind

__all__ = ["PROCEDURES", "Approach", "Cone", "ProcedurePlan", "Sourced", "procedure_plan"]

Frame = Literal["disc", "vertebra", "patient"]
Confirm = Literal["lateral", "contralateral oblique", "antero-posterior"]
UNVERIFIED = "textbook practice, not verified against a paper"


@dataclass(frozen=True, slots=True)
class Sourced:
    """A number or rule and where it comes from.

    Attributes
    ----------
    what, source
        In words.
    verified
        Whether the source was read; else it is a judgement or passed on.
    """

    what: str
    source: str
    verified: bool


@dataclass(frozen=True, slots=True)
class Cone:
    """Ways in that are allowed, degrees: from ``low`` to ``high`` on both angles; outside costs by the angle missing.

    Attributes
    ----------
    lateral_deg, cranial_deg
        (low, high).
    """

    lateral_deg: tuple[float, float]
    cranial_deg: tuple[float, float]


@dataclass(frozen=True, slots=True)
class Approach:
    """One way of doing a procedure.

    Attributes
    ----------
    name
        "midline", "paramedian" …
    cone
        Ways in.
    sided
        Whether left and right differ; else it is in the midline.
    frame
        Whose axes the cone is in.
    cone_at
        Other cones at some levels, by level name.
    """

    name: str
    cone: Cone
    sided: bool = True
    frame: Frame = "disc"
    cone_at: Mapping[str, Cone] | None = None

    def cone_for(self, level: str) -> Cone:
        """Return the cone at a level."""
        return (self.cone_at or {}).get(level, self.cone)


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcedurePlan:
    """One procedure as it is planned.

    Attributes
    ----------
    name, title
        For the command line, and for people.
    levels
        Kinds of level it takes.
    first, last
        Uppermost and lowest level it is done at, "" for no bound.
    target, view
        Where the needle ends, and how it is looked at, in words.
    approaches
        In order of preference.
    needles
        Names of the catalogue in order of preference, as `needles.choose_needle` takes them.
    confirm
        Views that may confirm it, the first that is reached and shows most of the needle is taken.
    spare
        Structures beside those no needle may go through that this one must not touch.
    into_bone
        Whether the path ends in bone: through the pedicle of the level's vertebra and no other bone.
    instrument
        What is brought through the needle, a name of the catalogue, or "".
    sources
        Of every number.
    notes
        What to heed.
    """

    name: str
    title: str
    levels: tuple[LevelKind, ...]
    first: str = ""
    last: str = ""
    target: str
    view: str
    approaches: tuple[Approach, ...]
    needles: tuple[str, ...]
    confirm: tuple[Confirm, ...] = ("lateral",)
    spare: tuple[str, ...] = ()
    into_bone: bool = False
    instrument: str = ""
    sources: tuple[Sourced, ...] = ()
    notes: tuple[str, ...] = ()


_FORMULA = Sourced("depth 0.077·BMI + 0.88 inches", "Nayate 2016, AJNR 37:572", True)
_OBLIQUE = Sourced("obliquity 8.6° on average", "Nayate 2016, AJNR 37:572", True)
_LP_LEVELS = Sourced("mostly prone, 22G, L2-L3 or L3-L4", "ASNR survey, Abel 2012 AJNR", True)
_CONUS = Sourced("needle at or below L2-L3: conus as low as upper L3", "Saifuddin 1998; Soleiman 2005", True)
_ATRAUMATIC = Sourced("atraumatic needle strongly recommended", "Rochwerg, BMJ 2018 k1920", True)

_INTRATHECAL = (
    Approach("midline", Cone((-4.0, 4.0), (-30.0, 5.0)), sided=False),
    Approach("oblique interlaminar", Cone((5.0, 15.0), (-15.0, 15.0))),
    Approach("paramedian", Cone((8.0, 20.0), (-35.0, -8.0))),
)
_SPINAL_22 = ("whitacre-22G", "spinal-22G")

_ALL = (
    ProcedurePlan(
        name="lumbar-puncture", title="lumbar puncture", levels=("space",), first="L2-L3", last="L5-S1",
        target="middle of the dural sac between the laminae; cerebrospinal fluid returns",
        view="prone, antero-posterior or 5 to 15° ipsilateral oblique, down the barrel",
        approaches=_INTRATHECAL, needles=_SPINAL_22,
        sources=(
            _LP_LEVELS, _OBLIQUE, _FORMULA, _CONUS, _ATRAUMATIC,
            Sourced("midline within 4°, paramedian 8 to 20°, cranial angles", UNVERIFIED, False),
        ),
        notes=("at most 4 attempts, passive drip, below 30 mL (Engelborghs 2017)",),
    ),
)  # fmt: skip

PROCEDURES: Mapping[str, ProcedurePlan] = MappingProxyType({one.name: one for one in _ALL})
"""By name, in the order they are listed."""


def procedure_plan(name: str) -> ProcedurePlan:
    """Return a procedure by name; ValueError naming those there are."""
    found = PROCEDURES.get(name.strip().lower().replace("_", "-"))
    if found is None:
        raise ValueError(f"procedure {name!r}: no such procedure; choose one of {', '.join(PROCEDURES)}")
    return found
