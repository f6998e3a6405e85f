"""The drawn room's dose: a skin that takes it, a case beside typical ones, rules that may forbid, a patient's history.

Simple but honest: what it tells follows from the pulses given and from what it was told. The skin is the elliptic
cylinder of the drawn bedside, in patient coordinates (LPS) about the isocentre.
"""

import json
from typing import Any

import numpy as np

from fluoroscope.geometry.pose import CArmPose, beam_axes
from fluoroscope.monitor.control import Asset, RefusedError

SKIN_MM = (170.0, 110.0)
LENGTH_MM = 600.0
ROWS, COLUMNS = 30, 48
RATE_LIMIT_MGY_MIN, HIGH_LIMIT_MGY_MIN = 88.0, 176.0
PROCEDURES = {
    "lumbar_epidural": ("Lumbar epidural injection", 2.8, 6.0, 9.0, 41.0),
    "facet": ("Facet joint injection", 1.9, 4.5, 6.0, 30.0),
    "kyphoplasty": ("Kyphoplasty, one level, with a long name that must fit", 60.0, 120.0, 400.0, 380.0),
}
"""Label, typical KAP and reference level in Gy·cm², typical air kerma in mGy and time in s; drawn, not published."""
UNASKED: dict[str, Any] = {
    "needed": False, "question": "", "answer": None, "by": None, "blocks": False, "override": None, "why": "",
}  # fmt: skip
QUESTION = "Could this patient be pregnant?"


class PhantomDose:
    """Dose commands and figures of the drawn room; mixed into it."""

    _dose: dict[str, float]
    _event: dict[str, Any]
    _position: str
    _technique: dict[str, Any]
    _state: str
    _delivered: int
    alerts: dict[str, Any]

    def _remember_nothing(self) -> None:
        """Begin as a room that knows nobody."""
        self.procedure = "lumbar_epidural"
        self.screening: dict[str, Any] = dict(UNASKED)
        self.budget: dict[str, Any] | None = None
        self.high_level = False
        self.calibration: dict[str, Any] | None = None
        self.outside: list[dict[str, Any]] = []
        self.remembered: dict[str, Any] | None = None
        self.trouble = ""
        self.conceptus_weeks: float | None = None
        self._outside_count = 0

    def _begin_dose(self) -> None:
        """Begin an exam: its skin has no dose yet."""
        around = np.linspace(0.0, 2.0 * np.pi, COLUMNS, endpoint=False) + np.pi / COLUMNS
        along = (np.arange(ROWS) + 0.5) / ROWS * LENGTH_MM - LENGTH_MM / 2.0
        x, y = SKIN_MM[0] * np.sin(around), -SKIN_MM[1] * np.cos(around)
        self._cells = np.stack(np.broadcast_arrays(x[None, :], y[None, :], along[:, None]), axis=-1)
        self._outward = self._cells / np.array([SKIN_MM[0] ** 2, SKIN_MM[1] ** 2, np.inf])
        self._skin_mgy = np.zeros((ROWS, COLUMNS))
        self._skin_revision = 0
        if self.screening["needed"]:
            self.ask_screening()

    def _skin_pulse(self, pose: CArmPose, kerma_mgy: float, half_mm: float, source_to_isocenter_mm: float) -> None:
        """Give the skin in the field a pulse."""
        # Prone: the patient's left is −x and his back −y of the equipment.
        turn = np.array([-1.0, -1.0, 1.0]) if self._position.endswith("P") else np.ones(3)
        axes = beam_axes(pose)
        d, u, v = (turn * np.asarray(axis) for axis in (axes.d, axes.u, axes.v))
        source = turn * np.asarray(pose.isocenter_mm) - source_to_isocenter_mm * d
        ray = self._cells - source
        depth = ray @ d
        hit = (np.abs(ray @ u / depth * source_to_isocenter_mm) < half_mm) & (
            np.abs(ray @ v / depth * source_to_isocenter_mm) < half_mm
        )
        hit &= np.einsum("rcx,rcx->rc", self._outward, -ray) > 0.0
        self._skin_mgy += np.where(hit, kerma_mgy * ((source_to_isocenter_mm - 150.0) / depth) ** 2 * 1.3, 0.0)
        self._skin_revision += 1

    # Told

    def _dose_told(self) -> dict[str, Any]:
        return {"skin": self._skin_told(), "control": self._control_told(), "estimates": self._estimates_told()} | {
            "staff": {"revision": 1}
        }

    def _alerts_told(self) -> dict[str, Any]:
        value = self._dose["air_kerma_mgy"] / 1000.0
        level = 3.0 + max(0, int(value - 2.0))
        following = {
            "quantity": "air_kerma", "words": "air kerma at the reference point", "level": level, "unit": "Gy",
            "kind": "first" if level == 3.0 else "next", "source": "NCRP 168; SIR 2009", "value": value,
            "fraction": value / level,
        }  # fmt: skip
        return {"next": following} | self.alerts

    def _skin_told(self) -> dict[str, Any] | None:
        if self._skin_revision == 0:
            return None
        peak = np.unravel_index(int(np.argmax(self._skin_mgy)), self._skin_mgy.shape)
        at = self._cells[peak]
        return {
            "revision": self._skin_revision,
            "peak_mgy": float(self._skin_mgy[peak]),
            "uncertainty_percent": 45.0,
            "share_on_patient": 0.94,
            "where": ("front" if at[1] < 0 else "back") + (", right side" if at[0] < -60 else ""),
            "position_mm": [round(float(part), 1) for part in at],
            "phantom": "drawn cylinder",
            "estimate": False,
        }

    def _control_told(self) -> dict[str, Any]:
        rate = self._dose["air_kerma_mgy"] and self._rate_mgy_min() * 0.6
        return {
            "screening": dict(self.screening),
            "pace": self._pace_told(),
            "advice": self._advice_told(),
            "budget": self._budget_told(),
            "limits": {
                "rate_mgy_min": rate if self._state == "EXPOSING" else 0.0,
                "limit_mgy_min": HIGH_LIMIT_MGY_MIN if self.high_level else RATE_LIMIT_MGY_MIN,
                "at": "30 cm from the image receptor",
                "high_level": self.high_level,
            },
            "calibration": self.calibration,
        }

    def _pace_told(self) -> dict[str, Any]:
        label, typical, level, kerma, seconds = PROCEDURES[self.procedure]
        rows = []
        for quantity, words, unit, value, usual, reference in (
            ("kap", "kerma-area product", "Gy·cm²", self._dose["kap_gy_cm2"], typical, level),
            ("air_kerma", "air kerma at the reference point", "mGy", self._dose["air_kerma_mgy"], kerma, None),
            ("fluoroscopy_time", "fluoroscopy time", "s", self._dose["fluoroscopy_time_s"], seconds, None),
        ):
            rows.append({
                "quantity": quantity, "words": words, "unit": unit, "value": value, "typical": usual,
                "reference_level": reference, "fraction_of_typical": value / usual, "quartiles": None,
            })  # fmt: skip
        choices = [{"name": name, "label": one[0]} for name, one in PROCEDURES.items()]
        return {
            "procedure": self.procedure, "label": label, "choices": choices, "rows": rows,
            "source": "drawn numbers, for work on the page",
        }  # fmt: skip

    def _advice_told(self) -> dict[str, Any] | None:
        rates = [1, 2, 3.75, 7.5, 15, 30]
        now = self._technique["pulse_rate_hz"]
        if now <= 2:
            return None
        lower = rates[rates.index(now) - 1]
        return {
            "text": f"{lower:g} pulses/s instead of {now:g}", "saving_percent": round(100 * (1 - lower / now)),
            "command": {"name": "set_technique", "args": {"pulse_rate_hz": lower}},
        }  # fmt: skip

    def _budget_told(self) -> dict[str, Any] | None:
        if self.budget is None:
            return None
        words, unit, of = {
            "kap": ("kerma-area product", "Gy·cm²", self._dose["kap_gy_cm2"]),
            "air_kerma": ("air kerma at the reference point", "mGy", self._dose["air_kerma_mgy"]),
            "fluoroscopy_time": ("fluoroscopy time", "s", self._dose["fluoroscopy_time_s"]),
        }[self.budget["quantity"]]
        limit = self.budget["limit"]
        return {
            **self.budget, "words": words, "unit": unit, "value": of, "fraction": of / limit,
            "stopped": of >= limit and self.budget["overruled"] is None,
        }  # fmt: skip

    def _estimates_told(self) -> dict[str, Any] | None:
        kap = self._dose["kap_gy_cm2"]
        if kap == 0.0:
            return None
        effective = 0.33 * kap
        conceptus = None if self.conceptus_weeks is None else {
            "mgy": 0.77 * self._dose["air_kerma_mgy"], "low_mgy": 0.5 * self._dose["air_kerma_mgy"],
            "high_mgy": 1.1 * self._dose["air_kerma_mgy"], "band": "below 50 mGy", "text": "no measurable effect",
        }  # fmt: skip
        return {
            "effective_msv": effective, "effective_spread": [0.6 * effective, 1.4 * effective],
            "coefficient": {"name": "lumbar, AP and lateral", "msv_per_gy_cm2": 0.33, "source": "drawn"},
            "organs": [{"name": "colon", "mgy": 0.9 * effective}, {"name": "uterus", "mgy": 0.7 * effective}],
            "conceptus": conceptus,
            "risk": {
                "per_million": 41.0 * effective, "model": "ICRP 103, adults",
                "text": "for comparing, not for one person",
            },
            "note": "Effective dose is for comparing, not for one patient.",
        }  # fmt: skip

    def _history_told(self) -> dict[str, Any] | None:
        nothing = dict.fromkeys(("air_kerma_mgy", "kap_gy_cm2", "fluoroscopy_time_s", "effective_msv", "peak_skin_mgy"))
        told = self.remembered or {
            "known": False, "patient_id": "drawn", "exams": 0, "since": None, "cumulative": nothing, "last": None,
            "unknown": [], "lines": [],
        }  # fmt: skip
        return {**told, "outside": [dict(one) for one in self.outside], "trouble": self.trouble}

    def _dose_asset(self, name: str) -> Asset | None:
        if name == "skin.json":
            around = np.linspace(0.0, 2.0 * np.pi, COLUMNS + 1)
            along = np.arange(ROWS + 1) / ROWS * LENGTH_MM - LENGTH_MM / 2.0
            x, y = SKIN_MM[0] * np.sin(around), -SKIN_MM[1] * np.cos(around)
            corners = np.stack(np.broadcast_arrays(x[None, :], y[None, :], along[:, None]), axis=-1)
            return _json({
                "uid": "drawn", "rows": ROWS, "columns": COLUMNS, "points_mm": corners.round(1).reshape(-1).tolist(),
                "around_mm": 890.0,
            })  # fmt: skip
        if name == "skin-dose.json":
            return _json({
                "uid": "drawn", "revision": self._skin_revision, "peak_index": int(np.argmax(self._skin_mgy)),
                "dose_mgy": [float(f"{one:.4g}") for one in self._skin_mgy.reshape(-1)],
            })  # fmt: skip
        return _json(_staff()) if name == "staff.json" else None

    # Commands

    def _press_allowed(self) -> None:
        if self.screening["blocks"]:
            raise RefusedError(f"no X-ray yet: {self.screening['why']}")
        budget = self._budget_told()
        if budget is not None and budget["stopped"]:
            raise RefusedError(f"no X-ray: the budget of {budget['limit']:g} {budget['unit']} is spent")

    def ask_screening(self) -> None:
        """Let the site's rule ask."""
        self.screening = UNASKED | {
            "needed": True, "question": QUESTION, "blocks": True, "why": "woman of 31 years: ask before X-ray",
        }  # fmt: skip

    def _do_screening_answer(self, answer: str, by: str) -> None:
        if not by.strip():
            raise RefusedError("say who asked", "by")
        blocks = answer != "no" and self.screening["override"] is None
        why = "the answer is not no: X-ray needs a reason" if blocks else ""
        self.screening = self.screening | {"answer": answer, "by": by.strip(), "blocks": blocks, "why": why}

    def _do_screening_override(self, by: str, reason: str) -> None:
        if not by.strip() or not reason.strip():
            raise RefusedError("an override needs a name and a reason", "reason" if by.strip() else "by")
        self.screening = self.screening | {"blocks": False, "override": {"by": by, "reason": reason}}

    def _do_set_procedure(self, name: str) -> None:
        if name not in PROCEDURES:
            raise RefusedError(f"procedure {name}: choose one of {', '.join(PROCEDURES)}", "name")
        self.procedure = name

    def _do_set_budget(self, quantity: str, limit: float | None = None) -> None:
        if limit is not None and limit <= 0.0:
            raise RefusedError("a budget is more than 0", "limit")
        self.budget = None if limit is None else {"quantity": quantity, "limit": limit, "overruled": None}

    def _do_budget_overrule(self, by: str, reason: str) -> None:
        if self.budget is None:
            raise RefusedError("no budget is set")
        if not by.strip() or not reason.strip():
            raise RefusedError("overruling needs a name and a reason", "reason" if by.strip() else "by")
        self.budget = self.budget | {"overruled": {"by": by, "reason": reason}}

    def _do_high_level(self, on: bool) -> None:
        self.high_level = on

    def _do_outside_add(self, kind: str, **about: Any) -> None:
        self._outside_count += 1
        empty = {"body_part": "", "place": "", "when": "", "confirmed": False}
        self.outside.append({"id": self._outside_count, "kind": kind} | empty | about)

    def _do_outside_remove(self, id: str | int) -> None:
        if not any(one["id"] == id for one in self.outside):
            raise RefusedError(f"outside exposure {id} is gone")
        self.outside = [one for one in self.outside if one["id"] != id]

    def _rate_mgy_min(self) -> float:
        raise NotImplementedError


def _json(content: Any) -> Asset:
    return Asset(json.dumps(content).encode(), "application/json")


def _staff() -> dict[str, Any]:
    """Scatter falls with the square of the distance, twice as strong on the tube's side (+y is below the table)."""
    xs, zs = np.linspace(-2000.0, 2000.0, 21), np.linspace(-2000.0, 2000.0, 21)
    squared = (xs[None, :] ** 2 + zs[:, None] ** 2) / 1e6
    rates = 120.0 / np.maximum(squared, 0.15)
    people = [("operator", -600.0, 300.0), ("assistant", -1200.0, 900.0)]
    positions = []
    for name, x, z in people:
        rate = 120.0 / ((x**2 + z**2) / 1e6)
        positions.append({
            "name": name, "x_mm": x, "z_mm": z, "usv_per_h": round(rate, 1), "usv_so_far": 0.4,
            "with_apron_usv_per_h": round(0.05 * rate, 2),
        })  # fmt: skip
    return {
        "positions": positions,
        "map": {"x_mm": xs.tolist(), "z_mm": zs.tolist(), "usv_per_h": rates.round(2).tolist()},
        "advice": "One step back halves it.",
        "tube_side": "under the table",
        "source": "drawn",
    }
