"""Names of the vertebrae on an X-ray picture, found from nothing but the C-arm's angles and how the patient lies."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from skimage import measure

from fluoroscope.geometry.projection import project_points
from fluoroscope.geometry.rigid import Matrix, apply, translation
from fluoroscope.geometry.table import PatientPosition
from fluoroscope.guidance.levels.chain import COARSE_MM, Bones, Placed, bones_of, likeness_of, place_chain, settle
from fluoroscope.guidance.levels.counting import picture_warnings
from fluoroscope.guidance.levels.search import Guess, apart, search_along
from fluoroscope.guidance.levels.skeleton import Skeleton, spine_line
from fluoroscope.guidance.registration.model import SACRUM, VertebraModel, merged, ordered
from fluoroscope.guidance.registration.picture import Picture
from fluoroscope.guidance.registration.rendering import Body, add_drr, box_of, coarser
from fluoroscope.guidance.view import XRayView

__all__ = ["LevelLabels", "LevelOnView", "label_levels", "level_at", "wrong_level"]

_APART_MM = 12.0
_TRIED, _COMPARED = 6, 3
_LEAST_SCORE, _LEAST_MARGIN = 0.55, 0.04
_NEAR_MM = 32.0
"""A mark farther from every vertebra's middle lies on none."""
_AHEAD_MM, _LARGEST_AHEAD_MM = 25.0, 45.0
"""From the middle of all bone of a lumbar vertebra to that of its body: 24 to 31 mm in the lumbar CT."""
_DEPTHS_MM = np.arange(-60.0, 61.0, 6.0)


@dataclass(frozen=True, slots=True)
class LevelOnView:
    """A vertebra in one picture.

    Attributes
    ----------
    center_px
        (row, column) of the middle of its body.
    outline_px
        (n, 2) closed polygon (row, column) around its shadow; empty where none falls into the picture.
    """

    center_px: tuple[float, float]
    outline_px: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class LevelLabels:
    """The named spine on pictures.

    Attributes
    ----------
    levels
        By level, from the head down: the vertebra in each view. Empty where `success` is False.
    equipment_from_ct
        Rigid (4, 4) of each named level, good to some mm: a start for `register`.
    confidence
        0 to 1, from how well the names fit and how much better than moved by a level.
    warnings
        One line each, for people: what cannot be counted, what is unusual.
    success
        Whether the names can be shown.
    reason
        One line: why not; "" when they can.
    evaluations
        DRRs rendered.
    time_s
        Wall time.
    """

    levels: Mapping[str, tuple[LevelOnView, ...]]
    equipment_from_ct: Mapping[str, Matrix]
    confidence: float
    warnings: tuple[str, ...]
    success: bool
    reason: str
    evaluations: int
    time_s: float


def label_levels(
    models: Mapping[str, VertebraModel],
    views: Sequence[XRayView],
    initial: Matrix | None = None,
    *,
    position: PatientPosition,
    skeleton: Skeleton | None = None,
    warnings: Sequence[str] = (),
) -> LevelLabels:
    """Return the names of the vertebrae in the pictures.

    The whole skeleton is tried at every place along the spine; the best places, and each moved by a level, are refined
    vertebra by vertebra, as the spine is bent differently today. What explains the whole picture best wins, and by how
    much decides whether anything is said.

    Parameters
    ----------
    models
        Vertebrae and sacrum of the CT (`vertebra_models`).
    views
        One or more pictures taken while the patient did not move.
    initial
        equipment_from_ct when it is known to within some 20 mm; places a level off are tried too. None: from nothing.
    position
        How the patient lies.
    skeleton
        All bones (`skeleton_of`); ribs and pelvis tell levels apart. Made of ``models`` when absent.
    warnings
        Carried into the result, such as those of `anatomy_warnings`.

    Raises
    ------
    ValueError
        No model, or no view.
    """
    if not models or not views:
        raise ValueError("level labelling needs the bones of a CT and at least one picture")
    began = time.perf_counter()
    models = {name: models[name] for name in ordered(list(models))}
    names = list(models)
    bones = bones_of(models, skeleton or Skeleton(merged(models, names, names[len(names) // 2]), None))
    pictures = [Picture(view) for view in views]
    line = spine_line(np.array([one.center_mm for one in models.values()]))
    placed, count = _places(bones, pictures, line, initial, position)
    best = placed[0]
    rival = next((one for one in placed[1:] if _differ(bones, best, one)), None)
    margin = best.score - (rival.score if rival else 0.0)
    reason = _doubt(best, margin)
    confidence = float(np.clip(best.score, 0.0, 1.0) * np.clip(margin / 0.2, 0.0, 1.0)) if best.poses else 0.0
    count += sum(one.evaluations for one in placed)
    told = tuple(warnings)
    if reason:
        return LevelLabels({}, {}, confidence, told, False, reason, count, time.perf_counter() - began)
    told += picture_warnings(best.poses, ribs_shown=False)
    shown = {name: best.poses[name] for name in names if name in best.poses}
    levels = {name: tuple(_on_view(models[name], pose, view) for view in views) for name, pose in shown.items()}
    return LevelLabels(levels, shown, confidence, told, True, "", count, time.perf_counter() - began)


def _places(
    bones: Bones, pictures: Sequence[Picture], line: NDArray[np.float64], initial: Matrix | None,
    position: PatientPosition,
) -> tuple[list[Placed], int]:  # fmt: skip
    """Return the best places of the spine, refined vertebra by vertebra, the best first, and DRRs of the search."""
    layers = [picture.layer(COARSE_MM) for picture in pictures]
    if initial is None:
        guesses = search_along(bones.skeleton, layers[0], line, position)
        count = len(guesses)
        guesses = apart(guesses, layers[0].geometry, line, _APART_MM / layers[0].pixel_mm, _TRIED)
    else:
        guesses, count = [Guess(initial, 1.0)], 0
    guesses = [_deepened(bones, pictures, guess) for guess in guesses]
    settled = [settle(bones.skeleton, layers, guess.equipment_from_ct, line) for guess in guesses]
    settled.sort(key=lambda one: -one[1])
    tried = settled[:_COMPARED]
    tried += [settle(bones.skeleton, layers, moved, line) for moved in _slipped(bones, tried[0][0])]
    count += sum(one[2] for one in tried)
    placed = [place_chain(bones, pictures, pose) for pose, _, _ in tried]
    return sorted(placed, key=lambda one: -one.score), count


def _slipped(bones: Bones, pose: Matrix) -> list[Matrix]:
    """Return the pose with the vertebra in the middle of the picture where its neighbours are."""
    names = [name for name in bones.names if name != SACRUM]
    centers = np.array([apply(pose, bones.models[name].center_mm) for name in names])
    middle = int(np.argmin(np.linalg.norm(centers, axis=1)))
    return [
        translation(centers[other] - centers[middle]) @ pose
        for other in (middle - 1, middle + 1)
        if 0 <= other < len(names)
    ]


def _deepened(bones: Bones, pictures: Sequence[Picture], guess: Guess) -> Guess:
    """Return a guess from the first view moved along its ray to where a second view fits best."""
    if len(pictures) == 1:
        return guess
    ray = pictures[0].view.geometry.pixel_from_world[2, :3]
    layer = pictures[1].layer(COARSE_MM)
    moved = [translation(depth * ray) @ guess.equipment_from_ct for depth in _DEPTHS_MM]
    values = [likeness_of(layer, ((bones.skeleton, pose),)) for pose in moved]
    return Guess(moved[int(np.argmax(values))], guess.value)


def _differ(bones: Bones, one: Placed, other: Placed) -> bool:
    """Return whether two places give the vertebrae other names: they lie more than half a level apart."""
    shared = [name for name in one.poses if name in other.poses] or bones.names
    away = [
        np.linalg.norm(apply(one.poses.get(name, one.skeleton), c) - apply(other.poses.get(name, other.skeleton), c))
        for name in shared
        for c in [bones.models[name].center_mm]
    ]
    return float(np.median(away)) > _APART_MM


def _doubt(best: Placed, margin: float) -> str:
    """Return why nothing can be said; "" when it can."""
    if not any(name != SACRUM for name in best.poses):
        return "no vertebra of this CT is seen in the picture; check the picture, its angles and the patient's position"
    if best.score < _LEAST_SCORE:
        return (
            f"the picture does not look like this CT anywhere (likeness {best.score:.2f}, at least {_LEAST_SCORE:.2f});"
            " check patient, angles and how the patient lies"
        )
    if margin < _LEAST_MARGIN:
        return "moved by a level it fits nearly as well; open the collimator, show the sacrum or T12, or add a view"
    return ""


def _on_view(model: VertebraModel, pose: Matrix, view: XRayView) -> LevelOnView:
    middle = model.center_mm if model.level == SACRUM else _body_middle(model)
    row, column = project_points(view.geometry, apply(pose, middle))
    return LevelOnView((float(row), float(column)), _outline(model, pose, view))


def _body_middle(model: VertebraModel) -> NDArray[np.float64]:
    """Return the middle of a vertebra's body, CT mm: its first landmark, where the label shows a body.

    The middle of all its bone lies in the canal or near, so that of the body is looked for in front of it (LPS: -y).
    """
    ahead = model.landmarks_mm[0] - model.center_mm
    if ahead[1] < -8.0 and np.linalg.norm(ahead) < _LARGEST_AHEAD_MM:
        ahead = model.landmarks_mm[0] - model.center_mm
    else:
        ahead = np.array([0.0, -_AHEAD_MM, 0.0])
    middle: NDArray[np.float64] = model.center_mm + ahead
    return middle


def _outline(model: VertebraModel, pose: Matrix, view: XRayView) -> NDArray[np.float64]:
    """Return the largest contour of a bone's shadow, in pixels of the picture."""
    factor = max(1, min(view.attenuation.shape) // 256)
    geometry, body = coarser(view.geometry, factor), Body.of(model, 1)
    box = box_of(body, geometry, pose, 2)
    if not box:
        return np.zeros((0, 2))
    shadow = np.zeros((box.rows, box.columns), dtype=np.float32)
    add_drr(body, geometry, pose, box, shadow)
    if not shadow.any():
        return np.zeros((0, 2))
    contours = measure.find_contours(np.pad(shadow, 1), 0.12 * float(shadow.max()))  # type: ignore[no-untyped-call]
    longest = np.asarray(max(contours, key=len), dtype=np.float64) - 1.0
    outline = (longest + np.array([box.row, box.column])) * factor + 0.5 * (factor - 1)
    simpler = measure.approximate_polygon(outline, 0.5 * factor)  # type: ignore[no-untyped-call]
    return np.asarray(simpler, dtype=np.float64)


def level_at(labels: LevelLabels, at_px: tuple[float, float], view: XRayView, index: int = 0) -> str | None:
    """Return the level whose body's middle is nearest to a pixel, or None where it lies on no named vertebra.

    Parameters
    ----------
    labels
        What `label_levels` found.
    at_px
        (row, column).
    view, index
        The picture, and which one it is.
    """
    picture = Picture(view)
    away = {
        name: float(np.hypot(*np.subtract(shown[index].center_px, at_px))) * picture.pixel_mm
        for name, shown in labels.levels.items()
        if name != SACRUM
    }
    nearest = min(away, key=lambda name: away[name]) if away else None
    return nearest if nearest is not None and away[nearest] < _NEAR_MM else None


def wrong_level(
    labels: LevelLabels, expected: str, at_px: tuple[float, float], view: XRayView, index: int = 0
) -> str | None:
    """Return a warning when the level somebody names does not lie under the pixel he marks; None when it does.

    Where the picture could not be labelled the warning says that, too: silence means the level was checked.
    """
    place = f"({at_px[0]:.0f}, {at_px[1]:.0f})"
    if not labels.success:
        return f"level {expected} at {place} could not be checked: {labels.reason}"
    found = level_at(labels, at_px, view, index)
    if found == expected:
        return None
    if found is None:
        return f"wrong level? {place} lies on no vertebra that could be named; {expected} was expected"
    return f"wrong level: {place} lies on {found}, not on {expected}"
