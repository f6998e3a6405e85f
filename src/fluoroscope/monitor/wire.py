"""What goes over the socket: the page's messages, checked at this door, and the header of a picture."""

import struct
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from fluoroscope.monitor.control import MonitorFrame

__all__ = [
    "CHANNELS",
    "COMMANDS",
    "HEADER_BYTES",
    "MESSAGE_BYTES",
    "Ack",
    "Claim",
    "Command",
    "Heartbeat",
    "Message",
    "WindowChoice",
    "WireError",
    "checked_args",
    "pack_header",
    "parse_message",
]

CHANNELS = ("live", "reference")
KINDS = {"live": 0, "hold": 1, "stored": 2}
MESSAGE_BYTES = 65536
HEADER_BYTES = 80
_HEADER = struct.Struct("<4sHHIBBBBHHIQQfffI24s")

Number = Annotated[float, Field(allow_inf_nan=False)]
Name = Annotated[str, Field(min_length=1, max_length=200)]
_ModelT = TypeVar("_ModelT", bound=BaseModel)


class WireError(ValueError):
    """A message that is not of the protocol; the text says what is wrong with it."""


class _Strict(BaseModel):
    # Strict: "true" is no bool and "1" no number; a key that is not of the protocol is an error, not ignored.
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class Command(_Strict):
    """Carry out a command; answered by a reply with the same id."""

    type: Literal["command"]
    id: Annotated[int, Field(ge=0, le=2**53)]
    name: Name
    args: dict[str, Any] = {}


class Ack(_Strict):
    """Picture ``seq`` is painted."""

    type: Literal["ack"]
    seq: Annotated[int, Field(ge=0, lt=2**32)]


class Heartbeat(_Strict):
    """The pedal is still held."""

    type: Literal["heartbeat"]


class Claim(_Strict):
    """Take the operator's seat when it is free."""

    type: Literal["claim"]


class WindowChoice(_Strict):
    """The window of this page, for pictures the server windows (8-bit)."""

    type: Literal["window"]
    channel: Annotated[int, Field(ge=0, lt=len(CHANNELS))]
    center: Number
    width: Annotated[Number, Field(ge=1.0)]
    invert: bool = False


Message = Command | Ack | Heartbeat | Claim | WindowChoice
_MESSAGES: TypeAdapter[Message] = TypeAdapter(Annotated[Message, Field(discriminator="type")])


class _Nothing(_Strict):
    pass


class _Pedal(_Strict):
    down: bool
    mode: Literal["fluoroscopy", "acquisition"] = "fluoroscopy"


class _View(_Strict):
    name: Literal["ap", "lateral", "oblique"]


class _Table(_Strict):
    lateral_mm: Number | None = None
    longitudinal_mm: Number | None = None
    height_mm: Number | None = None
    tilt_deg: Number | None = None
    cradle_deg: Number | None = None
    yaw_deg: Number | None = None


class _FieldChoice(_Strict):
    index: Annotated[int, Field(ge=0, le=100)]


class _Collimation(_Strict):
    left_mm: Number | None = None
    right_mm: Number | None = None
    upper_mm: Number | None = None
    lower_mm: Number | None = None
    open: bool | None = None


class _Technique(_Strict):
    pulse_rate_hz: Annotated[Number, Field(gt=0.0)] | None = None
    copper_mm: Annotated[Number, Field(ge=0.0)] | None = None
    dose_level: Literal["low", "normal", "high"] | None = None
    automatic: bool | None = None
    tube_voltage_kv: Annotated[Number, Field(gt=0.0)] | None = None
    tube_current_ma: Annotated[Number, Field(gt=0.0)] | None = None
    pulse_width_ms: Annotated[Number, Field(gt=0.0)] | None = None


class _Chain(_Strict):
    recursion: Annotated[Number, Field(gt=0.0, le=1.0)]


class _Stored(_Strict):
    id: Name | None = None
    step: Literal[-1, 1] | None = None


class _Replay(_Strict):
    event_number: Annotated[int, Field(ge=1)] | None = None
    stop: bool | None = None


class _Identified(_Strict):
    id: Name


class _Named(_Strict):
    name: Name


class _Pathology(_Strict):
    kind: Name
    level: Annotated[str, Field(max_length=8)] = ""
    amount: Number | None = None


class _Recipe(_Strict):
    """A patient to be made. Ranges are checked where patients are made, by name; here only what kind of thing it is."""

    seed: Annotated[int, Field(ge=0, le=2**53)] = 0
    sex: Annotated[str, Field(max_length=16)] = "female"
    age_years: Number = 45.0
    height_cm: Number | None = None
    weight_kg: Number | None = None
    bmi: Number | None = None
    lordosis_deg: Number | None = None
    pelvic_incidence_deg: Number | None = None
    scoliosis_cobb_deg: Number = 0.0
    scoliosis_apex: Annotated[str, Field(max_length=8)] = "L2"
    lumbar_vertebrae: int = 5
    pregnancy_weeks: Number = 0.0
    pathologies: Annotated[list[_Pathology], Field(max_length=12)] = []


class _Position(_Strict):
    position: Annotated[str, Field(max_length=8)]


class _Breathing(_Strict):
    mode: Literal["breathe", "hold", "cough"]


class _Bend(_Strict):
    flexion_deg: Number | None = None
    side_bend_deg: Number | None = None


_Point = Annotated[list[Number], Field(min_length=3, max_length=3)]


class _OnPicture(_Strict):
    row: Number
    col: Number


class _Ray(_Strict):
    from_mm: _Point
    toward_mm: _Point


class _Place(_Strict):
    picture: _OnPicture | None = None
    ray: _Ray | None = None
    position_mm: _Point | None = None


class _NeedlePlace(_Place):
    type: Name
    at_marker: bool | None = None
    toward: Literal["beam", "skin", "plan"] | _Point = "beam"


class _NeedleMove(_Strict):
    advance_mm: Number | None = None
    steer_x_deg: Number | None = None
    steer_y_deg: Number | None = None
    rotate_deg: Number | None = None


class _Stylet(_Strict):
    inside: bool


class _CatheterThread(_Strict):
    type: Name


class _CatheterMove(_Strict):
    advance_mm: Number


class _RulerLay(_Place):
    along: Literal["spine", "across"] = "spine"


class _MarkerMove(_Strict):
    left_mm: Number = 0.0
    head_mm: Number = 0.0


class _Injection(_Strict):
    volume_ml: Number
    concentration_mgi_ml: Number
    rate_ml_s: Number


class _Switch(_Strict):
    on: bool


class _PlanMake(_Strict):
    procedure: Name
    level: Annotated[str, Field(min_length=1, max_length=40)]
    side: Literal["left", "right"] | None = None


class _PlanChosen(_Strict):
    index: Annotated[int, Field(ge=0, le=100)]


class _PlanView(_Strict):
    view: Literal["coaxial", "confirm"]


class _AlertsSeen(_Strict):
    by: Name
    up_to: Name


_Words = Annotated[str, Field(max_length=500)]


class _ScreeningAnswer(_Strict):
    answer: Literal["no", "possible", "yes"]
    by: _Words


class _Signed(_Strict):
    by: _Words
    reason: _Words


class _Procedure(_Strict):
    name: Annotated[str, Field(max_length=100)]


class _Budget(_Strict):
    quantity: Name
    limit: Number | None = None


class _Outside(_Strict):
    kind: Name
    body_part: Annotated[str, Field(max_length=200)] = ""
    place: Annotated[str, Field(max_length=200)] = ""
    when: Annotated[str, Field(max_length=40)] = ""
    confirmed: bool = False


class _OutsideChosen(_Strict):
    id: Name | Annotated[int, Field(ge=0, le=2**53)]


_JOINTS: TypeAdapter[dict[str, float]] = TypeAdapter(
    Annotated[dict[Name, Number], Field(min_length=1, max_length=32)], config=ConfigDict(strict=True)
)

COMMANDS: dict[str, type[_Strict] | TypeAdapter[dict[str, float]]] = {
    "pedal": _Pedal,
    "stop": _Nothing,
    "move_joints": _JOINTS,
    "nudge_joints": _JOINTS,
    "view": _View,
    "move_table": _Table,
    "nudge_table": _Table,
    "set_field": _FieldChoice,
    "set_collimation": _Collimation,
    "set_technique": _Technique,
    "set_chain": _Chain,
    "store_image": _Nothing,
    "show_stored": _Stored,
    "replay_run": _Replay,
    "to_reference": _Nothing,
    "acknowledge": _Identified,
    "five_minute_reset": _Nothing,
    "dose_alerts_seen": _AlertsSeen,
    "screening_answer": _ScreeningAnswer,
    "screening_override": _Signed,
    "set_procedure": _Procedure,
    "set_budget": _Budget,
    "budget_overrule": _Signed,
    "high_level": _Switch,
    "outside_add": _Outside,
    "outside_remove": _OutsideChosen,
    "set_patient": _Named,
    "make_patient": _Recipe,
    "draw_cards": _Nothing,
    "set_position": _Position,
    "breathing": _Breathing,
    "bend": _Bend,
    "marker_place": _Place,
    "marker_move": _MarkerMove,
    "marker_remove": _Nothing,
    "ruler_lay": _RulerLay,
    "ruler_take": _Nothing,
    "needle_place": _NeedlePlace,
    "needle_move": _NeedleMove,
    "needle_stylet": _Stylet,
    "needle_remove": _Nothing,
    "catheter_thread": _CatheterThread,
    "catheter_move": _CatheterMove,
    "catheter_remove": _Nothing,
    "inject": _Injection,
    "inject_stop": _Nothing,
    "show_truth": _Switch,
    "plan_make": _PlanMake,
    "plan_choose": _PlanChosen,
    "plan_clear": _Nothing,
    "plan_view": _PlanView,
    "guidance": _Switch,
    "close_exam": _Nothing,
}


def _reason(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_input=False)[0]
    place = ".".join(str(step) for step in first["loc"])
    return f"{place}: {first['msg']}" if place else str(first["msg"])


def parse_message(text: str) -> Message:
    """Return the page's message.

    Raises
    ------
    WireError
        If it is too long, no JSON, or not of the protocol.
    """
    if len(text) > MESSAGE_BYTES:
        raise WireError(f"message of {len(text)} characters: at most {MESSAGE_BYTES}")
    try:
        return _MESSAGES.validate_json(text)
    except ValidationError as error:
        raise WireError(f"message refused: {_reason(error)}") from None


def checked_args(command: Command) -> dict[str, Any]:
    """Return the arguments of a command, of the right types, without those left out.

    Raises
    ------
    WireError
        If the command is unknown, or an argument is missing, unknown or of a wrong type.
    """
    if command.name not in COMMANDS:
        raise WireError(f"unknown command {command.name[:40]!r}")
    model = COMMANDS[command.name]
    try:
        if isinstance(model, TypeAdapter):
            return model.validate_python(command.args)
        return model.model_validate(command.args).model_dump(exclude_none=True)
    except ValidationError as error:
        raise WireError(f"{command.name}: {_reason(error)}") from None


def _label_bytes(label: str) -> bytes:
    # Cut at 24 bytes without leaving half a character behind.
    return label.encode()[:24].decode(errors="ignore").encode()


def pack_header(
    into: bytearray,
    frame: MonitorFrame,
    *,
    seq: int,
    sent_ns: int,
    shape: tuple[int, int],
    bytes_per_pixel: int,
    binning: int,
    window: tuple[float, float],
) -> None:
    """Write the 80 bytes before the pixels (docs/reference/page-protocol.md) at the start of ``into``."""
    _HEADER.pack_into(
        into,
        0,
        b"FLUO",
        1,
        HEADER_BYTES,
        seq,
        CHANNELS.index(frame.channel),
        KINDS[frame.kind],
        bytes_per_pixel,
        binning,
        shape[0],
        shape[1],
        frame.index,
        frame.acquired_ns,
        sent_ns,
        window[0],
        window[1],
        (frame.pitch_mm or 0.0) * binning,
        frame.event_number,
        _label_bytes(frame.label),
    )
