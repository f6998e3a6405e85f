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
    slack_deg
        Ways in further outside than this are not looked at.
    frame
        Whose axes the angles are in: the space's disc, the (upper) vertebra, or the patient.
    """

    lateral_deg: tuple[float, float]
    cranial_deg: tuple[float, float]
    slack_deg: float = 10.0
    frame: Frame = "disc"


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
    cone_at
        Other cones at some levels, by level name.
    """

    name: str
    cone: Cone
    sided: bool = True
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
    depth_of_canal
        Whether the depth formulas from skin to canal hold for it.
    around_mm
        How far is looked to the sides, the front, the head and the feet of the level.
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
    depth_of_canal: bool = False
    around_mm: tuple[float, float, float, float] = (55.0, 25.0, 60.0, 70.0)
    instrument: str = ""
    sources: tuple[Sourced, ...] = ()
    notes: tuple[str, ...] = ()


_FORMULA = Sourced("depth 0.077·BMI + 0.88 inches", "Nayate 2016, AJNR 37:572", True)
_OBLIQUE = Sourced("obliquity 8.6° on average", "Nayate 2016, AJNR 37:572", True)
_LP_LEVELS = Sourced("mostly prone, 22G, L2-L3 or L3-L4", "ASNR survey, Abel 2012 AJNR", True)
_CONUS = Sourced("needle at or below L2-L3: conus as low as upper L3", "Saifuddin 1998; Soleiman 2005", True)
_ATRAUMATIC = Sourced("atraumatic needle strongly recommended", "Rochwerg, BMJ 2018 k1920", True)
_INFARCT = Sourced(
    "risk of cord infarct with particulate steroid through a radiculomedullary artery", "AJR 16.17471", True
)


def _angles(what: str = "angles of the ways in") -> Sourced:
    return Sourced(what, UNVERIFIED, False)


_INTRATHECAL = (
    Approach("midline", Cone((-4.0, 4.0), (-30.0, 5.0), 3.0), sided=False),
    Approach("oblique interlaminar", Cone((5.0, 15.0), (-15.0, 15.0), 6.0)),
    Approach("paramedian", Cone((8.0, 20.0), (-35.0, -8.0), 6.0)),
)
_SPINAL_22 = ("spinal-22G",)
_TUOHY = ("tuohy-18G-89", "tuohy-17G-89", "tuohy-14G-102")
_WIDE = (110.0, 35.0, 50.0, 50.0)

_CANAL = (
    ProcedurePlan(
        name="lumbar-puncture", title="lumbar puncture", levels=("space",), first="L2-L3", last="L5-S1",
        target="middle of the dural sac between the laminae; cerebrospinal fluid returns",
        view="prone, antero-posterior or 5 to 15° ipsilateral oblique, down the barrel",
        approaches=_INTRATHECAL, needles=("whitacre-22G", "spinal-22G"), depth_of_canal=True,
        sources=(
            _LP_LEVELS, _OBLIQUE, _FORMULA, _CONUS, _ATRAUMATIC,
            _angles("midline within 4°, oblique 5 to 15°, paramedian 8 to 20°, cranial angles"),
        ),
        notes=("at most 4 attempts, passive drip, below 30 mL (Engelborghs 2017)",),
    ),
    ProcedurePlan(
        name="myelography", title="myelography", levels=("space",), first="L2-L3", last="L4-L5",
        target="middle of the dural sac between the laminae; contrast medium runs off within it",
        view="prone, antero-posterior or 5 to 15° ipsilateral oblique, down the barrel",
        approaches=_INTRATHECAL, needles=("spinal-22G",), depth_of_canal=True,
        sources=(
            _LP_LEVELS, _OBLIQUE, _FORMULA, _CONUS,
            Sourced("intrathecal iohexol: at most 3060 mg I, at most 300 mgI/mL, never 140 or 350; over 1 to 2 min",
                    "Omnipaque insert", True),
            _angles(),
        ),
        notes=("intrathecal iohexol at most 3060 mg I in adults, 180 to 300 mgI/mL, over 1 to 2 min; no steroid",),
    ),
    ProcedurePlan(
        name="interlaminar-epidural", title="interlaminar epidural injection", levels=("space",), last="L5-S1",
        target="epidural space behind the dural sac; dorsal epidural contrast, none intrathecal or vascular",
        view="antero-posterior, paramedian; 45 to 50° contralateral oblique or lateral for the depth",
        approaches=(
            Approach("paramedian", Cone((2.0, 15.0), (-30.0, 5.0), 8.0)),
            Approach("midline", Cone((-4.0, 4.0), (-30.0, 5.0), 3.0), sided=False),
        ),
        needles=(*_TUOHY, "spinal-20G"), confirm=("contralateral oblique", "lateral"), spare=("dura",),
        depth_of_canal=True,
        sources=(
            Sourced("contralateral oblique 45 to 50°, loss of resistance, spinolaminar line", UNVERIFIED, False),
            _FORMULA, _angles(),
        ),
        notes=("loss of resistance tells the space; stop and check the depth 10 mm before the predicted dura",),
    ),
    ProcedurePlan(
        name="epidural-catheter", title="epidural catheter", levels=("space",), last="L5-S1",
        target="epidural space behind the dural sac, the needle pointing headward so that the catheter runs up",
        view="antero-posterior, paramedian from below; lateral for the depth",
        approaches=(Approach("paramedian from below", Cone((4.0, 18.0), (-50.0, -20.0), 8.0)),),
        needles=_TUOHY, confirm=("lateral",), spare=("dura",), instrument="catheter-20G-450", depth_of_canal=True,
        around_mm=(55.0, 25.0, 40.0, 95.0), sources=(_angles(),),
        notes=("never pull a catheter back through the needle",),
    ),
    ProcedurePlan(
        name="stimulator-lead", title="spinal cord stimulator lead", levels=("space",), first="T11-T12", last="L3-L4",
        target="epidural space behind the dural sac, at a shallow angle so that the lead runs up in the midline",
        view="antero-posterior, paramedian from one to two levels below; lateral for the depth",
        approaches=(Approach("shallow paramedian", Cone((3.0, 18.0), (-62.0, -35.0), 8.0)),),
        needles=("tuohy-14G-102",), confirm=("lateral",), spare=("dura",), instrument="lead-8-600",
        around_mm=(55.0, 25.0, 30.0, 110.0),
        sources=(_angles("needle at 30 to 55° to the skin, entry below the space"),),
    ),
    ProcedurePlan(
        name="caudal", title="caudal epidural injection", levels=("sacrum",),
        target="sacral canal above its hiatus, below the end of the dural sac",
        view="lateral to find the hiatus; antero-posterior for the midline",
        approaches=(Approach("through the hiatus", Cone((-8.0, 8.0), (-85.0, -25.0), 6.0, "patient"), sided=False),),
        needles=_SPINAL_22, confirm=("lateral",), spare=("dura",), around_mm=(45.0, 40.0, 50.0, 150.0),
        sources=(
            Sourced("dural sac ends at upper S2 (lower L3 to upper S5)", "Soleiman 2005", True),
            _angles(),
        ),
    ),
)  # fmt: skip

_BESIDE = (
    ProcedurePlan(
        name="transforaminal-subpedicular", title="transforaminal epidural injection, subpedicular", levels=("space",),
        first="L1-L2", last="L5-S1",
        target="safe triangle: below the pedicle's 6 o'clock, above the root; not medial to the pedicle's middle",
        view="oblique until the superior articular process bisects the pedicle; L5 25 to 30° with 11 to 14° tilt",
        approaches=(
            Approach("subpedicular", Cone((18.0, 38.0), (-12.0, 14.0), 10.0, "vertebra"),
                     cone_at={"L5-S1": Cone((20.0, 35.0), (5.0, 20.0), 14.0, "patient"),
                              "L6-S1": Cone((20.0, 35.0), (5.0, 20.0), 14.0, "patient")}),
        ),
        needles=_SPINAL_22, confirm=("lateral",), spare=("nerve_root", "dura"), around_mm=_WIDE,
        sources=(
            Sourced("L5: oblique 25° in men, 30° in women, cephalocaudal tilt 11.0 and 13.9°", "PMID 24690186", True),
            _INFARCT, _angles("other levels 18 to 38°; target in the foramen"),
        ),
        notes=("live contrast or DSA before anything else, and no particulate steroid",),
    ),
    ProcedurePlan(
        name="transforaminal-kambin", title="transforaminal epidural injection, Kambin's triangle", levels=("space",),
        first="L1-L2", last="L5-S1",
        target="Kambin's triangle: behind and beside the disc, before and lateral to the superior articular process",
        view="oblique, lateral to the superior articular process at disc level",
        approaches=(Approach("Kambin", Cone((30.0, 55.0), (-10.0, 15.0), 12.0)),),
        needles=_SPINAL_22, confirm=("lateral",), spare=("nerve_root", "dura", "disc"), around_mm=_WIDE,
        sources=(
            Sourced("nerve pricks 0 and 5 of 42 (subpedicular), equal relief", "Park 2011, ARM 35:833", True),
            _INFARCT, _angles(),
        ),
        notes=("the disc lies next to the target: contrast in the disc means too deep",
               "live contrast or DSA before anything else, and no particulate steroid"),
    ),
    ProcedurePlan(
        name="discography", title="discography, disc biopsy", levels=("space",), last="L5-S1",
        target="middle third of the disc in the antero-posterior and in the lateral view",
        view="oblique about 45°, superior articular process at mid-disc, endplates parallel",
        approaches=(Approach("oblique extrapedicular", Cone((35.0, 60.0), (-8.0, 8.0), 6.0),
                             cone_at={"L5-S1": Cone((30.0, 55.0), (-5.0, 30.0), 6.0)}),),
        needles=_SPINAL_22, confirm=("lateral",), spare=("nerve_root", "dura"), around_mm=(125.0, 45.0, 50.0, 50.0),
        sources=(_angles("oblique 45°, endplates parallel"),),
    ),
    ProcedurePlan(
        name="sympathetic-block", title="lumbar sympathetic block", levels=("bone",), first="L1", last="L5",
        target="front side of the vertebral body, before the psoas",
        view="oblique 25 to 35° until the transverse process is out of the way; lateral: front edge of the body",
        approaches=(Approach("paravertebral", Cone((15.0, 42.0), (-12.0, 12.0), 12.0, "vertebra")),),
        needles=_SPINAL_22, confirm=("lateral",), spare=("nerve_root", "dura", "disc"),
        around_mm=(120.0, 50.0, 50.0, 50.0),
        sources=(_angles("L2 to L4, oblique 25 to 35°"),),
        notes=("aorta and vena cava lie next to the target: aspirate, then live contrast",),
    ),
)  # fmt: skip

_JOINTS = (
    ProcedurePlan(
        name="facet-joint", title="facet joint injection", levels=("space",), last="L5-S1",
        target="mouth of the facet joint; joint arthrogram",
        view="oblique 30 to 45° until the joint opens",
        approaches=(Approach("oblique", Cone((20.0, 45.0), (-25.0, 15.0), 15.0)),),
        needles=("spinal-22G-90", "spinal-22G"), confirm=("lateral",), spare=("nerve_root", "dura"),
        around_mm=(90.0, 15.0, 50.0, 60.0),
        sources=(
            Sourced("22G 90 mm, 0.2 to 0.5 mL contrast", "neurosurgerynotes facet", True), _angles("oblique 30 to 45°"),
        ),
    ),
    ProcedurePlan(
        name="medial-branch", title="medial branch block", levels=("bone",), first="T12", last="L6",
        target="junction of superior articular and transverse process of the vertebra below the nerve's name",
        view="superior endplate aligned, ipsilateral oblique (Scotty dog's eye)",
        approaches=(Approach("oblique", Cone((10.0, 35.0), (-15.0, 15.0), 8.0, "vertebra"),
                             cone_at={"S1": Cone((0.0, 20.0), (-15.0, 20.0), 10.0, "patient")}),),
        needles=_SPINAL_22, confirm=("lateral",), spare=("nerve_root", "dura"), around_mm=(95.0, 20.0, 60.0, 90.0),
        sources=(
            Sourced("the Ln medial branch lies at the articular-transverse junction of L(n+1); 0.4 to 0.5 mL",
                    "musculoskeletalkey MBB", True),
            Sourced("L5 dorsal ramus at the sacral ala", UNVERIFIED, False), _angles("oblique 10 to 35°"),
        ),
        notes=("wrong-level hazard: the level's word is the nerve, the bone aimed at is told",
               "the target lies a needle's breadth off the bone: advance to bone contact"),
    ),
    ProcedurePlan(
        name="sacroiliac", title="sacroiliac joint injection", levels=("sacrum",),
        target="lowest 1 to 2 cm of the joint, from behind",
        view="contralateral 5 to 20° until front and back lines of the joint overlap",
        approaches=(Approach("inferior", Cone((-25.0, 5.0), (-30.0, 25.0), 12.0, "patient")),),
        needles=_SPINAL_22, confirm=("lateral",), around_mm=(95.0, 40.0, 40.0, 120.0),
        sources=(_angles("contralateral 5 to 20°, lowest 1 to 2 cm"),),
    ),
)  # fmt: skip

_BONES = (
    ProcedurePlan(
        name="vertebral-biopsy", title="vertebral biopsy, transpedicular", levels=("bone",), first="T9", last="L6",
        target="middle of the vertebral body",
        view="en face of the pedicle, down the barrel",
        approaches=(Approach("transpedicular", Cone((2.0, 32.0), (-15.0, 20.0), 10.0, "vertebra")),),
        needles=("trocar-13G-125", "trocar-11G-125"), confirm=("lateral",), spare=("nerve_root", "dura"),
        into_bone=True, around_mm=(75.0, 35.0, 60.0, 60.0),
        sources=(_angles("11 to 13G, medial wall not crossed before the back of the body"),),
    ),
    ProcedurePlan(
        name="vertebroplasty", title="vertebroplasty, transpedicular", levels=("bone",), first="T9", last="L6",
        target="front third of the vertebral body, at or near the midline",
        view="en face of the pedicle, down the barrel",
        approaches=(Approach("transpedicular", Cone((2.0, 32.0), (-15.0, 20.0), 10.0, "vertebra")),),
        needles=("trocar-13G-125", "trocar-11G-125"), confirm=("lateral",), spare=("nerve_root", "dura"),
        into_bone=True, around_mm=(75.0, 35.0, 60.0, 60.0),
        sources=(_angles("11 to 13G, medial wall not crossed before the back of the body, front third"),),
        notes=("the medial wall of the pedicle is not crossed before the tip has passed the back of the body",),
    ),
)  # fmt: skip

PROCEDURES: Mapping[str, ProcedurePlan] = MappingProxyType(
    {one.name: one for one in (*_CANAL, *_BESIDE, *_JOINTS, *_BONES)}
)
"""By name, in the order they are listed."""


def procedure_plan(name: str) -> ProcedurePlan:
    """Return a procedure by name; ValueError naming those there are."""
    found = PROCEDURES.get(name.strip().lower().replace("_", "-"))
    if found is None:
        raise ValueError(f"procedure {name!r}: no such procedure; choose one of {', '.join(PROCEDURES)}")
    return found
