"""The spine put together: vertebra frames from T11 to the sacrum's endplate, discs, facet joints, canal, landmarks."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from fluoroscope.geometry.rigid import rotation, translation
from fluoroscope.patient.anatomy.bone import Bone, Canal
from fluoroscope.patient.anatomy.distances import JOINT
from fluoroscope.patient.anatomy.morphometry import (
    DiscMorphometry,
    SpineMorphometry,
    disc_wedge_deg,
    levels_of,
    sample_morphometry,
)
from fluoroscope.patient.anatomy.parameters import PatientParameters
from fluoroscope.patient.anatomy.solids import shape_row
from fluoroscope.patient.anatomy.structures import structure
from fluoroscope.patient.anatomy.vertebra import (
    FacetPlace,
    VertebraMorphometry,
    back_wall_mm,
    facets_below,
    scale_of,
    shape_numbers,
    vertebra_solids,
)
from fluoroscope.patient.parts import REST, DiscJoint, Landmark

__all__ = ["Spine", "assemble_spine", "joint_shape", "make_spine", "sacral_joint", "vertebra_bone"]

FACET_GAP_MM, TIP_GAP_MM = 2.0, 4.6
"""Between the two bones of a facet joint (1.5-2.5 mm with both cartilages), and beyond the tips of the processes.

The tips move by 28 mm times half the range of bending and its margin, 6.4°: 3.1 mm.
"""


@dataclass(frozen=True, slots=True)
class FacetJoint:
    """The pair of facet joints at a disc.

    Attributes
    ----------
    world_from_joint
        (4, 4): origin on the axis of bending, in the back and lower part of the disc; axes those of the disc.
    half_distance_mm, radius_mm
        From the midline to a joint's middle; from the axis of bending back to it.
    left_deg, right_deg
        Angle to the sagittal plane.
    top_mm, bottom_mm
        Height of the tips of the lower vertebra's upper and the upper vertebra's lower processes.
    """

    world_from_joint: NDArray[np.float64]
    half_distance_mm: float
    radius_mm: float
    left_deg: float
    right_deg: float
    top_mm: float
    bottom_mm: float


@dataclass(frozen=True, slots=True)
class Spine:
    """T11 to the lowest lumbar vertebra, and the endplate of the sacrum, at rest.

    Attributes
    ----------
    levels
        "T11" … from the head down.
    frames
        ``world_from_vertebra`` (4, 4) by "vertebrae_L3" …, and "sacrum" (origin mid S1 endplate, z its normal).
    joints, canal, landmarks
        As in `Skeleton`.
    vertebrae
        Dimensions by level.
    facet_joints
        By the disc's name, "L3_L4" … "L5_S1".
    facts
        lordosis_deg, pelvic_incidence_deg, pelvic_tilt_deg, sacral_slope_deg, height_cm, disc heights.
    """

    levels: tuple[str, ...]
    frames: dict[str, NDArray[np.float64]]
    joints: tuple[DiscJoint, ...]
    canal: Canal
    landmarks: dict[str, Landmark]
    vertebrae: dict[str, VertebraMorphometry]
    facet_joints: dict[str, FacetJoint]
    facts: dict[str, object] = field(default_factory=dict)


def make_spine(parameters: PatientParameters) -> Spine:
    """Draw a spine and put it together."""
    slips = {one.level: 0.01 * (25.0 * one.amount - 10.0) for one in parameters.pathologies if one.kind == "listhesis"}
    return assemble_spine(
        sample_morphometry(parameters),
        cobb_deg=parameters.scoliosis_cobb_deg,
        apex=parameters.scoliosis_apex,
        slips=slips,
        levels=levels_of(parameters),
    )


def assemble_spine(
    morphometry: SpineMorphometry,
    *,
    levels: tuple[str, ...],
    cobb_deg: float = 0.0,
    apex: str = "L2",
    slips: dict[str, float] | None = None,
) -> Spine:
    """Put a spine of given dimensions together, L3 at the origin.

    Parameters
    ----------
    morphometry
        Dimensions.
    levels
        From T11 down.
    cobb_deg, apex
        Scoliosis, convex to the left when positive.
    slips
        Share of the lower endplate's depth a vertebra has slipped forward, by level (Meyerding I is up to 0.25).
    """
    vertebrae, discs = morphometry.vertebrae, morphometry.discs
    frames, middles = _frames(morphometry, levels, cobb_deg, apex, slips or {})
    joints, facets = [], {}
    for n, level in enumerate(levels):
        lower = levels[n + 1] if n + 1 < len(levels) else "S1"
        name, m, disc = f"{level}_{lower}", vertebrae[level], discs[level]
        below = vertebrae[lower].upper_depth_mm if lower in vertebrae else m.lower_depth_mm
        joints.append(
            DiscJoint(
                name,
                f"vertebrae_{level}",
                f"vertebrae_{lower}" if lower in vertebrae else "sacrum",
                middles[n],
                m.lower_width_mm,
                0.5 * (m.lower_depth_mm + below),
                disc.anterior_mm,
                disc.posterior_mm,
                disc.degeneration,
            )
        )
        facets[name] = _facet_joint(level, m, middles[n], frames[f"vertebrae_{level}"], disc)
    landmarks = _landmarks(levels, vertebrae, frames, facets)
    facts: dict[str, object] = {
        "height_cm": morphometry.height_cm,
        "lordosis_deg": morphometry.lordosis_deg,
        "pelvic_incidence_deg": morphometry.pelvic_incidence_deg,
        "sacral_slope_deg": morphometry.sacral_slope_deg,
        "pelvic_tilt_deg": morphometry.pelvic_incidence_deg - morphometry.sacral_slope_deg,
        "disc_anterior_mm": {joint.name: joint.anterior_mm for joint in joints},
        "disc_posterior_mm": {joint.name: joint.posterior_mm for joint in joints},
    }
    return Spine(
        levels, frames, tuple(joints), _canal(levels, vertebrae, frames), landmarks, dict(vertebrae), facets, facts
    )


def vertebra_bone(level: str, spine: Spine) -> Bone:
    """Return a vertebra of the spine as a bone."""
    name = f"vertebrae_{level}"
    frame = spine.frames[name]
    n = spine.levels.index(level)
    lower = spine.levels[n + 1] if n + 1 < len(spine.levels) else "S1"
    below = spine.facet_joints[f"{level}_{lower}"]
    cuts = [joint_shape(below, frame, upper=True)]
    above = None
    if n > 0:
        joint = spine.facet_joints[f"{spine.levels[n - 1]}_{level}"]
        above = _place(joint, frame)
        cuts.append(joint_shape(joint, frame, upper=False))
    solids = vertebra_solids(
        spine.vertebrae[level],
        shape_numbers()[level],
        above=above,
        below=_place(below, frame),
        joints=tuple(cuts),
        world_from_vertebra=frame,
        label=structure(name).label,
    )
    return Bone(name, solids, name)


def _place(joint: FacetJoint, world_from_vertebra: NDArray[np.float64]) -> FacetPlace:
    """Return a pair of joints as a vertebra sees it."""
    middle = np.linalg.inv(world_from_vertebra) @ joint.world_from_joint @ np.array([0.0, joint.radius_mm, 0.0, 1.0])
    return FacetPlace(joint.half_distance_mm, float(middle[1]), joint.left_deg, joint.right_deg, 0.5 * FACET_GAP_MM)


def sacral_joint(spine: Spine, world_from_solid: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the hole (24,) that keeps a solid of the sacrum apart from the lowest vertebra's processes."""
    return joint_shape(spine.facet_joints[spine.joints[-1].name], world_from_solid, upper=False)


def joint_shape(joint: FacetJoint, world_from_solid: NDArray[np.float64], *, upper: bool) -> NDArray[np.float64]:
    """Return the hole (24,) that keeps a solid, the ``upper`` or the lower one, on its side of a joint."""
    place = np.linalg.inv(joint.world_from_joint) @ world_from_solid
    center = np.linalg.inv(place)[:3, 3]
    left, right = np.radians([joint.left_deg, joint.right_deg])
    numbers = [*center, *place[:3, :3].ravel(), joint.half_distance_mm, joint.radius_mm, np.cos(left), np.sin(left)]
    top, bottom = (
        (joint.top_mm, joint.bottom_mm) if upper else (joint.top_mm - TIP_GAP_MM, joint.bottom_mm - TIP_GAP_MM)
    )
    half = 0.5 * FACET_GAP_MM
    return shape_row(JOINT, [*numbers, np.cos(right), np.sin(right), top, bottom, -half if upper else half])


def _tilts(levels: tuple[str, ...], cobb_deg: float, apex: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return side tilt and turn (deg) of each level and the sacrum: a smooth curve about the apex, level at S1."""
    at = np.arange(len(levels) + 1, dtype=np.float64)
    distance = at - levels.index(apex)
    below = len(levels) - levels.index(apex)
    tilt = 0.5 * cobb_deg * np.sin(np.clip(distance / 2.5, -1.0, 1.0) * np.pi / 2)
    # The curve is taken back toward the sacrum, which stays level.
    tilt = np.where(distance > 0, tilt * np.cos(np.clip(distance / below, 0.0, 1.0) ** 3 * np.pi / 2), tilt)
    # Vertebrae turn toward the convex side by about half the Cobb angle at the apex.
    turn = 0.45 * cobb_deg * np.exp(-0.5 * (distance / 1.8) ** 2)
    turn[-1] = 0.0
    return tilt, turn


def _turn(lean_deg: float, tilt_deg: float, turn_deg: float) -> NDArray[np.float64]:
    """Return (4, 4): leans to the back, tilts to the side, turns about its own axis."""
    return (
        rotation((1.0, 0.0, 0.0), -lean_deg) @ rotation((0.0, 1.0, 0.0), tilt_deg) @ rotation((0.0, 0.0, 1.0), turn_deg)
    )


def _frames(
    morphometry: SpineMorphometry, levels: tuple[str, ...], cobb_deg: float, apex: str, slips: dict[str, float]
) -> tuple[dict[str, NDArray[np.float64]], list[NDArray[np.float64]]]:
    """Return the frames by name and those of the discs, stacked from the sacrum up."""
    tilts, turns = _tilts(levels, cobb_deg, apex)
    # An endplate's slope and the lean of its frame are one: the S1 endplate slopes down to the front.
    lean = -morphometry.sacral_slope_deg
    sacrum = _turn(lean, 0.0, 0.0)
    frames = {"sacrum": sacrum}
    middles: list[NDArray[np.float64]] = []
    lower, depth_below = sacrum, morphometry.vertebrae[levels[-1]].lower_depth_mm
    for n in range(len(levels) - 1, -1, -1):
        level = levels[n]
        m, disc = morphometry.vertebrae[level], morphometry.discs[level]
        deep = 0.5 * (m.lower_depth_mm + depth_below)
        opening = disc_wedge_deg(disc.anterior_mm, disc.posterior_mm, deep)
        height = 0.5 * (disc.anterior_mm + disc.posterior_mm)
        middle_lean = lean + 0.5 * opening
        lean_low = lean + opening
        body_lean = lean_low + 0.5 * m.wedge_deg
        middle = _turn(middle_lean, 0.5 * (tilts[n] + tilts[n + 1]), 0.5 * (turns[n] + turns[n + 1]))
        middle[:3, 3] = lower[:3, 3] + middle[:3, :3] @ [0.0, 0.0, 0.5 * height]
        middles.insert(0, middle)
        slip = -slips.get(level, 0.0) * deep
        under = middle[:3, 3] + middle[:3, :3] @ np.array([0.0, slip, 0.5 * height])
        body = _turn(body_lean, float(tilts[n]), float(turns[n]))
        body[:3, 3] = under + body[:3, :3] @ [0.0, 0.0, 0.5 * m.height_mm]
        frames[f"vertebrae_{level}"] = body
        lean = body_lean + 0.5 * m.wedge_deg
        lower = _turn(lean, float(tilts[n]), float(turns[n]))
        lower[:3, 3] = body[:3, 3] + body[:3, :3] @ [0.0, 0.0, 0.5 * m.height_mm]
        depth_below = m.upper_depth_mm
    shift = translation(-frames["vertebrae_L3"][:3, 3])
    ordered = [f"vertebrae_{level}" for level in levels] + ["sacrum"]
    return {name: shift @ frames[name] for name in ordered}, [shift @ middle for middle in middles]


def _facet_joint(
    level: str, m: VertebraMorphometry, middle: NDArray[np.float64], frame: NDArray[np.float64], disc: DiscMorphometry
) -> FacetJoint:
    shape, s = shape_numbers()[level], scale_of(m)
    axis = middle @ translation(np.array([0.0, 0.2 * m.lower_depth_mm, -0.15 * disc.posterior_mm]))
    # The joint's middle: on the outer, front face of the lower process, found in the vertebra and carried over.
    own = facets_below(m, shape)
    place = np.linalg.inv(axis) @ frame @ np.array([0.0, own.y_mm, -0.5 * m.height_mm - 6.0, 1.0])
    radius = float(np.hypot(place[1], place[2]))
    top, bottom = shape["joint_top"] * s, -shape["joint_bottom"] * s
    # The face met in the vertebra's axial plane is a little more sagittal than the joint in its own frame.
    left, right = (angle + shape["facet_turn"] for angle in (m.facet_left_deg, m.facet_right_deg))
    return FacetJoint(axis, own.x_mm, radius, left, right, top, bottom)


def _canal(
    levels: tuple[str, ...], vertebrae: dict[str, VertebraMorphometry], frames: dict[str, NDArray[np.float64]]
) -> Canal:
    """Return the canal: its middle at each vertebra joined by straight lines, on through the sacrum to S3."""
    points, widths, depths = [], [], []
    for level in levels:
        m = vertebrae[level]
        y = back_wall_mm(m, shape_numbers()[level]) + 0.5 * m.canal_depth_mm
        for z in (0.5, -0.5):
            points.append((frames[f"vertebrae_{level}"] @ np.array([0.0, y, z * 0.8 * m.height_mm, 1.0]))[:3])
            widths.append(0.5 * m.canal_width_mm)
            depths.append(0.5 * m.canal_depth_mm)
    last = vertebrae[levels[-1]]
    half = 0.5 * last.lower_depth_mm
    for y, z, width, depth in ((9.0, -6.0, 14.5, 7.0), (5.5, -32.0, 12.0, 6.0), (4.0, -58.0, 9.0, 4.5)):
        points.append((frames["sacrum"] @ np.array([0.0, half + y, z, 1.0]))[:3])
        widths.append(width * scale_of(last) / 1.1)
        depths.append(depth * scale_of(last) / 1.1)
    line = np.array(points)
    along = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(line, axis=0), axis=1))])
    steps = np.linspace(0.0, along[-1], int(np.ceil(along[-1] / 5.0)) + 1)
    centers = np.stack([np.interp(steps, along, line[:, axis]) for axis in range(3)], axis=1)
    return Canal(centers, np.interp(steps, along, widths), np.interp(steps, along, depths))


def _points(m: VertebraMorphometry, level: str) -> dict[str, tuple[float, float, float]]:
    """Return a vertebra's landmarks in its own frame."""
    shape, s, h = shape_numbers()[level], scale_of(m), 0.5 * m.height_mm
    wall = back_wall_mm(m, shape)
    back = wall + m.canal_depth_mm
    points = {"body_center": (0.0, 0.0, 0.0)}
    for name, sign, width, depth in (
        ("superior", 1.0, m.upper_width_mm, m.upper_depth_mm),
        ("inferior", -1.0, m.lower_width_mm, m.lower_depth_mm),
    ):
        points[f"{name}_endplate_anterior"] = (0.0, -0.5 * depth, sign * 0.5 * m.height_anterior_mm)
        points[f"{name}_endplate_posterior"] = (0.0, 0.5 * depth, sign * 0.5 * m.height_posterior_mm)
        points[f"{name}_endplate_left"] = (0.5 * width, 0.1 * depth, sign * h)
        points[f"{name}_endplate_right"] = (-0.5 * width, 0.1 * depth, sign * h)
    points["spinous_tip"] = (0.0, back + m.spinous_length_mm, shape["spinous_tip_z"] * s)
    for side, sign in (("left", 1.0), ("right", -1.0)):
        middle = 0.5 * (m.canal_width_mm + m.pedicle_width_mm)
        points[f"pedicle_{side}"] = (sign * middle, wall + 4.0 * s, shape["pedicle_z"] * h)
        points[f"transverse_{side}"] = (
            sign * 0.5 * m.transverse_span_mm,
            wall + shape["tp_tip_y"] * s,
            shape["tp_tip_z"] * s,
        )
        points[f"lamina_{side}"] = (sign * 0.3 * m.canal_width_mm, back + 3.0 * s, shape["lamina_mid_z"] * s)
        low = shape["pedicle_z"] * h - 0.5 * m.pedicle_height_mm
        points[f"foramen_{side}"] = (sign * middle, wall + 4.0 * s, low - 6.0 * s)
    return points


def _landmarks(
    levels: tuple[str, ...],
    vertebrae: dict[str, VertebraMorphometry],
    frames: dict[str, NDArray[np.float64]],
    facets: dict[str, FacetJoint],
) -> dict[str, Landmark]:
    found: dict[str, Landmark] = {}

    def add(name: str, point: NDArray[np.float64], frame: str) -> None:
        found[name] = Landmark(name, (float(point[0]), float(point[1]), float(point[2])), frame)

    for n, level in enumerate(levels):
        carrier = f"vertebrae_{level}"
        for what, place in _points(vertebrae[level], level).items():
            add(f"{level}/{what}", frames[carrier] @ np.array([*place, 1.0]), carrier)
        lower = levels[n + 1] if n + 1 < len(levels) else "S1"
        joint = facets[f"{level}_{lower}"]
        for side, sign in (("left", 1.0), ("right", -1.0)):
            middle = np.array([sign * joint.half_distance_mm, joint.radius_mm, 0.0, 1.0])
            add(f"{level}/facet_{side}", joint.world_from_joint @ middle, carrier)
    m = vertebrae[levels[-1]]
    half = 0.5 * m.lower_depth_mm
    for what, place in (("promontory", (0.0, -half, 0.0)), ("endplate_posterior", (0.0, half, 0.0))):
        add(f"sacrum/{what}", frames["sacrum"] @ np.array([*place, 1.0]), REST)
    return found
