"""The drawn room's bedside: patients to choose and to make, breathing, a marker, a needle and contrast medium.

Simple but honest: what it tells follows from what it was told. The skin is an elliptic cylinder, the tissue a function
of depth. Points are in the equipment frame; the patient lies prone, his left is −x, his back −y.
"""

import struct
import threading
import zlib
from typing import Any
from urllib.parse import quote

import numpy as np

from fluoroscope.geometry.pose import CArmPose, beam_axes
from fluoroscope.monitor.control import Asset, RefusedError
from fluoroscope.patient.anatomy.parameters import ParameterError, Pathology, PatientParameters

SKIN_MM = (170.0, 110.0)
LAYERS = ((5.0, "skin"), (30.0, "fat"), (55.0, "muscle"), (62.0, "ligamentum flavum"), (66.0, "epidural space"))
NEEDLES = (
    {"name": "quincke_22g_90", "label": "spinal 22G Quincke, 90 mm", "length_mm": 90.0, "bore_mm": 0.41},
    {"name": "tuohy_18g_80", "label": "Tuohy 18G, 80 mm", "length_mm": 80.0, "bore_mm": 0.91},
)
CATHETERS = ({"name": "catheter_20g", "label": "epidural catheter 20G", "length_mm": 450.0, "outer_mm": 0.85},)
PATIENTS = (
    ("drawn-spine", "A drawn spine, no patient", True, "modelled", ("woman", "45 years", "BMI 24"), None),
    ("drawn-pregnancy", "A drawn spine of a pregnant woman", True, "modelled", ("woman", "31 years"), 24.0),
    ("far-away", "A patient that was not fetched", False, "scanned", (), None),
    ("عمود فقري مرسوم", "A right-to-left name and a very long description " * 3, True, "modelled", (), None),
)
POSITIONS = ("HFP", "HFS", "HFDL", "HFDR")


def png(grey: np.ndarray[Any, Any]) -> bytes:
    """Code uint8 (rows, columns) as PNG."""
    rows, columns = grey.shape

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    lines = b"".join(b"\0" + grey[row].tobytes() for row in range(rows))
    head = struct.pack(">IIBBBBB", columns, rows, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(lines)) + chunk(b"IEND", b"")


class PhantomBedside:
    """Bedside commands of the drawn room; mixed into it."""

    _changed: threading.Condition
    _pedal: bool
    _state: str
    _reason: str

    def _lie_down(self) -> None:
        self._row = PATIENTS[0]
        self._position = "HFP"
        self._made = 0
        self._making: dict[str, Any] | None = None
        self.hold_making = threading.Event()
        self.hold_making.set()
        self._clear_bedside()

    def _clear_bedside(self) -> None:
        self._breath, self._bent, self._truth = "breathe", {"flexion_deg": 0.0, "side_bend_deg": 0.0}, False
        self._marker: np.ndarray[Any, Any] | None = None
        self._needle: dict[str, Any] | None = None
        self._contrast: dict[str, Any] | None = None
        self._catheter: dict[str, Any] | None = None
        self._ruler: np.ndarray[Any, Any] | None = None

    # Told

    def _bedside_status(self) -> dict[str, Any]:
        name, description, _, _, facts, weeks = self._row
        movement = {
            "breathing": self._breath,
            "breath_phase": 0.4,
            "coughing": False,
            "held_s": 3.0 if self._breath == "hold" else None,
            **self._bent,
            "limits": {"flexion_deg": [-20, 45], "side_bend_deg": [-25, 25]},
        }
        return {
            "patient": {
                "name": name,
                "id": "PHANTOM-1",
                "position": self._position,
                "description": description,
                "source": "drawn",
                "synthetic": True,
                "pregnancy_weeks": weeks,
                "facts": list(facts),
                "movement": movement,
            },
            "patients": [_told(row) for row in PATIENTS],
            "making": None if self._making is None else dict(self._making),
            "positions": list(POSITIONS),
            "marker": self._marker_told(),
            "ruler": None if self._ruler is None else {"ends_mm": self._ruler.tolist()},
            "catheter": self._catheter_told(),
            "needle": self._needle_told(),
            "contrast": None if self._contrast is None else dict(self._contrast),
            "teaching": {"show_truth": self._truth},
        }

    def _marker_told(self) -> dict[str, Any] | None:
        if self._marker is None:
            return None
        pose, half = self._pose(), self._half_field_mm()
        axes, from_center = beam_axes(pose), self._marker - np.array(pose.isocenter_mm)
        spot = {
            name: float(0.5 + 0.5 * (axis @ from_center) / half) for name, axis in (("row", axes.v), ("col", axes.u))
        }
        return {"position_mm": self._marker.tolist(), "picture": spot}

    def _catheter_told(self) -> dict[str, Any] | None:
        catheter = self._catheter
        if catheter is None:
            return None
        path = catheter["start"] + np.outer([0.0, catheter["beyond"]], [0.0, 0.0, 1.0])
        return {
            "type": catheter["name"],
            "label": catheter["label"],
            "depth_mm": catheter["depth"] + catheter["beyond"],
            "beyond_mm": None if self._needle is None else catheter["beyond"],
            "hollow": True,
            "tip_mm": path[1].tolist(),
            "path_mm": path.tolist(),
            "blocked": None,
            "truth": {"tissue": "epidural space", "force_n": 0.3} if self._truth else None,
        }

    def _needle_told(self) -> dict[str, Any] | None:
        needle = self._needle
        if needle is None:
            return None
        depth = needle["depth"]
        tissue = next((name for least, name in LAYERS if depth < least), "CSF") if depth > 0 else "skin"
        csf = tissue == "CSF" and not needle["stylet"]
        tip, hub = self._needle_ends()
        return {
            "type": needle["name"],
            "label": needle["label"],
            "length_mm": needle["length_mm"],
            "depth_mm": depth,
            "stylet_in": needle["stylet"],
            "rotation_deg": needle["rotation"],
            "entry_mm": needle["entry"].tolist(),
            "tip_mm": tip.tolist(),
            "hub_mm": hub.tolist(),
            "path_mm": [hub.tolist(), tip.tolist()],
            "resistance": 0.0 if depth <= 0 else {"ligamentum flavum": 0.8, "muscle": 0.35}.get(tissue, 0.1),
            "losses": needle["losses"],
            "returns": "csf" if csf else None,
            "blocked": None,
            "truth": {"tissue": tissue, "force_n": 1.2} if self._truth else None,
        }

    def _needle_ends(self) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
        needle = self._needle
        assert needle is not None
        tip = needle["entry"] + needle["depth"] * needle["along"]
        return tip, tip - needle["length_mm"] * needle["along"]

    def asset(self, name: str) -> Asset | None:
        """Thumbnails, choices and the drawn body's shape."""
        import json

        known = {f"patients/{row[0]}.png": number for number, row in enumerate(PATIENTS)}
        if name in known:
            shade = np.linspace(30, 200, 96)[:, None] * np.ones((1, 72)) * (0.6 + 0.1 * known[name])
            return Asset(png(shade.astype(np.uint8)), "image/png")
        if name == "making.json":
            return Asset(json.dumps(MAKING).encode(), "application/json")
        if name == "needles.json":
            return Asset(json.dumps(NEEDLES).encode(), "application/json")
        if name == "catheters.json":
            return Asset(json.dumps(CATHETERS).encode(), "application/json")
        if name == "shape.json":
            angles = np.linspace(0, 2 * np.pi, 24, endpoint=False)
            ring = np.stack([SKIN_MM[0] * np.cos(angles), SKIN_MM[1] * np.sin(angles)], 1).round(1).tolist()
            skin = [{"z_mm": float(z), "points_mm": ring} for z in range(-240, 241, 40)]
            spine = [{"name": f"L{3 - i}", "position_mm": [0.0, 25.0, 36.0 * i]} for i in (-2, -1, 0, 1, 2)]
            return Asset(json.dumps({"uid": self._row[0], "skin": skin, "spine": spine}).encode(), "application/json")
        return None

    # Commands

    def _do_make_patient(self, **recipe: Any) -> None:
        try:
            kinds = recipe.pop("pathologies", [])
            PatientParameters(
                **recipe, pathologies=tuple(Pathology(k["kind"], k["level"], k.get("amount", 0.5)) for k in kinds)
            )
        except ParameterError as error:
            raise RefusedError(str(error), str(error).split()[0].rstrip(":")) from error
        if self._pedal or self._making is not None:
            raise RefusedError("release the pedal before a patient is made")
        self._making = {"text": "shaping the bones", "fraction": 0.3}
        threading.Thread(target=self._make, args=(recipe,), name="phantom-making", daemon=True).start()

    def _make(self, recipe: dict[str, Any]) -> None:
        self.hold_making.wait(20.0)
        with self._changed:
            self._made += 1
            facts = (recipe["sex"], f"{recipe['age_years']:g} years", f"seed {recipe['seed']}")
            weeks = recipe.get("pregnancy_weeks") or None
            self._row = (f"made-{self._made}", "A drawn spine, made", True, "modelled", facts, weeks)
            self._making = None
            self._do_close_exam()
            self._clear_bedside()
            self._changed.notify_all()

    def _do_draw_cards(self) -> None:
        pass

    def _do_set_position(self, position: str) -> None:
        if position not in POSITIONS:
            raise RefusedError(f"position {position}: choose one of {', '.join(POSITIONS)}")
        if self._pedal:
            raise RefusedError("release the pedal before the patient is turned")
        if self._needle is not None:
            raise RefusedError("take the needle out before the patient is turned")
        self._position = position

    def _do_breathing(self, mode: str) -> None:
        self._breath = "breathe" if mode == "cough" else mode

    def _do_bend(self, **angles: float) -> None:
        for name, value in angles.items():
            if not -25.0 <= value <= 45.0:
                raise RefusedError(f"{name} must be -25 to 45, got {value:g}", name)
        self._bent.update(angles)

    def _do_marker_place(self, **place: Any) -> None:
        self._marker = self._skin_at(place)

    def _do_marker_move(self, left_mm: float = 0.0, head_mm: float = 0.0) -> None:
        if self._marker is None:
            raise RefusedError("there is no marker: place it first")
        self._marker = _on_skin(self._marker + np.array([-left_mm, 0.0, head_mm]), np.array([0.0, -1.0, 0.0]))

    def _do_marker_remove(self) -> None:
        self._marker = None

    def _do_needle_place(self, type: str, at_marker: bool = False, toward: Any = "beam", **place: Any) -> None:
        kind = next((needle for needle in NEEDLES if needle["name"] == type), None)
        if kind is None:
            raise RefusedError(f"needle {type}: choose one of {', '.join(str(n['name']) for n in NEEDLES)}", "type")
        if at_marker and self._marker is None:
            raise RefusedError("there is no marker: place it first")
        entry = self._marker if at_marker else self._skin_at(place)
        along = -beam_axes(self._pose()).d if toward == "beam" else np.array([0.0, 1.0, 0.0])
        self._needle = {**kind, "entry": entry, "along": along, "depth": 0.0, "stylet": True, "rotation": 0.0}
        self._needle["losses"] = 0
        self._catheter = None

    def _do_needle_move(self, advance_mm: float = 0.0, rotate_deg: float = 0.0, **steer: float) -> None:
        needle = self._needle
        if needle is None:
            raise RefusedError("there is no needle in: place it first")
        if self._catheter is not None:
            raise RefusedError("catheter is through needle: take it out first, or the needle out over it")
        before = needle["depth"]
        needle["depth"] = float(np.clip(before + advance_mm, 0.0, needle["length_mm"]))
        needle["losses"] += int(before < 62.0 <= needle["depth"])
        needle["rotation"] = (needle["rotation"] + rotate_deg) % 360.0
        axes = beam_axes(self._pose())
        turned = needle["along"] - np.deg2rad(steer.get("steer_x_deg", 0.0)) * axes.u
        turned = turned + np.deg2rad(steer.get("steer_y_deg", 0.0)) * axes.v
        needle["along"] = turned / np.linalg.norm(turned)

    def _do_needle_stylet(self, inside: bool) -> None:
        if self._needle is None:
            raise RefusedError("there is no needle in: place it first")
        self._needle["stylet"] = inside

    def _do_needle_remove(self) -> None:
        self._needle = None
        if self._catheter is None:
            self._contrast = None

    def _do_ruler_lay(self, along: str = "spine", **place: Any) -> None:
        way = np.array([0.0, 0.0, 150.0] if along == "spine" else [100.0, 0.0, 0.0])
        self._ruler = self._skin_at(place) + np.stack([-way, way])

    def _do_ruler_take(self) -> None:
        self._ruler = None

    def _do_catheter_thread(self, type: str) -> None:
        kind = next((one for one in CATHETERS if one["name"] == type), None)
        if kind is None:
            raise RefusedError(f"catheter {type}: choose one of {', '.join(str(n['name']) for n in CATHETERS)}", "type")
        if self._needle is None or self._needle["stylet"]:
            raise RefusedError("place a needle and take its stylet out first")
        if not self._needle["name"].startswith("tuohy"):
            raise RefusedError(f"{kind['label']} is wider than the bore of {self._needle['label']}")
        tip, _ = self._needle_ends()
        self._catheter = {**kind, "start": tip, "depth": self._needle["depth"], "beyond": 0.0}

    def _do_catheter_move(self, advance_mm: float) -> None:
        if self._catheter is None:
            raise RefusedError("there is no catheter in: bring one through a needle first")
        self._catheter["beyond"] = max(self._catheter["beyond"] + advance_mm, -self._catheter["depth"])

    def _do_catheter_remove(self) -> None:
        self._catheter = None

    def _do_inject(self, volume_ml: float, concentration_mgi_ml: float, rate_ml_s: float) -> None:
        if self._catheter is None and (self._needle is None or self._needle["stylet"]):
            raise RefusedError("take the stylet out of the needle first")
        if not 0.0 < volume_ml <= 20.0:
            raise RefusedError(f"volume_ml {volume_ml:g}: choose 0.1 to 20", "volume_ml")
        self._contrast = {
            "injecting": True,
            "given_ml": 0.4 * volume_ml,
            "asked_ml": volume_ml,
            "concentration_mgi_ml": concentration_mgi_ml,
            "rate_ml_s": rate_ml_s,
            "truth": None,
        }

    def _do_inject_stop(self) -> None:
        if self._contrast is not None:
            self._contrast["injecting"] = False

    def _do_show_truth(self, on: bool) -> None:
        self._truth = on

    # Inside

    def _skin_at(self, place: dict[str, Any]) -> np.ndarray[Any, Any]:
        axes = beam_axes(self._pose())
        if "ray" in place:
            start, end = (np.array(place["ray"][key]) for key in ("from_mm", "toward_mm"))
            return _on_skin(start, (start - end) / np.linalg.norm(start - end))
        spot = place.get("picture", {"row": 0.5, "col": 0.5})
        half = self._half_field_mm()
        across, along = (half * (2.0 * spot[key] - 1.0) for key in ("col", "row"))
        return _on_skin(np.array(self._pose().isocenter_mm) + across * axes.u + along * axes.v, axes.d)

    def _pose(self) -> CArmPose:
        raise NotImplementedError

    def _half_field_mm(self) -> float:
        raise NotImplementedError

    def _do_close_exam(self) -> None:
        raise NotImplementedError


def _on_skin(point: np.ndarray[Any, Any], outward: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Where the line through ``point`` leaves the skin along ``outward``."""
    scale = np.array([1 / SKIN_MM[0], 1 / SKIN_MM[1], 0.0])
    p, d = point * scale, outward * scale
    a, b, c = d @ d, p @ d, p @ p - 1.0
    if a < 1e-12 or b * b - a * c < 0.0:
        raise RefusedError("there is no skin: point at the patient")
    return point + (-b + np.sqrt(b * b - a * c)) / a * outward


def _told(row: tuple[Any, ...]) -> dict[str, Any]:
    name, description, available, group, facts, weeks = row
    return {
        "name": name,
        "description": description,
        "available": available,
        "group": group,
        "synthetic": group == "modelled",
        "thumbnail": f"/room/patients/{quote(name, safe='')}.png" if available else None,
        "facts": list(facts),
        "pregnancy_weeks": weeks,
    }


MAKING: dict[str, Any] = {
    "fields": [
        {"name": "age_years", "label": "Age", "unit": "years", "min": 4, "max": 95, "step": 1, "default": 45},
        {"name": "height_cm", "label": "Height", "unit": "cm", "min": 100, "max": 215, "step": 1, "default": None},
        {"name": "bmi", "label": "BMI", "unit": "kg/m²", "min": 12, "max": 60, "step": 0.1, "default": None},
    ],
    "pathologies": [
        {"kind": "listhesis", "label": "Spondylolisthesis", "needs_level": True, "min": 1, "max": 2, "default": 1,
         "amount": "Meyerding grade"},
        {"kind": "osteoporosis", "label": "Osteoporosis", "needs_level": False, "min": 0, "max": 1, "default": 0.6,
         "amount": "0 none to 1 severe"},
    ],
    "levels": ["L1", "L2", "L3", "L4", "L5"],
}  # fmt: skip
