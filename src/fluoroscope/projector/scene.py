"""Line integrals of a whole scene: resting and moving bodies, needles and markers."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from fluoroscope.geometry.projection import ProjectionGeometry
from fluoroscope.patient.scene import Body, Scene
from fluoroscope.patient.volume import BasisVolume
from fluoroscope.projector.coarse import MOST_HALVINGS, coarse_geometry, enlarge_into, halvings
from fluoroscope.projector.integrals import PITCH, check, output, project_bodies
from fluoroscope.projector.prepared import PreparedVolume, prepare
from fluoroscope.projector.shapes import add_shapes

__all__ = ["SceneProjector", "project_scene"]


_SETTLED = 8
"""Pulses a body must have stood still before it joins the picture of those that rest: pauses cost nothing."""


class SceneProjector:
    """Keeps what a run of frames can share: prepared volumes, and the bodies that rested since the last frame.

    Bodies of coarse voxels are projected on fewer, larger pixels, added up there and interpolated once
    (`fluoroscope.projector.coarse`, which says how exactly).

    Only a cache: every picture equals that of a new projector to rounding. For one thread at a time.

    Parameters
    ----------
    pitch, level
        As in `project`.
    """

    def __init__(self, *, pitch: float = PITCH, level: str | None = None) -> None:
        self._pitch, self._level = pitch, level
        self._prepared: dict[int, PreparedVolume] = {}
        self._layers = tuple(_Layer(self._run) for _ in range(MOST_HALVINGS + 1))
        self._geometries: list[ProjectionGeometry] = []
        self._pictures: list[NDArray[np.float32] | None] = [None] * MOST_HALVINGS

    @property
    def memory_bytes(self) -> int:
        """Memory of the prepared copies and the kept pictures, bytes."""
        kept = sum(layer.memory_bytes for layer in self._layers)
        kept += sum(picture.nbytes for picture in self._pictures if picture is not None)
        return kept + sum(volume.memory_bytes for volume in self._prepared.values())

    def prepared(self, volume: BasisVolume) -> PreparedVolume:
        """Return the volume made ready, from the cache when it was seen before."""
        known = self._prepared.get(id(volume))
        if known is None:
            known = self._prepared[id(volume)] = prepare(volume)
        return known

    def volumes(self, scene: Scene) -> tuple[PreparedVolume, ...]:
        """Return the volumes of the scene's bodies, made ready; their copies may be made in any thread."""
        return tuple(self.prepared(body.volume) for body in scene.bodies)

    def project(
        self, scene: Scene, geometry: ProjectionGeometry, out: NDArray[np.float32] | None = None
    ) -> NDArray[np.float32]:
        """Return the line integrals of everything in the scene.

        Parameters
        ----------
        scene
            Bodies and shapes, in the coordinates of ``geometry``. A body is known by its volume object and its
            motion: while the geometry stays, those that do not move are not projected again.
        geometry
            The cone beam.
        out
            float32 (2, rows, columns) to write into; a new array when absent.

        Returns
        -------
        float32 (2, rows, columns): mm of water, mm of bone.

        Raises
        ------
        ProjectionRefusedError
            As `project`.
        """
        picture = output(out, 2, geometry)
        check(geometry, self._pitch)
        self._forget(scene)
        if not self._geometries or not same_geometry(self._geometries[0], geometry):
            self._geometries = [geometry]
            for _ in range(MOST_HALVINGS):
                self._geometries.append(coarse_geometry(self._geometries[-1]))
        split: list[list[Body]] = [[] for _ in self._layers]
        for body in scene.bodies:
            split[halvings(self.prepared(body.volume), body.world_from_body, geometry)].append(body)
        coarse, changed = self._coarse(split)
        self._layers[0].project(split[0], geometry, picture, coarse, changed=changed)
        add_shapes(scene.shapes, geometry, picture)
        return picture

    def _coarse(self, split: Sequence[Sequence[Body]]) -> tuple[NDArray[np.float32] | None, bool]:
        """Return the picture on pixels twice as wide of all coarse bodies, and whether it is new since the last."""
        below, changed = None, False
        for halved in range(MOST_HALVINGS, 0, -1):
            if below is None and not split[halved]:
                self._pictures[halved - 1] = None
                continue
            geometry, layer = self._geometries[halved], self._layers[halved]
            picture = self._pictures[halved - 1]
            changed = changed or picture is None or not layer.same(split[halved], geometry)
            if picture is None or picture.shape[1:] != (geometry.grid.rows, geometry.grid.columns):
                picture, changed = output(None, 2, geometry), True
            if changed:
                layer.project(split[halved], geometry, picture, below, changed=True)
            self._pictures[halved - 1] = below = picture
        return below, changed

    def _run(
        self, bodies: Sequence[Body], geometry: ProjectionGeometry, out: NDArray[np.float32], *, fresh: bool
    ) -> None:
        volumes = [self.prepared(body.volume) for body in bodies]
        motions = [body.world_from_body for body in bodies]
        project_bodies(volumes, motions, geometry, out, fresh=fresh, pitch=self._pitch, level=self._level)

    def _forget(self, scene: Scene) -> None:
        present = {id(body.volume) for body in scene.bodies}
        for gone in self._prepared.keys() - present:
            del self._prepared[gone]


class _Layer:
    """The bodies projected on pixels of one size, and the sum of those that rest."""

    def __init__(self, run: Callable[..., None]) -> None:
        self._run = run
        self._geometry: ProjectionGeometry | None = None
        self._resting: dict[int, Body] = {}
        self._sum: NDArray[np.float32] = np.empty((2, 0, 0), np.float32)
        self._summed = False
        self._whole: NDArray[np.float32] | None = None
        self._last: dict[int, Body] = {}
        self._stood: dict[int, int] = {}

    @property
    def memory_bytes(self) -> int:
        """Memory of the kept pictures, bytes."""
        return sum(one.nbytes for one in (self._sum, self._whole) if one is not None)

    def same(self, bodies: Sequence[Body], geometry: ProjectionGeometry) -> bool:
        """Whether the layer would show what it showed last."""
        return (
            self._geometry is not None
            and same_geometry(self._geometry, geometry)
            and len(bodies) == len(self._last)
            and all(same_body(self._last.get(id(body.volume)), body) for body in bodies)
        )

    def project(
        self,
        bodies: Sequence[Body],
        geometry: ProjectionGeometry,
        picture: NDArray[np.float32],
        coarse: NDArray[np.float32] | None,
        *,
        changed: bool,
    ) -> None:
        """Write the bodies and, enlarged, the ``coarse`` picture, which is ``changed`` or that of the last call."""
        if self._geometry is None or not same_geometry(self._geometry, geometry):
            # Nothing is kept yet: the next pulse may see from elsewhere again.
            self._run(bodies, geometry, picture, fresh=True)
            self._last = {id(body.volume): body for body in bodies}
            self._whole, self._summed, self._resting = None, False, self._last
            self._geometry = geometry if len(self._last) == len(bodies) else None
            if coarse is not None:
                enlarge_into(coarse, picture, picture)
            return
        self._join(bodies, geometry)
        still = [body for body in bodies if self._rests(body)]
        moving = [body for body in bodies if not self._rests(body)]
        if len(still) < len(self._resting) or not self._summed:
            if self._sum.shape != picture.shape:
                self._sum = np.empty_like(picture)
            self._run(still, geometry, self._sum, fresh=True)
            self._whole, self._summed = None, True
            self._resting = {id(body.volume): body for body in still}
        self._write_resting(picture, coarse, changed=changed)
        if moving:
            self._run(moving, geometry, picture, fresh=False)

    def _write_resting(
        self, picture: NDArray[np.float32], coarse: NDArray[np.float32] | None, *, changed: bool
    ) -> None:
        """Write what rests; with a coarse picture that rests too, both from one kept picture."""
        if coarse is None:
            picture[:] = self._sum
        elif changed:
            enlarge_into(coarse, picture, self._sum if self._resting else None)
        else:
            if self._whole is None:
                self._whole = np.empty_like(picture)
                enlarge_into(coarse, self._whole, self._sum if self._resting else None)
            picture[:] = self._whole
        if coarse is None or changed:
            self._whole = None

    def _join(self, bodies: Sequence[Body], geometry: ProjectionGeometry) -> None:
        """Add bodies that have settled to the picture of those that rest."""
        for body in bodies:
            same = same_body(self._last.get(id(body.volume)), body)
            self._stood[id(body.volume)] = self._stood.get(id(body.volume), 0) + 1 if same else 0
        self._last = {id(body.volume): body for body in bodies}
        self._stood = {key: count for key, count in self._stood.items() if key in self._last}
        settled = [b for b in bodies if not self._rests(b) and self._stood[id(b.volume)] >= _SETTLED]
        # One that rested elsewhere is still in the picture until it is made anew.
        if self._summed and settled and not any(id(body.volume) in self._resting for body in settled):
            self._run(settled, geometry, self._sum, fresh=False)
            self._whole = None
            self._resting |= {id(body.volume): body for body in settled}

    def _rests(self, body: Body) -> bool:
        return same_body(self._resting.get(id(body.volume)), body)


def same_body(known: Body | None, body: Body) -> bool:
    """Whether a body is the one known, in the same place."""
    return known is not None and (
        known is body
        or (known.volume is body.volume and known.world_from_body.tobytes() == body.world_from_body.tobytes())
    )


def same_geometry(one: ProjectionGeometry, two: ProjectionGeometry) -> bool:
    """Whether two geometries give the same rays."""
    return one is two or (
        one.grid == two.grid
        and one.source_to_detector_mm == two.source_to_detector_mm
        and np.array_equal(one.pixel_from_world, two.pixel_from_world)
    )


def project_scene(
    scene: Scene,
    geometry: ProjectionGeometry,
    cache: SceneProjector | None = None,
    out: NDArray[np.float32] | None = None,
) -> NDArray[np.float32]:
    """Return (2, rows, columns) mm of water and bone of a scene; ``cache`` only saves work (`SceneProjector`)."""
    return (cache if cache is not None else SceneProjector()).project(scene, geometry, out)
