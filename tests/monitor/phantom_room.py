"""A small real room for tests and for work on the page: a drawn spine that moves, and honest states.

Serve it with the real server: ``python tests/monitor/phantom_room.py --port 8123``.
"""

import argparse
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from fluoroscope.geometry.pose import CArmPose, beam_axes
from fluoroscope.monitor.control import Asset, MonitorFrame, RefusedError

sys.path.insert(0, str(Path(__file__).parent))
from phantom_bedside import PATIENTS, PhantomBedside
from phantom_dose import PhantomDose

SOURCE_TO_DETECTOR_MM = 1020.0
SOURCE_TO_ISOCENTER_MM = 510.0
MAGNIFICATION = SOURCE_TO_DETECTOR_MM / SOURCE_TO_ISOCENTER_MM
FIELDS_MM = (300.0, 220.0, 150.0)
NO_ALERTS: dict[str, Any] = {"count": 0, "up_to": None, "open": []}
TABLE_LIMITS = {
    "lateral_mm": [-150, 150],
    "longitudinal_mm": [-300, 300],
    "height_mm": [-100, 100],
    "tilt_deg": [-15, 15],
    "cradle_deg": [-15, 15],
    "yaw_deg": [-10, 10],
}
KEPT_FRAMES = 90
KEPT_RUNS = 3


@dataclass
class Joint:
    name: str
    label: str
    unit: str
    value: float
    minimum: float
    maximum: float
    step: float

    def told(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "label": self.label,
            "unit": self.unit,
            "value": self.value,
            "min": self.minimum,
            "max": self.maximum,
            "step": self.step,
        }


def _wrap(angle_deg: float) -> float:
    return -((-angle_deg + 180.0) % 360.0 - 180.0)


def view_text(primary_deg: float, secondary_deg: float) -> str:
    """Say a patient-based view: primary +90 is the detector at the patient's left, 0 at the front."""
    side, size = ("LEFT" if primary_deg > 0 else "RIGHT"), abs(primary_deg)
    if size <= 5:
        text = "postero-anterior"
    elif size >= 175:
        text = "antero-posterior"
    elif abs(size - 90) <= 5:
        text = f"lateral, detector at the patient's {side}"
    elif size < 90:
        text = f"patient {side} anterior oblique {size:.0f}°"
    else:
        text = f"patient {side} posterior oblique {180 - size:.0f}°"
    if abs(secondary_deg) >= 0.5:
        text += f", {'cranial' if secondary_deg > 0 else 'caudal'} {abs(secondary_deg):.0f}°"
    return text


def side_letters(pose: CArmPose) -> dict[str, str]:
    """Return the letters at the picture's edges: prone, the patient's left is −x and the back is −y."""
    u = beam_axes(pose).u
    sides = ("R", "L") if u[0] > 0 else ("L", "R")
    if abs(u[0]) < 0.5:
        sides = ("P", "A") if u[1] < 0 else ("A", "P")
    return {"column_right": sides[0], "column_left": sides[1], "top": "H", "bottom": "F"}


class PhantomRoom(PhantomDose, PhantomBedside):
    """Implements ``RoomControl``: frames of a drawn spine at the pulse rate while the pedal is down."""

    def __init__(self, rows: int = 512, columns: int = 512) -> None:
        self._changed = threading.Condition(threading.RLock())
        self._shape = (rows, columns)
        self._joints = {
            j.name: j
            for j in (
                Joint("orbital", "Orbital", "°", 0.0, -95.0, 95.0, 1.0),
                Joint("angulation", "Angulation", "°", 0.0, -45.0, 45.0, 1.0),
                Joint("lift", "Height", "mm", 0.0, -100.0, 200.0, 5.0),
                Joint("lateral", "Lateral", "mm", 0.0, -100.0, 100.0, 5.0),
                Joint("longitudinal", "Longitudinal", "mm", 0.0, -200.0, 200.0, 5.0),
            )
        }
        self._table = dict.fromkeys(TABLE_LIMITS, 0.0)
        self._field = 0
        self._collimation = dict.fromkeys(("left_mm", "right_mm", "upper_mm", "lower_mm"), 150.0)
        self._technique: dict[str, Any] = {
            "tube_voltage_kv": 70.0,
            "tube_current_ma": 3.0,
            "pulse_width_ms": 8.0,
            "pulse_rate_hz": 7.5,
            "copper_mm": 0.1,
            "automatic": True,
            "dose_level": "normal",
        }
        self._mode = "fluoroscopy"
        self._recursion = 0.5
        self._noise = np.random.default_rng(7).normal(0.0, 900.0, (rows + 64, columns + 64)).astype(np.int32)
        self._remember_nothing()
        self._dose_of_exam()
        self._lie_down()
        self.alerts, self.alerts_seen_by = dict(NO_ALERTS), ""
        self._messages = [{"id": "drawn", "level": "info", "text": "This is a drawn spine, for work on the page."}]
        self._state, self._reason = "READY", ""
        self._pedal = False
        self._frames: dict[str, MonitorFrame] = {}
        self._anatomy: tuple[tuple[float, ...], np.ndarray[Any, Any]] | None = None
        self._closed = False
        self.lost_count = 0
        self.commands: list[tuple[str, dict[str, Any]]] = []
        self._threads = [
            threading.Thread(target=self._expose, name="phantom-live", daemon=True),
            threading.Thread(target=self._replay, name="phantom-replay", daemon=True),
        ]
        for thread in self._threads:
            thread.start()

    # The port of the monitor

    def status(self) -> Mapping[str, Any]:
        with self._changed:
            pose, size_mm = self._pose(), FIELDS_MM[self._field]
            axes = beam_axes(pose)
            patient_primary = _wrap(pose.primary_deg + 180.0)
            isocenter = np.array(pose.isocenter_mm)
            return {
                "state": self._state,
                "x_ray_on": self._state == "EXPOSING" and self._pedal,
                "state_reason": self._reason,
                "simulated": True,
                **self._bedside_status(),
                "exam": {
                    "uid": self._exam_uid,
                    "folder": "/data/exams/phantom",
                    "started": self._exam_started,
                },
                "carm": {
                    "model": "phantom C-arm 1020/510",
                    "joints": [j.told() for j in self._joints.values()],
                    "primary_deg": pose.primary_deg,
                    "secondary_deg": pose.secondary_deg,
                    "roll_deg": 0.0,
                    "patient_primary_deg": patient_primary,
                    "patient_secondary_deg": pose.secondary_deg,
                    "view_text": view_text(patient_primary, pose.secondary_deg),
                    "source_to_detector_mm": SOURCE_TO_DETECTOR_MM,
                    "source_to_isocenter_mm": SOURCE_TO_ISOCENTER_MM,
                },
                "table": {**self._table, "limits": TABLE_LIMITS},
                "detector": {
                    "rows": self._shape[0],
                    "columns": self._shape[1],
                    "pitch_mm": size_mm / self._shape[1],
                    "field_index": self._field,
                    "fields": [{"label": f"{f / 10:.0f} cm", "size_mm": f} for f in FIELDS_MM],
                },
                "collimation": {**self._collimation, "field_mm": size_mm},
                "technique": {
                    **self._technique,
                    "mode": self._mode,
                    "pulse_rates_hz": [1, 2, 3.75, 7.5, 15, 30],
                    "coppers_mm": [0, 0.1, 0.2, 0.3],
                    "limited_by": None,
                },
                "chain": {"recursion": self._recursion},
                "dose": {
                    "air_kerma_rate_mgy_min": self._rate_mgy_min() if self._state == "EXPOSING" else 0.0,
                    **self._dose,
                    "reference_point": "15 cm from isocentre toward the source",
                    "source": "simulated",
                    "five_minute_signal": self._dose["fluoroscopy_time_s"] - self._signal_from_s >= 300.0,
                    "event": dict(self._event),
                    "alerts": self._alerts_told(),
                    **self._dose_told(),
                },
                "history": self._history_told(),
                "guidance": None,
                "links": None,
                "pulses": {
                    "delivered": self._delivered,
                    "dropped": self._dropped,
                    "render_ms": self._render_ms,
                },
                "stored": [dict(told) for told, _ in self._stored],
                "runs": [
                    {"event_number": n, "time": t, "frames": c, "recorded": n in self._runs}
                    for n, t, c in self._run_list
                ],
                "markers": side_letters(pose),
                "shown": dict(self._shown),
                "room": {
                    "source_mm": (isocenter - SOURCE_TO_ISOCENTER_MM * axes.d).tolist(),
                    "detector_center_mm": (
                        isocenter + (SOURCE_TO_DETECTOR_MM - SOURCE_TO_ISOCENTER_MM) * axes.d
                    ).tolist(),
                    "u": axes.u.tolist(),
                    "v": axes.v.tolist(),
                    "c_back": (-axes.u).tolist(),
                    "isocenter_mm": list(pose.isocenter_mm),
                    "patient_position": self._position,
                },
                "replay": dict(self._replay_told),
                "messages": [dict(m) for m in self._messages],
            }

    def command(self, name: str, args: Mapping[str, Any]) -> Mapping[str, Any]:
        with self._changed:
            self.commands.append((name, dict(args)))
            result = getattr(self, f"_do_{name}")(**args) or {}
            self._changed.notify_all()
            return result

    def latest(self, channel: str, after_ns: int, timeout_s: float) -> MonitorFrame | None:
        with self._changed:
            self._changed.wait_for(
                lambda: self._closed or self._shown_ns(channel) > after_ns,
                timeout_s,
            )
            frame = self._frames.get(channel)
            return frame if frame is not None and frame.acquired_ns > after_ns else None

    def asset(self, name: str) -> Asset | None:
        with self._changed:
            return self._dose_asset(name) or super().asset(name)

    def operator_lost(self) -> None:
        with self._changed:
            self.lost_count += 1
            self._pedal = False
            self._changed.notify_all()

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._pedal = False
            self._changed.notify_all()
        for thread in self._threads:
            thread.join(5.0)

    # What tests ask of the room

    @property
    def exposing(self) -> bool:
        return self._state == "EXPOSING"

    def wait_for(self, condition: Any, timeout_s: float = 10.0) -> bool:
        with self._changed:
            return bool(self._changed.wait_for(condition, timeout_s))

    def show(self, frame: MonitorFrame) -> None:
        with self._changed:
            self._frames[frame.channel] = frame
            self._changed.notify_all()

    def fault(self, reason: str) -> None:
        with self._changed:
            self._state, self._reason, self._pedal = "FAULT", reason, False
            self._messages.append({"id": "fault", "level": "stop", "text": reason})
            self._changed.notify_all()

    # Commands

    def _do_pedal(self, down: bool, mode: str = "fluoroscopy") -> None:
        if down and self._state == "FAULT":
            raise RefusedError(f"no X-ray: {self._reason}; solve it, then choose the patient again")
        if down:
            self._press_allowed()
        if down and not self._pedal:
            self._mode = mode
        self._pedal = down

    def _do_stop(self) -> None:
        self._pedal = False
        self._replay_told = {"playing": False, "clip": None, "frame": 0, "frames": 0}

    def _do_move_joints(self, **joints: float) -> None:
        for name, value in joints.items():
            joint = self._joint(name)
            if not joint.minimum <= value <= joint.maximum:
                raise RefusedError(f"{joint.label} {value:g} is out of reach ({joint.minimum:g} to {joint.maximum:g})")
        for name, value in joints.items():
            self._joints[name].value = value

    def _do_nudge_joints(self, **joints: float) -> None:
        for name, delta in joints.items():
            joint = self._joint(name)
            joint.value = min(max(joint.value + delta, joint.minimum), joint.maximum)

    def _do_view(self, name: str) -> None:
        self._do_move_joints(orbital={"ap": 0.0, "lateral": 90.0, "oblique": 25.0}[name], angulation=0.0)

    def _do_move_table(self, **shifts: float) -> None:
        for name, value in shifts.items():
            low, high = TABLE_LIMITS[name]
            if not low <= value <= high:
                raise RefusedError(f"table {name} {value:g} is out of reach: {low} to {high}")
        self._table.update(shifts)

    def _do_nudge_table(self, **shifts: float) -> None:
        for name, delta in shifts.items():
            low, high = TABLE_LIMITS[name]
            self._table[name] = min(max(self._table[name] + delta, low), high)

    def _do_set_field(self, index: int) -> None:
        if not 0 <= index < len(FIELDS_MM):
            raise RefusedError(f"field {index} does not exist: 0 to {len(FIELDS_MM) - 1}")
        self._field = index
        self._do_set_collimation(open=True)

    def _do_set_collimation(self, open: bool = False, **edges: float) -> None:
        half = FIELDS_MM[self._field] / 2
        wanted = dict.fromkeys(self._collimation, half) if open else {**self._collimation, **edges}
        if wanted["left_mm"] + wanted["right_mm"] < 10 or wanted["upper_mm"] + wanted["lower_mm"] < 10:
            raise RefusedError("the collimator cannot close further: leave a field of 10 mm or more")
        self._collimation = {name: min(value, half) for name, value in wanted.items()}

    def _do_set_technique(self, **changes: Any) -> None:
        rate = changes.get("pulse_rate_hz", 7.5)
        if rate not in (1, 2, 3.75, 7.5, 15, 30):
            raise RefusedError(f"{rate:g} pulses/s is not one of 1, 2, 3.75, 7.5, 15, 30")
        self._technique.update(changes)

    def _do_set_chain(self, recursion: float) -> None:
        self._recursion = recursion

    def _do_store_image(self) -> dict[str, Any]:
        frame = self._frames.get("live")
        if frame is None or not frame.pixels.size:
            raise RefusedError("there is no picture to store: take an X-ray first")
        told = {
            "id": f"image-{len(self._stored) + 1}",
            "label": f"run {frame.event_number}",
            "time": datetime.now(UTC).strftime("%H:%M:%S"),
            "event_number": frame.event_number,
        }
        self._stored.append((told, frame))
        return {"id": told["id"]}

    def _do_show_stored(self, id: str | None = None, step: int = 0) -> dict[str, Any]:
        if not self._stored:
            raise RefusedError("no image is stored yet: press K while one is shown")
        ids = [told["id"] for told, _ in self._stored]
        if id is not None and id not in ids:
            raise RefusedError(f"image {id} is not stored in this exam")
        place = ids.index(id) if id is not None else min(max(self._place + step, 0), len(ids) - 1)
        self._place = place
        told, frame = self._stored[place]
        self._to_reference(frame, f"{told['label']}, {told['time']}")
        return {"id": told["id"]}

    def _do_replay_run(self, event_number: int | None = None, stop: bool = False) -> None:
        if stop:
            self._replay_told = {"playing": False, "clip": None, "frame": 0, "frames": 0}
            return
        number = event_number if event_number is not None else max(self._runs, default=0)
        if number not in self._runs:
            raise RefusedError(f"run {number} is not recorded")
        self._replay_told = {
            "playing": True,
            "clip": number,
            "frame": 0,
            "frames": len(self._runs[number][1]),
        }

    def _do_to_reference(self) -> None:
        frame = self._frames.get("live")
        if frame is None or not frame.pixels.size:
            raise RefusedError("there is no held image: take an X-ray first")
        self._to_reference(frame, f"run {frame.event_number}")

    def _do_acknowledge(self, id: str) -> None:
        if not any(m["id"] == id for m in self._messages):
            raise RefusedError(f"message {id} is gone")
        self._messages = [m for m in self._messages if m["id"] != id]

    def _do_five_minute_reset(self) -> None:
        self._signal_from_s = self._dose["fluoroscopy_time_s"]

    def _do_dose_alerts_seen(self, by: str, up_to: str) -> None:
        if up_to != self.alerts["up_to"]:
            raise RefusedError(f"the alert {up_to} is not open any more")
        self.alerts, self.alerts_seen_by = dict(NO_ALERTS), by

    def _do_set_patient(self, name: str) -> None:
        chosen = next((row for row in PATIENTS if row[0] == name), None)
        if self._pedal or self._state == "EXPOSING":
            raise RefusedError("release the pedal before choosing a patient")
        if chosen is None or not chosen[2]:
            raise RefusedError(f"patient {name} is not here: fetch it with fluoroscope patients fetch")
        self._row = chosen
        self._do_close_exam()
        self._clear_bedside()

    def _do_close_exam(self) -> None:
        if self._pedal or self._state == "EXPOSING":
            raise RefusedError("release the pedal before closing the exam")
        self._dose_of_exam()
        self._state, self._reason = "READY", ""
        for channel in ("live", "reference"):
            self.show(
                MonitorFrame(channel, "stored", np.zeros((0, 0), np.uint16), time.monotonic_ns(), 0, 1, None, 0, 0)
            )

    # Inside

    def _dose_of_exam(self) -> None:
        self._exam_uid = f"2.25.{time.time_ns()}"
        self._exam_started = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        self._dose = dict.fromkeys(("air_kerma_mgy", "kap_gy_cm2", "fluoroscopy_time_s", "acquisition_time_s"), 0.0)
        self._event = {"number": 0, "pulses": 0, "air_kerma_mgy": 0.0, "kap_gy_cm2": 0.0, "time_s": 0.0}
        self._signal_from_s = 0.0
        self._begin_dose()
        self._delivered = self._dropped = self._place = 0
        self._render_ms = 0.0
        self._taken: dict[tuple[int, int], dict[str, Any]] = {}
        self._shown: dict[str, Any] = {"live": None, "reference": None}
        self._stored: list[tuple[dict[str, Any], MonitorFrame]] = []
        self._runs: dict[int, tuple[float, list[MonitorFrame]]] = {}
        self._run_list: list[tuple[int, str, int]] = []
        self._replay_told: dict[str, Any] = {"playing": False, "clip": None, "frame": 0, "frames": 0}

    def _joint(self, name: str) -> Joint:
        if name not in self._joints:
            raise RefusedError(f"this C-arm has no joint {name}: {', '.join(self._joints)}")
        return self._joints[name]

    def _pose(self) -> CArmPose:
        value = {name: joint.value for name, joint in self._joints.items()}
        return CArmPose(
            value["orbital"],
            value["angulation"],
            SOURCE_TO_ISOCENTER_MM,
            SOURCE_TO_DETECTOR_MM,
            (value["lateral"], -value["lift"], value["longitudinal"]),
        )

    def _half_field_mm(self) -> float:
        return FIELDS_MM[self._field] / 2.0 / MAGNIFICATION

    def _shown_ns(self, channel: str) -> int:
        return self._frames[channel].acquired_ns if channel in self._frames else 0

    def _to_reference(self, frame: MonitorFrame, label: str) -> None:
        self._shown["reference"] = {**self._taken[frame.event_number, frame.index], "label": label}
        self.show(replace(frame, channel="reference", kind="stored", acquired_ns=time.monotonic_ns(), label=label))

    def _taken_with(self, label: str) -> dict[str, Any]:
        pose = self._pose()
        named = ("tube_voltage_kv", "tube_current_ma", "pulse_width_ms", "pulse_rate_hz")
        return {
            "label": label,
            "markers": side_letters(pose),
            "view_text": view_text(_wrap(pose.primary_deg + 180.0), pose.secondary_deg),
            "source_to_detector_mm": SOURCE_TO_DETECTOR_MM,
            "source_to_isocenter_mm": SOURCE_TO_ISOCENTER_MM,
            **{name: self._technique[name] for name in named},
        }

    def _kerma_mgy(self) -> float:
        t = self._technique
        return 6e-5 * t["tube_voltage_kv"] ** 2 / 4900 * t["tube_current_ma"] * t["pulse_width_ms"]

    def _rate_mgy_min(self) -> float:
        return self._kerma_mgy() * float(self._technique["pulse_rate_hz"]) * 60

    def _draw(self, seconds: float) -> np.ndarray[Any, Any]:
        """Draw a pulse: the anatomy of this geometry (kept), breathing, a needle, fresh noise."""
        rows, columns = self._shape
        key = (*(j.value for j in self._joints.values()), *self._table.values(), float(self._field))
        if self._anatomy is None or self._anatomy[0] != key:
            self._anatomy = (
                key,
                draw_spine(self._pose(), self._table, rows + 32, columns, FIELDS_MM[self._field]),
            )
        breathing = 16 + round(12 * np.sin(2 * np.pi * seconds / 4.0))
        i, j = np.random.default_rng(round(seconds * 1e6)).integers(0, 64, 2)
        pixels = self._anatomy[1][breathing : breathing + rows] + self._noise[i : i + rows, j : j + columns]
        np.clip(pixels, 0, 65535, out=pixels)
        tip = int(columns * (0.15 + 0.3 * (seconds / 6.0 % 1.0)))
        pixels[rows // 3 : rows // 3 + max(2, rows // 256), columns // 10 : tip] //= 3
        self._draw_needle(pixels)
        open_mm, pitch = self._collimation, FIELDS_MM[self._field] / columns
        top, bottom = (round(rows / 2 + s * open_mm[n] / pitch) for s, n in ((-1, "upper_mm"), (1, "lower_mm")))
        left, right = (round(columns / 2 + s * open_mm[n] / pitch) for s, n in ((-1, "left_mm"), (1, "right_mm")))
        pixels[: max(top, 0)] = 0
        pixels[bottom:] = 0
        pixels[:, : max(left, 0)] = 0
        pixels[:, right:] = 0
        return pixels.astype(np.uint16)

    def _draw_needle(self, pixels: np.ndarray[Any, Any]) -> None:
        if self._needle is None:
            return
        axes, half = beam_axes(self._pose()), self._half_field_mm()
        tip, hub = self._needle_ends()
        for share in np.linspace(0.0, 1.0, 400):
            point = tip + share * (hub - tip) - np.array(self._pose().isocenter_mm)
            column = int((float(axes.u @ point) / half + 1.0) / 2.0 * pixels.shape[1])
            row = int((float(axes.v @ point) / half + 1.0) / 2.0 * pixels.shape[0])
            if 0 <= row < pixels.shape[0] - 1 and 0 <= column < pixels.shape[1] - 1:
                pixels[row : row + 2, column : column + 2] = 3000

    def _expose(self) -> None:
        while not self._closed:
            with self._changed:
                self._changed.wait_for(lambda: self._pedal or self._closed)
                if self._closed:
                    return
                self._state = "EXPOSING"
                self._event = {
                    "number": self._event["number"] + 1,
                    "pulses": 0,
                    "air_kerma_mgy": 0.0,
                    "kap_gy_cm2": 0.0,
                    "time_s": 0.0,
                }
                run: list[MonitorFrame] = []
                rate = float(self._technique["pulse_rate_hz"])
                self._changed.notify_all()
            start, number = time.monotonic(), 0
            while self._pedal:
                self._pulse(start, number, rate, run)
                late = int((time.monotonic() - start) * rate)
                with self._changed:
                    self._dropped += max(late - number - 1, 0)
                    number = max(number + 1, late)
                    self._changed.wait_for(
                        lambda due=start + number / rate: not self._pedal,
                        max(start + number / rate - time.monotonic(), 0.0),
                    )
            self._release(rate, run)

    def _pulse(self, start: float, number: int, rate: float, run: list[MonitorFrame]) -> None:
        began = time.monotonic_ns()
        pixels = self._draw(number / rate)
        with self._changed:
            kerma, edges = self._kerma_mgy(), self._collimation
            area_cm2 = (edges["left_mm"] + edges["right_mm"]) * (edges["upper_mm"] + edges["lower_mm"]) / 100
            kap = kerma / 1000 * area_cm2 * (360 / SOURCE_TO_DETECTOR_MM) ** 2
            for totals in (self._dose, self._event):
                totals["air_kerma_mgy"] += kerma
                totals["kap_gy_cm2"] += kap
            half_mm = (edges["left_mm"] + edges["right_mm"]) / 2 / MAGNIFICATION
            self._skin_pulse(self._pose(), kerma, half_mm, SOURCE_TO_ISOCENTER_MM)
            self._event["pulses"] += 1
            self._event["time_s"] = time.monotonic() - start
            self._dose["fluoroscopy_time_s" if self._mode == "fluoroscopy" else "acquisition_time_s"] += 1 / rate
            self._delivered += 1
            self._render_ms = (time.monotonic_ns() - began) / 1e6
            frame = MonitorFrame(
                "live",
                "live",
                pixels,
                time.monotonic_ns(),
                30000.0,
                52000.0,
                FIELDS_MM[self._field] / self._shape[1],
                self._event["pulses"] - 1,
                int(self._event["number"]),
            )
            self._shown["live"] = self._taken[frame.event_number, frame.index] = self._taken_with("")
            run.append(frame)
            del run[:-KEPT_FRAMES]
            self.show(frame)

    def _release(self, rate: float, run: list[MonitorFrame]) -> None:
        with self._changed:
            if self._state == "EXPOSING":
                self._state = "HOLD"
            last = np.mean([f.pixels for f in run[-4:]], axis=0).astype(np.uint16)
            self.show(
                replace(
                    run[-1],
                    kind="hold",
                    pixels=last,
                    acquired_ns=time.monotonic_ns(),
                    label="last image hold",
                )
            )
            number = int(self._event["number"])
            self._runs[number] = (rate, run)
            for old in sorted(self._runs)[:-KEPT_RUNS]:
                del self._runs[old]
            self._run_list.append((number, datetime.now(UTC).strftime("%H:%M:%S"), int(self._event["pulses"])))

    def _replay(self) -> None:
        while not self._closed:
            with self._changed:
                self._changed.wait_for(lambda: self._replay_told["playing"] or self._closed)
                told = self._replay_told
                if self._closed or told["clip"] not in self._runs:
                    continue
                rate, run = self._runs[told["clip"]]
                self._to_reference(run[told["frame"] % len(run)], f"run {told['clip']}, replay")
                told["frame"] = (told["frame"] + 1) % len(run)
                self._changed.wait_for(
                    lambda told=told: self._replay_told is not told or self._closed, timeout=1.0 / rate
                )


def draw_spine(
    pose: CArmPose, table: Mapping[str, float], rows: int, columns: int, field_mm: float
) -> np.ndarray[Any, Any]:
    """Draw a prone spine from boxes and ellipses: int32 (rows, columns), bright where much X-ray arrives."""
    pitch = field_mm / columns / MAGNIFICATION
    axes = beam_axes(pose)
    shift = np.array([table["lateral_mm"], -table["height_mm"], table["longitudinal_mm"]]) - np.array(pose.isocenter_mm)
    y, x = np.ogrid[:rows, :columns]
    across = (x - (columns - 1) / 2) * pitch - float(axes.u @ shift)
    along = (y - (rows - 1) / 2) * pitch - float(axes.v @ shift)

    def blob(left: float, posterior: float, head: float, wide: float, tall: float, sharp: float) -> Any:
        """Line integral of a rounded box at a patient position (prone: left is −x, posterior is up, −y)."""
        place = np.array([-left, -posterior, head])
        dx = np.abs(across - float(axes.u @ place)) / wide
        dy = np.abs(along - float(axes.v @ place)) / tall
        return 1.0 / (1.0 + np.exp(np.minimum(sharp * (dx**2 + dy**2 - 1.0), 40.0)))

    side = abs(float(axes.u[1]))
    depth = np.full((rows, columns), 1.1 + 0.9 * side) - 0.6 * (across / 110.0) ** 2
    for level in range(-4, 5):
        head = 36.0 * level
        depth += 0.9 * blob(0.0, 0.0, head, 23.0 - 6.0 * side, 14.0, 9.0)
        depth += 0.35 * blob(0.0, 48.0, head - 9.0, 5.0 + 14.0 * side, 9.0, 7.0)
        for left in (-13.0, 13.0):
            depth += 0.45 * blob(left, 26.0, head + 4.0, 5.0 + 3.0 * side, 6.5, 9.0)
        depth += 0.25 * blob(35.0, 10.0, head - 2.0, 12.0, 4.0, 7.0) + 0.25 * blob(-35.0, 10.0, head, 12.0, 4.0, 7.0)
    # A lead L on the patient's left at the head end tells left from right and up from down.
    depth += 4.0 * (blob(60.0, 60.0, 50.0, 1.5, 9.0, 30.0) + blob(55.0, 60.0, 42.0, 5.0, 1.5, 30.0))
    return np.asarray(62000.0 * np.exp(-0.75 * np.maximum(depth, 0.0)), dtype=np.int32)


def main() -> None:
    """Serve the room on this computer until Ctrl-C."""
    from fluoroscope.monitor.server import MonitorServer

    parser = argparse.ArgumentParser(description="Serve a drawn spine with the real monitor server.")
    parser.add_argument("--port", type=int, default=8123)
    parser.add_argument("--size", type=int, default=512, help="rows and columns of the detector")
    chosen = parser.parse_args()
    room = PhantomRoom(chosen.size, chosen.size)
    server = MonitorServer(room, port=chosen.port)
    print(server.url, flush=True)
    server.start()
    try:
        threading.Event().wait()
    except KeyboardInterrupt:
        pass
    finally:
        server.stop()
        room.close()


if __name__ == "__main__":
    main()
