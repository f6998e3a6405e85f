"""A patient in motion and the instruments in him, as a scenario tells."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from fluoroscope.app.room_scene import RoomScene
from fluoroscope.app.scenario import Needle, Scenario, ScenarioError, Step
from fluoroscope.beam.basis import basis_of
from fluoroscope.beam.materials import MATERIALS
from fluoroscope.patient.instruments.tissue_probe import TissueProbe
from fluoroscope.patient.library import Patient
from fluoroscope.patient.motion import LivingPatient, MotionSettings
from fluoroscope.patient.scene import Cylinder, Scene, SceneTruth

__all__ = ["ScriptedScene"]

_LONG_BEFORE_S = -60.0
"""What holds at 0 s was told then, so that nothing still moves because of it."""
_AT_ONCE_S = 0.2
_NEEDLE, _CATHETER = "needle", "catheter"
_SAME_WAY = 0.99995  # cosine of half a degree
_MOVEMENTS = ("flexion_deg", "side_bend_deg", "traction_n", "shift", "breathing")


class ScriptedScene:
    """`MovingScene` of a scenario. Movement is told at once; instruments as time goes on, by `catch_up`.

    Parameters
    ----------
    patient
        Who lies there.
    scenario
        What happens.
    breathing
        Whether he breathes by himself, and his heart and bowel move.
    seed
        Of single breaths.

    Raises
    ------
    ScenarioError
        When the patient cannot move as told.
    """

    def __init__(self, patient: Patient, scenario: Scenario, *, breathing: bool, seed: int) -> None:
        settings = MotionSettings() if breathing else MotionSettings.still()
        self.room = RoomScene(patient, settings, seed)
        self._scenario = scenario
        self._reference = patient.reference_mm
        self._steel = basis_of(MATERIALS["steel_304"])
        self._probe = TissueProbe(patient.volume, patient.labels, patient.articulation)
        self._done = 0
        self._down: NDArray[np.float64] | None = None
        _tell_movement(self.room.living, scenario)

    def at(self, time_s: float) -> Scene:
        """Return patient, instruments, contrast medium and the steel rod at ``time_s``."""
        scene = self.room.at(time_s)
        rod = self._scenario.needle_at(time_s)
        return scene if rod is None else self._with_rod(scene, rod)

    def catch_up(self, time_s: float, down: NDArray[np.float64]) -> None:
        """Carry out what the steps up to ``time_s`` do with instruments; ``down`` is the way contrast medium runs.

        Raises
        ------
        ScenarioError
            When an instrument cannot do what a step says.
        """
        if self._down is None or float(self._down @ down) < _SAME_WAY:
            self._down = down
            self.room.field.set_down(down, time_s=time_s)
        steps = self._scenario.steps
        while self._done < len(steps) and steps[self._done].at_s <= time_s + 1e-9:
            step = steps[self._done]
            self._done += 1
            try:
                self._handle(step)
            except ValueError as fault:
                raise ScenarioError(f"the step at {step.at_s:g} s: {fault}") from fault

    def _handle(self, step: Step) -> None:
        field, told, at_s = self.room.field, step.needle, step.at_s
        if told is not None and told.type is not None and told.entry_mm is not None and told.tip_mm is not None:
            entry, aim = np.asarray(told.entry_mm), np.asarray(told.tip_mm)
            # From outside the skin: the line enters where it meets the patient.
            field.add(told.type, self._reference + entry, aim - entry, time_s=at_s, name=_NEEDLE)
        if told is not None and told.rotate_deg is not None:
            field.rotate(told.rotate_deg, name=_NEEDLE)
        if told is not None and told.advance_mm is not None:
            field.advance(told.advance_mm, time_s=at_s, name=_NEEDLE)
        if told is not None and told.stylet is not None:
            field.set_stylet(told.stylet == "in", name=_NEEDLE)
        self._handle_catheter(step)
        if told is not None and told.remove:
            field.remove(_NEEDLE)
        if step.inject is not None:
            one = step.inject
            outlet = _CATHETER if _CATHETER in field.names else _NEEDLE
            field.inject(one.volume_ml, one.concentration_mgi_ml, one.rate_ml_s, time_s=at_s, name=outlet)
        self._handle_skin(step)

    def _handle_catheter(self, step: Step) -> None:
        field, told = self.room.field, step.catheter
        if told is None:
            return
        if told.type is not None:
            field.thread(told.type, through=_NEEDLE, name=_CATHETER)
        if told.advance_mm is not None:
            field.advance(told.advance_mm, time_s=step.at_s, name=_CATHETER)
        if told.remove:
            field.remove(_CATHETER)

    def _handle_skin(self, step: Step) -> None:
        field, marker, ruler = self.room.field, step.marker, step.ruler
        if marker is not None and marker.at_mm is not None:
            at, toward = np.asarray(marker.at_mm), np.asarray(marker.toward_mm)
            field.mark(self._reference + at, toward - at, time_s=step.at_s)
        if marker is not None and (marker.left_mm or marker.head_mm):
            field.move_marker(marker.left_mm, marker.head_mm, time_s=step.at_s)
        if marker is not None and marker.remove:
            field.unmark()
        if ruler is not None and ruler.start_mm is not None and ruler.end_mm is not None:
            start, end = (self._reference + np.asarray(point) for point in (ruler.start_mm, ruler.end_mm))
            field.lay_ruler(start, end)
        if ruler is not None and ruler.remove:
            field.take_ruler()

    def _with_rod(self, scene: Scene, rod: Needle) -> Scene:
        tip, entry = (self._reference + np.asarray(point) for point in (rod.tip_mm, rod.entry_mm))
        shape = Cylinder(_point(entry), _point(tip), rod.diameter_mm / 2.0, self._steel)
        truth = scene.truth if scene.truth is not None else SceneTruth()
        tissue = self._probe.at(tip, truth.frames or None)
        length_mm = float(np.linalg.norm(tip - entry))
        known = {
            "name": "rod",
            "type": "straight steel",
            "entry_mm": _point(entry),
            "tip_mm": _point(tip),
            "direction": _point((tip - entry) / length_mm) if length_mm else None,
            "depth_mm": length_mm,
            "tissue": tissue.tissue,
            "structure": tissue.structure,
        }
        told = replace(truth, needles=(*truth.needles, known))
        return replace(scene, shapes=(*scene.shapes, shape), truth=told)


def _point(values: NDArray[np.float64]) -> tuple[float, float, float]:
    x, y, z = (float(part) for part in values)
    return (x, y, z)


def _tell_movement(living: LivingPatient | None, scenario: Scenario) -> None:
    wanted = [name for step in scenario.steps for name in _MOVEMENTS if getattr(step, name) is not None]
    if living is None:
        if wanted:
            raise ScenarioError(f"{wanted[0]}: this patient cannot move, his vertebrae are not labelled")
        return
    if not living.articulation.joints and any(name in ("flexion_deg", "side_bend_deg") for name in wanted):
        raise ScenarioError("flexion_deg, side_bend_deg: the discs of this patient are not known, he cannot bend")
    try:
        _tell_bending(living, scenario)
        for at_s, force_n, over_s in _ramps(scenario.named("traction_n")):
            living.pull(at_s, force_n, over_s)
        for step in scenario.steps:
            _tell_rest(living, step)
    except ValueError as fault:
        raise ScenarioError(f"the patient cannot move so: {fault}") from fault


def _tell_bending(living: LivingPatient, scenario: Scenario) -> None:
    times = sorted({at_s for name in ("flexion_deg", "side_bend_deg") for at_s, _ in scenario.named(name)})
    for at_s, until_s, over_s in _ramps([(at_s, at_s) for at_s in times]):
        flexion = scenario.number_at("flexion_deg", until_s, 0.0)
        living.bend(at_s, flexion, scenario.number_at("side_bend_deg", until_s, 0.0), over_s)


def _ramps(named: list[tuple[float, float]]) -> list[tuple[float, float, float]]:
    """Return (begin s, value, length s) of the movements that reach each value at its time, from rest at 0 s."""
    ramps = []
    before_s = 0.0
    for at_s, value in named:
        if at_s <= 0.0:
            ramps.append((_LONG_BEFORE_S, value, _AT_ONCE_S))
        else:
            length_s = max(_AT_ONCE_S, at_s - before_s)
            ramps.append((at_s - length_s, value, length_s))
        before_s = max(0.0, at_s)
    return ramps


def _tell_rest(living: LivingPatient, step: Step) -> None:
    if step.shift is not None:
        to = step.shift
        living.shift(step.at_s, to.x_mm, to.y_mm, to.z_mm, to.turn_deg)
    if step.breathing == "breathe":
        living.breathe(step.at_s)
    elif step.breathing == "cough":
        living.cough(step.at_s)
    elif step.breathing is not None:
        living.hold_breath(step.at_s, at_expiration=step.breathing == "hold_expiration")
