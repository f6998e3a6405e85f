"""The bones of one patient ready to be moved: one by one, the target with its neighbours, and all together."""

from collections.abc import Mapping

from fluoroscope.guidance.registration.model import VertebraModel, merged, ordered
from fluoroscope.guidance.registration.rendering import Body

__all__ = ["Spine"]


class Spine:
    """Bodies of a patient's models about one target level, each made when first asked for.

    Parameters
    ----------
    models
        As `vertebra_models` gives them.
    level
        The target; all bodies turn about its centre.
    """

    def __init__(self, models: Mapping[str, VertebraModel], level: str) -> None:
        if level not in models:
            raise ValueError(f"{level}: no such level in this CT; it has {', '.join(models) or 'none'}")
        self.models, self.level = models, level
        self.levels = ordered(list(models))
        self._bodies: dict[tuple[tuple[str, ...], int], Body] = {}

    @property
    def target(self) -> VertebraModel:
        """The bone that is asked for."""
        return self.models[self.level]

    def around(self, reach: int) -> tuple[str, ...]:
        """Return the target and up to ``reach`` levels on either side."""
        at = self.levels.index(self.level)
        return tuple(self.levels[max(0, at - reach) : at + reach + 1])

    def alone(self, level: str) -> Body:
        """Return one bone about its own centre, its voxel doubled."""
        key = ((level, "alone"), 1)
        if key not in self._bodies:
            self._bodies[key] = Body.of(self.models[level], 1)
        return self._bodies[key]

    def body(self, levels: tuple[str, ...], halvings: int = 0) -> Body:
        """Return several bones as one body, its voxel doubled ``halvings`` times."""
        key = (levels, halvings)
        if key not in self._bodies:
            model = self.target if levels == (self.level,) else merged(self.models, levels, self.level)
            self._bodies[key] = Body.of(model, halvings)
        return self._bodies[key]
