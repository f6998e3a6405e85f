"""Draw the pictures of the conventions page from the program's own geometry.

Run from the root of the repository: ``python docs/pictures/make_geometry.py``. Every line is placed by the
kinematics, table and projection code, so a picture cannot show another sign than the program has.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Polygon
from scipy.spatial import ConvexHull

from fluoroscope.geometry import (
    C_ARMS,
    CArmModel,
    CArmPose,
    DetectorGrid,
    PatientPosition,
    TablePose,
    apply,
    beam_axes,
    edge_markers,
    equipment_from_table,
    inverse,
    patient_axes,
    patient_from_equipment,
    positioner_angles,
    project_points,
    projection_geometry,
    rotation,
    view_text,
)
from fluoroscope.geometry.mounting import SideStanding

OUT = Path(__file__).parent / "geometry"
INK, GREY, PALE, SKIN, BLUE, RED = "#1b1f24", "#8a939c", "#c9ced4", "#ecdccd", "#0b6fb8", "#c2410c"
WHITE = {"facecolor": "white", "edgecolor": "none", "pad": 1.5}
HFS = PatientPosition.HFS
Array = np.ndarray

# Views: 2×3 matrices from the equipment frame (y down) to the page (right, up).
FROM_FEET = np.array([[1.0, 0, 0], [0, -1, 0]])
FROM_SIDE = np.array([[0, 0, 1.0], [0, -1, 0]])
FROM_ABOVE = np.array([[1.0, 0, 0], [0, 0, 1]])
_A, _E = np.deg2rad(35.0), np.deg2rad(25.0)  # the eye stands 35° from the foot end toward +x, 25° above
OBLIQUE = np.array([[np.cos(_A), 0, np.sin(_A)], [-np.sin(_A) * np.sin(_E), -np.cos(_E), np.cos(_A) * np.sin(_E)]])


def ellipsoid(center: Array, radii: Array) -> Array:
    """Return points on an ellipsoid, (n, 3)."""
    a, b = np.meshgrid(np.linspace(0, 2 * np.pi, 25), np.linspace(0, np.pi, 13))
    unit = np.stack([np.cos(a) * np.sin(b), np.sin(a) * np.sin(b), np.cos(b)], axis=-1).reshape(-1, 3)
    return np.asarray(center) + unit * np.asarray(radii)


def tube(x: float, y: float, rx: float, ry: float, low: float, high: float) -> Array:
    """Return the rims of an elliptic tube along z, (n, 3)."""
    a = np.linspace(0, 2 * np.pi, 40)
    rim = np.stack([x + rx * np.cos(a), y + ry * np.sin(a), np.zeros_like(a)], axis=-1)
    return np.concatenate([np.add(rim, (0, 0, low)), np.add(rim, (0, 0, high))])


BODY = [
    tube(-85, 15, 72, 70, -800, -240),
    tube(85, 15, 72, 70, -800, -240),
    tube(-215, 15, 38, 42, -220, 215),
    tube(215, 15, 38, 42, -220, 215),
    tube(0, 0, 170, 105, -260, 250),
    ellipsoid((0, 5, 375), (82, 98, 118)),
    ellipsoid((0, -100, 365), (17, 24, 22)),
]
BODY_POINTS = np.concatenate(BODY)


def hull(ax: Axes, flat: Array, **style: object) -> None:
    """Fill the outline of points on the page."""
    ax.add_patch(Polygon(flat[ConvexHull(flat).vertices], closed=True, **style))


def line(ax: Axes, view: Array, points: Array, **style: object) -> None:
    """Draw a line through points of the equipment frame."""
    flat = np.asarray(points) @ view.T
    ax.plot(flat[:, 0], flat[:, 1], solid_capstyle="round", **style)


def arrow(ax: Axes, flat: Array, color: str, text: str = "", offset: tuple[float, float] = (0, 0)) -> None:
    """Draw a path on the page that ends in an arrow head, and a word at its end."""
    ax.plot(flat[:, 0], flat[:, 1], color=color, lw=2.2)
    ax.annotate(
        "", flat[-1], flat[-2] if len(flat) > 2 else flat[0],
        arrowprops={"arrowstyle": "-|>,head_width=0.35,head_length=0.7", "color": color, "lw": 2.2},
    )  # fmt: skip
    if text:
        ax.annotate(
            text,
            flat[-1] + np.array(offset),
            color=color,
            fontsize=12,
            ha="center",
            va="center",
            weight="bold",
        )


def draw_table(
    ax: Axes,
    view: Array,
    matrix: Array,
    top_mm: float,
    color: str,
    fill: str,
    ends: tuple[float, float] = (-850, 560),
) -> None:
    """Draw the table top as a slab, moved by ``matrix``."""
    slab = np.array([(x, y, z) for x in (-260, 260) for y in (top_mm, top_mm + 35) for z in ends], dtype=float)
    hull(ax, apply(matrix, slab) @ view.T, facecolor=fill, edgecolor=color, lw=1.1)


def draw_patient(ax: Axes, view: Array, equipment_from_patient: Array, color: str = INK, fill: str = SKIN) -> None:
    """Draw the patient as outlines, the letter L on the left arm."""
    depth = np.cross(view[0], view[1])
    parts = sorted(BODY, key=lambda part: float(apply(equipment_from_patient, part.mean(axis=0)) @ depth))
    for part in parts:
        hull(ax, apply(equipment_from_patient, part) @ view.T, facecolor=fill, edgecolor=color, lw=0.9)
    arms = {letter: apply(equipment_from_patient, (x, 15.0, 0.0)) for letter, x in (("R", -215.0), ("L", 215.0))}
    hidden = min(arms, key=lambda letter: float(arms[letter] @ depth))
    overlapping = np.hypot(*(view @ (arms["L"] - arms["R"]))) < 80
    for letter, place in arms.items():
        if not (overlapping and letter == hidden):
            ax.annotate(letter, place @ view.T, color=color, fontsize=9, ha="center", va="center", weight="bold")


def c_frame(model: CArmModel, joints: Mapping[str, float]) -> tuple[Array, Array, Array, Array]:
    """Return (source, detector corners, C arc, isocentre) in the equipment frame."""
    pose = model.pose(joints)
    axes = beam_axes(pose)
    center = np.array(pose.isocenter_mm)
    source = center - pose.source_to_isocenter_mm * axes.d
    middle = center + (pose.source_to_detector_mm - pose.source_to_isocenter_mm) * axes.d
    half = model.detector.columns * model.detector.pitch_mm / 2
    corners = np.array(
        [middle + a * half * axes.u + b * half * axes.v for a, b in ((-1, -1), (1, -1), (1, 1), (-1, 1))]
    )
    back = -axes.u if isinstance(model.mounting, SideStanding) else -axes.v
    radius = model.source_to_isocenter_mm + 60
    a = np.deg2rad(np.linspace(-90, 90, 61))
    arc = center + radius * (np.cos(a)[:, None] * back + np.sin(a)[:, None] * axes.d)
    return source, corners, np.vstack([source, arc, middle]), center


def draw_stand(ax: Axes, view: Array, model: CArmModel, joints: Mapping[str, float], color: str) -> None:
    """Draw what holds the C: column and cross-arm, or ceiling carriage and L-arm."""
    value = {**model.rest, **joints}
    center = np.array(model.pose(joints).isocenter_mm)
    radius = model.source_to_isocenter_mm + 60
    if isinstance(model.mounting, SideStanding):
        swing = rotation((0, 1, 0), value["wig_wag"])[:3, :3]
        column = center - swing @ np.array([model.mounting.column_to_isocenter_mm + value["lateral"], 0, 0])
        holder = center - swing @ np.array([radius, 0, 0])
        foot = np.array([column[0], 900.0, column[2]])
        line(ax, view, [foot, column, holder], color=color, lw=5, alpha=0.55)
        line(ax, view, [np.add(foot, (0, 0, -200)), np.add(foot, (0, 0, 200))], color=color, lw=4, alpha=0.55)
        line(ax, view, [np.add(foot, (-90, 0, 0)), np.add(foot, (350, 0, 0))], color=color, lw=4, alpha=0.55)
        return
    swing = rotation((0, 1, 0), value["swivel"])[:3, :3]
    behind = swing @ np.array([0, 0, 1.0])
    top = np.add(center, (0, -1150, 0))
    path = [np.add(top, (0, -150, 0)), top, top + behind * (radius + 170), center + behind * (radius + 170)]
    line(ax, view, [*path, center + behind * radius], color=color, lw=5, alpha=0.55)
    line(ax, view, [np.add(top, (-250, -150, 0)), np.add(top, (250, -150, 0))], color=color, lw=3, alpha=0.55)


def draw_c(ax: Axes, view: Array, model: CArmModel, joints: Mapping[str, float], color: str, lw: float) -> None:
    """Draw the C, its source (dot) and detector (plate), and the central ray."""
    source, corners, arc, _ = c_frame(model, joints)
    draw_stand(ax, view, model, joints, color)
    line(ax, view, arc, color=color, lw=lw)
    line(ax, view, [source, corners.mean(axis=0)], color=color, lw=0.9, ls=(0, (5, 3)))
    plate = np.concatenate([corners, corners + 45 * beam_axes(model.pose(joints)).d])
    hull(ax, plate @ view.T, facecolor="white", edgecolor=color, lw=lw * 0.7)
    ax.plot(*(source @ view.T), "o", color=color, ms=lw * 3.2)


def path_of(model: CArmModel, name: str, value: float, point: Callable[[dict[str, float]], Array]) -> Array:
    """Return the way ``point`` goes while joint ``name`` runs from rest to ``value``, (n, 3)."""
    start = model.joint(name).rest
    return np.array([point({name: v}) for v in np.linspace(start, value, 41)])


@dataclass(frozen=True)
class Axis:
    """One picture: a joint, how far it is shown, and the view that shows it best."""

    model: str
    joint: str
    value: float
    view: Array
    seen: str
    said: str
    what: str = "detector"
    shift: tuple[float, float] = (0.0, 0.0)


AXES = [
    Axis("mobile-flat-panel", "orbital", 40, FROM_FEET, "seen from the feet end", "+ : detector toward +x"),
    Axis(
        "mobile-flat-panel",
        "tilt",
        30,
        FROM_SIDE,
        "seen from the +x side",
        "+ : detector toward the head end",
    ),
    Axis("mobile-flat-panel", "height", 200, FROM_FEET, "seen from the feet end", "+ : up"),
    Axis("mobile-flat-panel", "lateral", 110, FROM_FEET, "seen from the feet end", "+ : toward +x, farther in"),
    Axis(
        "mobile-flat-panel",
        "longitudinal",
        300,
        FROM_ABOVE,
        "seen from the ceiling",
        "+ : toward the head end",
    ),
    Axis("mobile-flat-panel", "wig_wag", 10, FROM_ABOVE, "seen from the ceiling", "+ : clockwise"),
    Axis("angiography-room", "rotation", 40, FROM_FEET, "seen from the feet end", "+ : detector toward +x"),
    Axis(
        "angiography-room",
        "angulation",
        30,
        FROM_SIDE,
        "seen from the +x side",
        "+ : detector toward the head end",
    ),
    Axis("angiography-room", "lateral", 250, FROM_FEET, "seen from the feet end", "+ : toward +x"),
    Axis("angiography-room", "longitudinal", 350, FROM_SIDE, "seen from the +x side", "+ : toward the head end"),
    Axis("angiography-room", "swivel", 40, FROM_ABOVE, "seen from the ceiling", "+ : clockwise"),
    Axis("angiography-room", "source_to_detector", 900, FROM_SIDE, "seen from the +x side", "900 to 1200 mm"),
]


def traced_point(axis: Axis, model: CArmModel) -> Callable[[dict[str, float]], Array]:
    """Return the point whose way shows the movement best."""
    if axis.joint == "swivel":  # the detector stays put on this axis: show the back of the C
        return lambda joints: c_frame(model, joints)[2][31]
    if axis.joint in ("wig_wag", "longitudinal", "lateral", "height"):
        return lambda joints: c_frame(model, joints)[3]
    return lambda joints: c_frame(model, joints)[1].mean(axis=0)


def compass(ax: Axes, view: Array, at: tuple[float, float]) -> None:
    """Draw the equipment frame's axes as they lie on the page."""
    for name, direction in zip(("x", "y", "z"), np.eye(3), strict=True):
        flat = view @ direction
        if np.hypot(*flat) < 0.2:
            continue
        origin = np.array(at)
        ax.annotate("", origin + 170 * flat, origin, arrowprops={"arrowstyle": "-|>", "color": INK, "lw": 1.2})
        ax.annotate(name, origin + 225 * flat, fontsize=9, ha="center", va="center", color=INK)


def frame_axes(ax: Axes, left: float, right: float, low: float, high: float, title: str) -> None:
    """Give the panel its limits and title, no ticks."""
    ax.set(xlim=(left, right), ylim=(low, high), aspect="equal")
    ax.axis("off")
    ax.set_title(title, fontsize=10, color=INK)


def draw_axis(axis: Axis) -> None:
    """Write the picture of one C-arm axis: at rest grey, moved blue."""
    model = C_ARMS[axis.model]
    joint = model.joint(axis.joint)
    figure = Figure(figsize=(8.4, 4.3), dpi=100)
    panels = figure.subplots(1, 2)
    reach = path_of(model, axis.joint, axis.value, traced_point(axis, model))
    for ax, view, seen in (
        (panels[0], axis.view, axis.seen),
        (panels[1], OBLIQUE, "from the foot end, +x side, above"),
    ):
        draw_scene(ax, view, model, axis)
        flat = reach @ view.T
        if np.hypot(*(flat[-1] - flat[0])) > 30:
            arrow(ax, flat, RED)
        mobile = isinstance(model.mounting, SideStanding)
        limits = (-1180, 900, -960, 830) if mobile else (-1080, 1400, -900, 1560)
        frame_axes(ax, *limits, seen)
        compass(ax, view, (limits[0] + 260, limits[2] + 260))
    unit = joint.unit if joint.unit == "°" else " mm"
    moved = f"{axis.value:+g}{unit}" if joint.rest == 0 else f"{joint.rest:g} → {axis.value:g}{unit}"
    figure.suptitle(f"{axis.joint}: {moved}    {axis.said}", fontsize=12.5, color=RED, weight="bold")
    caption(figure, f"{model.label}; dot = source, plate = detector, grey = rest, blue = moved")
    figure.subplots_adjust(0.01, 0.05, 0.99, 0.85, 0.02)
    save(figure, f"axis-{axis.model}-{axis.joint.replace('_', '-')}.png")


def draw_scene(ax: Axes, view: Array, model: CArmModel, axis: Axis) -> None:
    """Draw C-arm at rest and moved, table and patient."""
    above = view is FROM_ABOVE
    if not above:
        draw_c(ax, view, model, {}, PALE, 2.0)
    draw_table(ax, view, np.eye(4), 120, GREY, "#f4f6f8")
    draw_patient(ax, view, inverse(patient_from_equipment(TablePose(), HFS)), GREY)
    if above:
        draw_c(ax, view, model, {}, PALE, 2.0)
    draw_c(ax, view, model, {axis.joint: axis.value}, BLUE, 2.6)


TABLE_MOVES = [
    ("lateral_mm", 200.0, FROM_FEET, "+ : toward +x", (0, 120, 0)),
    ("longitudinal_mm", 300.0, FROM_SIDE, "+ : toward the head end", (0, 120, 0)),
    ("height_mm", 200.0, FROM_FEET, "+ : up", (0, 120, 0)),
    ("tilt_deg", 15.0, FROM_SIDE, "+ : head end up", (0, 120, 560)),
    ("cradle_deg", 15.0, FROM_FEET, "+ : +x side up", (260, 120, 0)),
    ("yaw_deg", 15.0, FROM_ABOVE, "+ : head end toward +x", (0, 120, 560)),
]


def draw_table_moves() -> None:
    """Write the picture of the six movements of the table."""
    figure = Figure(figsize=(9.6, 5.8), dpi=100)
    for ax, (name, value, view, said, point) in zip(figure.subplots(2, 3).flat, TABLE_MOVES, strict=True):
        moved = equipment_from_table(TablePose(**{name: value}))
        lying = inverse(patient_from_equipment(TablePose(), HFS))
        draw_table(ax, view, np.eye(4), 120, PALE, "#fafbfc")
        draw_table(ax, view, moved, 120, BLUE, "#e3f0fa")
        draw_patient(ax, view, moved @ lying, INK)
        ax.plot(0, 0, "+", color=RED, ms=10, mew=1.6)
        way = [equipment_from_table(TablePose(**{name: v})) for v in np.linspace(0, value, 31)]
        arrow(ax, np.array([apply(matrix, np.array(point, float)) for matrix in way]) @ view.T, RED)
        wide = 520 if view is FROM_FEET else 1000
        frame_axes(ax, -wide, wide, -wide * 0.8, wide * 0.8, f"{name} {value:+g}\n{said}")
        ax.annotate(SEEN[id(view)], (0, -wide * 0.78), fontsize=8, ha="center", color=INK, bbox=WHITE)
    caption(figure, "grey = zero, blue = moved; red cross = the isocentre (equipment origin)")
    figure.subplots_adjust(0.01, 0.05, 0.99, 0.9, 0.03, 0.22)
    save(figure, "table.png")


SEEN = {
    id(FROM_FEET): "seen from the feet end",
    id(FROM_SIDE): "seen from the +x side",
    id(FROM_ABOVE): "seen from the ceiling",
}


def draw_positions() -> None:
    """Write the picture of the eight patient positions, with what the angles 0/0 of the machine become."""
    figure = Figure(figsize=(9.6, 6.4), dpi=100)
    pose = C_ARMS["mobile-flat-panel"].pose({})
    for ax, position in zip(figure.subplots(2, 4).flat, PatientPosition, strict=True):
        lying = inverse(patient_from_equipment(TablePose(), position))
        top = float(apply(lying, BODY_POINTS)[:, 1].max())
        ends = (-850, 560) if position.value.startswith("HF") else (-560, 850)
        draw_table(ax, FROM_ABOVE, np.eye(4), top, GREY, "#f4f6f8", ends)
        draw_patient(ax, FROM_ABOVE, lying, INK)
        primary, secondary = positioner_angles(pose, TablePose(), position)
        text = f"0/0 → {primary:+g}/{secondary + 0.0:+g}".replace("+0", "0")
        text = text.replace("-", "−")
        frame_axes(ax, -520, 520, -900, 960, f"{position.value}\n{text}\n{view_text(primary, secondary)}")
        ax.annotate("head end (+z)", (0, ends[1] + 30), fontsize=7.5, ha="center", color=GREY)
        ax.annotate("+x →", (370, ends[0] + 20), fontsize=8, ha="center", color=GREY)
    caption(figure, "from the ceiling; under each name the machine's 0/0 in the patient's (DICOM) angles")
    figure.subplots_adjust(0.01, 0.04, 0.99, 0.9, 0.03, 0.32)
    save(figure, "positions.png")


def anatomy() -> list[tuple[Array, str, str]]:
    """Return parts of a chest in patient coordinates: (points, fill, edge)."""
    parts: list[tuple[Array, str, str]] = [
        (ellipsoid((-38, -20, -95), (38, 45, 26)), "#dfe4e9", GREY),
        (ellipsoid((26, -45, 5), (36, 28, 40)), "#cfd6dd", GREY),
    ]
    for level in range(-5, 6):
        z = level * 25.0
        parts.append((ellipsoid((0, 35, z), (18, 13, 9)), "#9aa4ae", INK))
        parts.append((ellipsoid((0, 62, z - 8), (4, 13, 5)), "#5b656f", INK))
    return parts


PICTURES = [
    (HFS, {}, "0/0"),
    (HFS, {"orbital": 90.0}, "90/0"),
    (PatientPosition.FFS, {}, "0/0"),
    (PatientPosition.HFP, {}, "0/0"),
    (PatientPosition.HFP, {"orbital": 20.0}, "20/0"),
    (PatientPosition.HFDL, {}, "0/0"),
]


def draw_picture(ax: Axes, pose: CArmPose, position: PatientPosition) -> str:
    """Draw what the detector sees of the chest, with the letters at its edges; return the view in words."""
    geometry = projection_geometry(pose, DetectorGrid(1024, 1024, 0.5), patient_from_equipment(TablePose(), position))
    axes = patient_axes(pose, TablePose(), position)
    for points, fill, edge in sorted(anatomy(), key=lambda part: float(part[0].mean(axis=0) @ axes.d)):
        hull(ax, project_points(geometry, points)[:, ::-1], facecolor=fill, edgecolor=edge, lw=0.9, alpha=0.85)
    markers = edge_markers(axes)
    for text, x, y in (
        (markers.left, 40, 512),
        (markers.right, 984, 512),
        (markers.top, 512, 40),
        (markers.bottom, 512, 984),
    ):
        ax.annotate(text, (x, y), fontsize=13, weight="bold", color=RED, ha="center", va="center", bbox=WHITE)
    ax.set(xlim=(-0.5, 1023.5), ylim=(1023.5, -0.5), aspect="equal", xticks=[], yticks=[])
    for spine in ax.spines.values():
        spine.set_color(GREY)
    return view_text(*positioner_angles(pose, TablePose(), position))


def draw_pictures() -> None:
    """Write what the detector sees, by projecting a drawn chest through the program's own matrix."""
    figure = Figure(figsize=(9.6, 6.9), dpi=100)
    for ax, (position, joints, machine) in zip(figure.subplots(2, 3).flat, PICTURES, strict=True):
        said = draw_picture(ax, C_ARMS["mobile-flat-panel"].pose(joints), position).replace("patient ", "")
        ax.set_title(f"{position.value}, machine {machine}\n{said}", fontsize=10, color=INK)
    caption(figure, "top left = pixel (0, 0); heart (darker) at the patient's left, liver at the right")
    figure.subplots_adjust(0.02, 0.05, 0.98, 0.91, 0.06, 0.25)
    save(figure, "pictures.png")


def draw_roll() -> None:
    """Write the same beam with the roll of the side-standing nesting and without."""
    nested = C_ARMS["mobile-flat-panel"].pose({"orbital": 60.0, "tilt": 20.0})
    level = replace(nested, detector_rotation_deg=0.0)
    figure = Figure(figsize=(7.6, 4.4), dpi=100)
    titles = ("orbital 60°, tilt 20°: roll {:+.1f}°", "the same beam with roll 0")
    for ax, pose, title in zip(figure.subplots(1, 2), (nested, level), titles, strict=True):
        said = draw_picture(ax, pose, HFS)
        ax.set_title(f"{title.format(pose.detector_rotation_deg)}\n{said}", fontsize=9.5, color=INK)
    caption(figure, f"HFS; primary {nested.primary_deg:.1f}°, secondary {nested.secondary_deg:.1f}°")
    figure.subplots_adjust(0.02, 0.06, 0.98, 0.88, 0.06)
    save(figure, "roll.png")


def draw_frame() -> None:
    """Write the equipment frame with the beam's vectors of one oblique pose."""
    model = C_ARMS["angiography-room"]
    joints = {"rotation": 20.0, "angulation": 10.0}
    pose = model.pose(joints)
    axes = beam_axes(pose)
    source, corners, _, center = c_frame(model, joints)
    figure = Figure(figsize=(7.2, 6.0), dpi=100)
    ax = figure.subplots()
    draw_table(ax, OBLIQUE, np.eye(4), 120, PALE, "#f4f6f8")
    draw_patient(ax, OBLIQUE, inverse(patient_from_equipment(TablePose(), HFS)), PALE, "#f7efe8")
    for name, direction in zip(("x", "y (down)", "z (head end)"), np.eye(3), strict=True):
        tip = direction * 430 @ OBLIQUE.T
        arrow(ax, np.array([[0, 0], tip]), INK)
        ax.annotate(name, tip * 1.16, fontsize=10, ha="center", va="center", color=INK)
    line(ax, OBLIQUE, [source, corners.mean(axis=0)], color=BLUE, lw=1.2, ls=(0, (5, 3)))
    hull(ax, corners @ OBLIQUE.T, facecolor="#e3f0fa", edgecolor=BLUE, lw=1.6, alpha=0.8)
    ax.plot(*(source @ OBLIQUE.T), "o", color=BLUE, ms=9)
    ax.annotate("source", source @ OBLIQUE.T + [40, -30], color=BLUE, fontsize=10)
    middle = corners.mean(axis=0)
    vectors = (("d", center, axes.d * 330), ("u", middle, axes.u * 290), ("v", middle, axes.v * 290))
    for name, start, vector in vectors:
        arrow(ax, np.array([start, start + vector]) @ OBLIQUE.T, RED)
        style = {"fontsize": 12, "weight": "bold", "ha": "center", "va": "center"}
        ax.annotate(name, (start + vector * 1.18) @ OBLIQUE.T, color=RED, **style)
    line(ax, OBLIQUE, [*corners, corners[0]], color=BLUE, lw=1.6)
    ax.annotate("pixel (0, 0)", corners[0] @ OBLIQUE.T + [-20, 45], color=BLUE, fontsize=9, ha="center")
    title = "equipment frame and beam: primary +20°, secondary +10°, roll 0"
    frame_axes(ax, -720, 660, -720, 700, title)
    figure.subplots_adjust(0.01, 0.01, 0.99, 0.94)
    save(figure, "frame.png")


def caption(figure: Figure, text: str) -> None:
    """Write one small line under the panels."""
    figure.text(0.5, 0.012, text, ha="center", fontsize=8.5, color=INK)


def save(figure: Figure, name: str) -> None:
    """Write a palette PNG (small, the same on every run)."""
    from PIL import Image

    path = OUT / name
    figure.savefig(path, facecolor="white", metadata={"Software": None})
    with Image.open(path) as picture:
        small = picture.convert("RGB").quantize(64, dither=Image.Dither.NONE)
    small.save(path, optimize=True)
    print(f"{name} {path.stat().st_size // 1024} KB")


def main() -> None:
    """Draw them all."""
    mpl.rcParams["font.family"] = "DejaVu Sans"
    OUT.mkdir(exist_ok=True)
    for axis in AXES:
        draw_axis(axis)
    draw_table_moves()
    draw_positions()
    draw_pictures()
    draw_roll()
    draw_frame()


if __name__ == "__main__":
    main()
