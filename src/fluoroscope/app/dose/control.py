"""What keeps the dose of the open exam in bounds: screening, limits, budget; beside them pace and advice."""

import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, TypeVar

from fluoroscope.acquisition.clock import Clock
from fluoroscope.acquisition.frame import Frame, Provenance
from fluoroscope.app.console import Console
from fluoroscope.app.dose.advice import DoseAdviser, advice_status
from fluoroscope.app.dose.live_alerts import possible_peak
from fluoroscope.app.dose.rules import DoseRules
from fluoroscope.beam.technique import RadiationMode, Technique
from fluoroscope.dose.budget import Budget, BudgetRule, BudgetState, DoseQuantity
from fluoroscope.dose.ledger import DoseStatus
from fluoroscope.dose.limits import air_kerma_rate_mgy_min, entrance_point, refused_rate
from fluoroscope.dose.reference_levels import TypicalDose, pace
from fluoroscope.geometry.pose import CArmPose
from fluoroscope.live.loop import LiveLoop
from fluoroscope.monitor.control import RefusedError
from fluoroscope.procedure.catalogue import PROCEDURES, Procedure, procedure_named
from fluoroscope.procedure.screening import Screening, patient_facts

__all__ = ["DoseControl"]

T = TypeVar("T")

NO_PROCEDURE = {"name": "", "label": "not chosen"}
SPINE = Procedure("spine", "spine", "spine")
"""Whose needed field advice is given with while no procedure is chosen."""
ADVICE_EVERY_NS = 1_000_000_000
"""Advice is worked out anew once a second, and at once when the beam or the pedal changes."""


class DoseControl:
    """Follows the dose of a room, exam after exam, and refuses what its rules forbid. Safe from several threads.

    It listens to every pulse itself: a budget that is spent ends the exposure with the pulse that spent it, whether
    or not a page asks for the status.

    Parameters
    ----------
    rules
        Of the site.
    loop
        Whose journal takes every answer, override, budget and stop, and which a spent budget stops.
    clock
        Says when.
    console
        Of the C-arm, whose exposure control is held below the rate limit; None where there is none.
    peak_skin_mgy
        Gives the peak skin dose of the exam, mGy; None while nobody knows it.
    procedure_set
        Told what is done, whenever it is said.
    """

    COMMANDS = (
        "screening_answer",
        "screening_override",
        "set_procedure",
        "set_budget",
        "budget_overrule",
        "high_level",
    )

    def __init__(
        self,
        rules: DoseRules,
        loop: LiveLoop,
        clock: Clock,
        console: Console | None = None,
        peak_skin_mgy: Callable[[], float | None] | None = None,
        procedure_set: Callable[[str], None] | None = None,
    ) -> None:
        self._rules, self._loop, self._clock, self._console = rules, loop, clock, console
        self._peak_skin_mgy, self._procedure_set = peak_skin_mgy, procedure_set
        self._lock = threading.RLock()
        self._exam = ""
        self._procedure = ""
        self._high_level = False
        self._screening = Screening(rules.screening, patient_facts({}, simulated=True))
        self._budget: Budget | None = None
        self._budget_told = BudgetState.FREE
        self._typical = dict(rules.typical)
        self._values: dict[DoseQuantity, float | None] = {}
        self._adviser = None if console is None else DoseAdviser(console)
        self._advice: tuple[int, tuple[Any, ...], dict[str, Any] | None] | None = None
        loop.on_pulse(self._pulse)

    def begin(self, exam_uid: str, patient: Mapping[str, Any]) -> None:
        """Start the exam of a patient (the patient part of the status): nothing is answered, spent or overruled.

        The procedure stays that of the exam before: a list often goes on with the like.
        """
        if not self._irradiates:
            return
        simulated = self._loop.snapshot().source.provenance is Provenance.SIMULATED
        with self._lock:
            self._exam, self._high_level = exam_uid, False
            if self._adviser is not None:
                self._adviser.forget()
            facts = patient_facts(patient, simulated or bool(patient.get("synthetic")))
            self._screening = Screening(self._rules.screening, facts)
            self._values, self._budget = {}, self._new_budget(self._rules.budget_of(self._procedure))
            told = {
                "needed": self._screening.needed,
                "why": self._screening.why,
                "procedure": self._procedure,
                "budget": _rule_told(self._budget),
                "calibration": {"factor": self._rules.calibration.factor, "source": self._rules.calibration.source},
                "rules": self._rules.source,
            }
            try:
                self._hold_below(high_level=False)
            except ValueError:
                # By hand above the ordinary limit: the high-level control ends with its exam.
                if self._console is not None:
                    self._console.carm.control.automatic()
                self._hold_below(high_level=False)
        self._note("dose rules", told)

    @property
    def procedure(self) -> str:
        """What is done, of `procedure.catalogue`; "" while nobody has said it."""
        return self._procedure

    # Commands of the page

    def screening_answer(self, *, answer: str, by: str) -> None:
        """Take down whether the patient could be pregnant, and who asked."""
        with self._lock:
            self._screening = _refused(lambda: self._screening.answered(answer, by), "answer")
            told = {"answer": answer, "by": self._screening.by, "blocks": self._screening.blocks}
        self._note("screening answer", told)

    def screening_override(self, *, by: str, reason: str) -> None:
        """Let X-ray go on without an answer or in spite of it."""
        with self._lock:
            before = self._screening
            self._screening = _refused(lambda: before.overridden(by, reason), "reason")
            told = {"by": " ".join(by.split()), "reason": " ".join(reason.split()), "in_spite_of": before.why}
        self._note("screening override", told)

    def set_procedure(self, *, name: str) -> None:
        """Say what is done; its budget and typical doses hold from now on."""
        if name:
            _refused(lambda: procedure_named(name), "name")
        with self._lock:
            self._procedure = name
            rule, before = self._rules.budget_of(name), self._budget
            if (None if before is None else before.rule) != rule:
                self._budget = self._new_budget(rule)
            told = {"name": name, "budget": _rule_told(self._budget)}
        self._note("procedure", told)
        if self._procedure_set is not None:
            self._procedure_set(name)

    def set_budget(self, *, quantity: str, limit: float | None) -> None:
        """Set another budget, in the quantity's unit; None is none."""
        if quantity not in set(DoseQuantity):
            raise RefusedError(f"a budget is of {', '.join(DoseQuantity)}, not {quantity}", "quantity")
        with self._lock:
            rule = (
                None
                if limit is None
                else _refused(lambda: BudgetRule(DoseQuantity(quantity), float(limit), "set in the room"), "limit")
            )
            self._budget = self._new_budget(rule)
            told = {"quantity": quantity, "limit": None if rule is None else rule.limit}
        self._note("dose budget", told)

    def budget_overrule(self, *, by: str, reason: str) -> None:
        """Let X-ray go on above the budget."""
        with self._lock:
            if self._budget is None:
                raise RefusedError("there is no budget to overrule")
            budget = self._budget
            self._budget = _refused(lambda: budget.overrule(by, reason), "reason")
            told = {"by": " ".join(by.split()), "reason": " ".join(reason.split()), "budget": _rule_told(budget)}
        self._note("dose budget overruled", told)

    def high_level(self, *, on: bool) -> None:
        """Switch the high-level control of fluoroscopy on or off; it is off again in the next exam."""
        with self._lock:
            _refused(lambda: self._hold_below(high_level=bool(on)), "on")
        self._note("high-level control", {"on": bool(on)})

    # What the room calls

    def before_press(
        self, technique: Technique | None = None, mode: RadiationMode | None = None, pose: CArmPose | None = None
    ) -> None:
        """Raise `RefusedError`, saying what to do, when screening, budget or rate limit forbid this press."""
        if not self._irradiates:
            return
        with self._lock:
            if self._screening.blocks:
                raise RefusedError(f"no X-ray before the pregnancy screening: {self._screening.why}")
            self._follow_values(self._loop.snapshot().dose)
            budget = self._budget
            if budget is not None and budget.stopped:
                raise RefusedError(f"no X-ray: {_spent(budget)}; overrule it with a reason, or set another")
            limit = self._rules.limits.at(self._high_level)
        if technique is not None and pose is not None:
            wanted = technique if mode is None else replace(technique, mode=mode)
            told = refused_rate(wanted, entrance_point(pose.source_to_detector_mm), limit)
            if told is not None:
                raise RefusedError(told)

    def _pulse(self, frame: Frame) -> None:
        if self._adviser is not None:
            self._adviser.pulse(frame)
        self.follow(self._loop.snapshot().dose)

    def follow(self, dose: DoseStatus) -> None:
        """Take in the running totals; a budget that is spent stops the exposure, once."""
        if not self._irradiates:
            return
        with self._lock:
            self._follow_values(dose)
            budget = self._budget
            if budget is None or budget.state is self._budget_told:
                return
            self._budget_told = budget.state
        if budget.stopped:
            self._note("dose budget spent", {"budget": _rule_told(budget), "value": budget.value})
            self._loop.halt(_spent(budget))
        elif budget.state is BudgetState.WARNED:
            self._note("dose budget warning", {"budget": _rule_told(budget), "value": budget.value})

    def use_typical(self, typical: TypicalDose) -> None:
        """Take a room's own medians, over those of its rules and the published ones; without any, those hold again."""
        with self._lock:
            self._typical[typical.procedure] = typical.over(self._rules.typical.get(typical.procedure))

    def status(self) -> dict[str, Any]:
        """Return the part ``dose.control`` of the status, JSON-ready."""
        if not self._irradiates:
            return dict.fromkeys(("screening", "pace", "advice", "budget", "limits", "calibration"))
        snapshot = self._loop.snapshot()
        self.follow(snapshot.dose)
        advice = self._advice_status(snapshot.event_uid if snapshot.x_ray_on else None)
        with self._lock:
            return {
                "screening": self._screening.status(),
                "pace": self._pace_status(),
                "advice": advice,
                "budget": self._budget_status(),
                "limits": self._limits_status(),
                "calibration": {
                    "factor": self._rules.calibration.factor,
                    "source": self._rules.calibration.source or "not calibrated: readings as they are",
                },
            }

    # Inner works

    @property
    def _irradiates(self) -> bool:
        return self._loop.snapshot().source.provenance is not Provenance.RECORDED

    def _note(self, text: str, data: Mapping[str, Any]) -> None:
        self._loop.note(text, {**data, "at": self._clock.utc_now().isoformat()})

    def _hold_below(self, high_level: bool) -> None:
        """Hold the exposure control below the limit that is to hold."""
        limit = self._rules.limits.at(high_level)
        control = None if self._console is None else self._console.carm.control
        if control is not None:
            control.set_entrance_limit(limit)
        self._high_level = high_level

    def _follow_values(self, dose: DoseStatus) -> None:
        self._values = {
            DoseQuantity.AIR_KERMA: dose.air_kerma_mgy,
            DoseQuantity.KAP: dose.kap_gy_cm2,
            DoseQuantity.FLUOROSCOPY_TIME: dose.fluoroscopy_time_s,
        }
        if self._budget is not None:
            self._budget = self._budget.followed(self._value(self._budget.rule.quantity))

    def _value(self, quantity: DoseQuantity) -> float | None:
        """Return the present value; the skin is asked only when it has a budget, since that looks at every cell."""
        if quantity is not DoseQuantity.PEAK_SKIN_DOSE:
            return self._values.get(quantity)
        return None if self._peak_skin_mgy is None else possible_peak(self._peak_skin_mgy())

    def _new_budget(self, rule: BudgetRule | None) -> Budget | None:
        self._budget_told = BudgetState.FREE
        return None if rule is None else Budget(rule).followed(self._value(rule.quantity))

    def _pace_status(self) -> dict[str, Any]:
        known = pace(self._values, self._typical.get(self._procedure))
        return {
            "procedure": self._procedure,
            "label": PROCEDURES[self._procedure].label if self._procedure else NO_PROCEDURE["label"],
            "choices": [NO_PROCEDURE, *({"name": one.name, "label": one.label} for one in PROCEDURES.values())],
            "rows": [
                {
                    "quantity": row.quantity.value,
                    "words": row.quantity.words,
                    "unit": row.quantity.unit,
                    "value": row.value,
                    "typical": row.typical,
                    "reference_level": row.reference_level,
                    "fraction_of_typical": row.fraction_of_typical,
                    "quartiles": None if row.quartiles is None else list(row.quartiles),
                }
                for row in known.rows
            ],
            "source": known.source if self._procedure else "choose the procedure",
        }

    def _advice_status(self, event_uid: str | None) -> dict[str, Any] | None:
        adviser, console = self._adviser, self._console
        if adviser is None or console is None:
            return None
        procedure, now_ns = PROCEDURES.get(self._procedure, SPINE), self._clock.monotonic_ns()
        control = console.carm.control
        state = (event_uid, procedure.name, console.carm.setup, control.dose_level, console.shown_technique())
        known = self._advice
        if known is None or known[1] != state or now_ns - known[0] >= ADVICE_EVERY_NS:
            known = self._advice = now_ns, state, advice_status(adviser.cheapest(procedure, event_uid))
        return known[2]

    def _budget_status(self) -> dict[str, Any] | None:
        budget = self._budget
        if budget is None:
            return None
        overruled = budget.overruled
        return {
            **_rule_told(budget),
            "words": budget.rule.quantity.words,
            "value": budget.value,
            "fraction": budget.fraction,
            "stopped": budget.stopped,
            "overruled": None if overruled is None else {"by": overruled.by, "reason": overruled.reason},
        }

    def _limits_status(self) -> dict[str, Any]:
        limits, rate, at, console = self._rules.limits, None, "30 cm in front of the image receptor", self._console
        if console is not None:
            point = entrance_point(console.carm.pose.source_to_detector_mm)
            rate = air_kerma_rate_mgy_min(console.shown_technique(), point.source_distance_mm)
            at = point.words
        return {
            "rate_mgy_min": rate,
            "limit_mgy_min": limits.at(self._high_level),
            "at": f"{at} ({limits.source})",
            "high_level": self._high_level,
        }


def _rule_told(budget: Budget | None) -> dict[str, Any]:
    if budget is None:
        return {}
    rule = budget.rule
    return {"quantity": rule.quantity.value, "limit": rule.limit, "unit": rule.quantity.unit, "source": rule.source}


def _spent(budget: Budget) -> str:
    rule = budget.rule
    return f"the budget of {rule.limit:g} {rule.quantity.unit} {rule.quantity.words} is spent"


def _refused(change: Callable[[], T], field: str) -> T:
    try:
        return change()
    except (ValueError, TypeError) as fault:
        raise RefusedError(str(fault), field) from fault
