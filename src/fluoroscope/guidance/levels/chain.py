"""From one place of the skeleton to that of every vertebra: today the spine is not bent as in the CT."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from fluoroscope.geometry.projection import project_points
from fluoroscope.geometry.rigid import Matrix, apply
from fluoroscope.guidance.levels.skeleton import Skeleton
from fluoroscope.guidance.registration.comparison import Comparison
from fluoroscope.guidance.registration.model import SACRUM, VertebraModel
from fluoroscope.guidance.registration.picture import Layer, Picture
from fluoroscope.guidance.registration.refine import image_axes, refine
from fluoroscope.guidance.registration.rendering import Body, Box, add_drr

__all__ = ["COARSE_MM", "Bones", "Placed", "bones_of", "likeness_of", "place_chain", "settle"]

COARSE_MM, FINE_MM = 2.4, 1.6
_LEAST_SEEN = 0.35
_ASIDE_MM = 4.0
"""How far outside the picture a vertebra's middle may lie."""
_EDGE_NEPER = 0.02


@dataclass(frozen=True, slots=True)
class Bones:
    """What is laid over the picture, ready to be projected."""

    skeleton: Body
    rest: Body | None
    models: Mapping[str, VertebraModel]
    fine: Mapping[str, Body]
    coarse: Mapping[str, Body]

    @property
    def names(self) -> list[str]:
        """Levels from the head down, the sacrum last."""
        return list(self.models)


def bones_of(models: Mapping[str, VertebraModel], skeleton: Skeleton) -> Bones:
    """Return models made ready."""
    fine = {name: Body.of(one) for name, one in models.items()}
    coarse = {name: Body.of(one, 1) for name, one in models.items()}
    rest = None if skeleton.rest is None else Body.of(skeleton.rest)
    return Bones(Body.of(skeleton.whole), rest, models, fine, coarse)


@dataclass(frozen=True, slots=True)
class Placed:
    """The spine laid over the pictures.

    Attributes
    ----------
    skeleton
        equipment_from_ct of the skeleton as a whole.
    poses, values
        equipment_from_ct and likeness (−1 to 1) of the vertebrae seen in the first picture.
    whole
        How alike the edges of the whole picture and of all bones in their places are, 0 to 1, mean of the views.
    evaluations
        DRRs rendered.
    """

    skeleton: Matrix
    poses: Mapping[str, Matrix]
    values: Mapping[str, float]
    whole: float
    evaluations: int

    @property
    def score(self) -> float:
        """What places are compared by: the whole picture, and the vertebrae in it."""
        return self.whole + (float(np.mean(list(self.values.values()))) if self.values else 0.0)


def settle(
    body: Body, layers: Sequence[Layer], pose: Matrix, line_mm: NDArray[np.float64]
) -> tuple[Matrix, float, int]:
    """Return the skeleton's best pose near ``pose``, how good it is, and the DRRs it took.

    A likeness over little bone is worth less: it is weighed with the share of the picture that bone covers.
    """
    middle = line_mm[int(np.argmin(np.linalg.norm(apply(pose, line_mm), axis=1)))]
    axes = image_axes(layers[0].geometry, apply(pose, middle))
    comparisons = [Comparison(layer, body, pose) for layer in layers]
    found = refine(comparisons, pose, middle, axes, iterations=12)
    shape = (layers[0].geometry.grid.rows, layers[0].geometry.grid.columns)
    drr = np.zeros(shape, dtype=np.float32)
    add_drr(body, layers[0].geometry, found.pose, Box(0, 0, *shape), drr)
    share = float((drr > 0.05 * max(float(drr.max()), 1e-6)).mean())
    return found.pose, found.value * share**0.25, found.evaluations + 1


def place_chain(bones: Bones, pictures: Sequence[Picture], skeleton: Matrix) -> Placed:
    """Return every vertebra in the first picture, from the middle outward: each begins as its neighbour ended."""
    layers, fine = [p.layer(COARSE_MM) for p in pictures], [p.layer(FINE_MM) for p in pictures]
    names, geometry = bones.names, layers[0].geometry
    middle = np.array([geometry.grid.rows - 1.0, geometry.grid.columns - 1.0]) / 2.0
    shown = {name: project_points(geometry, apply(skeleton, bones.models[name].center_mm)) for name in names}
    poses: dict[str, Matrix] = {}
    values: dict[str, float] = {}
    count = 0
    for name in sorted(names, key=lambda one: float(np.linalg.norm(shown[one] - middle))):
        place = names.index(name)
        beside = [names[n] for n in (place - 1, place + 1) if 0 <= n < len(names) and names[n] in poses]
        start = poses[beside[0]] if beside and name != SACRUM else skeleton
        center = bones.models[name].center_mm
        at = project_points(geometry, apply(start, center))
        spare = _ASIDE_MM / layers[0].pixel_mm
        if not np.isfinite(at).all() or (at < -spare).any() or (at > 2.0 * middle + spare).any():
            continue
        pose, value = start, None
        for stage, body in ((layers, bones.coarse[name]), (fine, bones.fine[name])):
            comparisons = [Comparison(layer, body, pose) for layer in stage]
            if comparisons[0].seen < _LEAST_SEEN:
                break
            comparisons = [one for one in comparisons if one.seen >= _LEAST_SEEN]
            axes = image_axes(geometry, apply(pose, center))
            found = refine(comparisons, pose, center, axes, iterations=8)
            pose, value, count = found.pose, found.value, count + found.evaluations
        else:
            poses[name], values[name] = pose, float(value or 0.0)
    whole = float(np.mean([_whole(bones, layer, skeleton, poses) for layer in layers]))
    return Placed(skeleton, poses, values, whole, count + len(names) * len(layers))


def _whole(bones: Bones, layer: Layer, skeleton: Matrix, poses: Mapping[str, Matrix]) -> float:
    """Return how alike the whole picture is to all bones in their places."""
    placed = [] if bones.rest is None else [(bones.rest, skeleton)]
    for name in bones.names:
        if name != SACRUM or bones.rest is None:
            placed.append((bones.coarse[name], poses.get(name, skeleton)))
    return likeness_of(layer, placed)


def likeness_of(layer: Layer, placed: Sequence[tuple[Body, Matrix]]) -> float:
    """Return the cosine of edge directions over the whole picture and a DRR of bodies in their places, 0 to 1."""
    shape = (layer.geometry.grid.rows, layer.geometry.grid.columns)
    drr = np.zeros(shape, dtype=np.float32)
    for body, pose in placed:
        add_drr(body, layer.geometry, pose, Box(0, 0, *shape), drr)
    weight, slopes = layer.weight, layer.slopes
    size = np.sqrt((slopes**2).sum(axis=0))
    counted = size[weight > 0.0]
    if not len(counted):
        return 0.0
    fixed = slopes / (size + float(np.median(counted)) + 1e-12) * weight
    moving = np.stack([ndimage.gaussian_filter(drr, 1.0, order=order) for order in ((1, 0), (0, 1))])
    moving *= weight / (np.sqrt((moving**2).sum(axis=0)) + _EDGE_NEPER)
    floor = 0.02 * float(weight.sum()) + 1e-6
    norm = np.sqrt(((moving**2).sum() + floor) * ((fixed**2).sum() + 1e-12))
    return float((fixed * moving).sum() / norm)
