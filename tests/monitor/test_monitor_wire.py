"""Messages and header against docs/reference/page-protocol.md, read as the other side would."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fluoroscope.monitor.control import MonitorFrame
from fluoroscope.monitor.wire import COMMANDS, Command, WireError, checked_args, pack_header, parse_message

PROTOCOL = (Path(__file__).parents[2] / "docs/reference/page-protocol.md").read_text(encoding="utf-8")


def example(kind: str) -> dict:
    block = re.search(r"```json\n(\{\"type\":\"" + kind + r".*?)```", PROTOCOL, re.S)
    assert block is not None
    return json.loads(block.group(1))


def test_the_commands_are_those_of_the_protocol():
    table = PROTOCOL.split("Commands (only the operator's")[1].split("## Server to page")[0]
    named = {name for row in re.findall(r"^\| (`[^|]*) \|", table, re.M) for name in re.findall(r"`(\w+)`", row)}
    assert named == set(COMMANDS)


def missing_keys(wanted: object, given_: object, path: str = "") -> list[str]:
    if isinstance(wanted, dict) and isinstance(given_, dict):
        return [
            m
            for key, value in wanted.items()
            for m in (missing_keys(value, given_[key], f"{path}.{key}") if key in given_ else [f"{path}.{key}"])
        ]
    if isinstance(wanted, list) and isinstance(given_, list) and wanted and given_:
        return missing_keys(wanted[0], given_[0], f"{path}[0]")
    return []


def test_the_drawn_room_tells_every_key_of_the_status(enter):
    page = enter()
    page.command("pedal", down=True)
    page.until(lambda: page.pictures)
    page.command("pedal", down=False)
    page.command("store_image")
    page.until(lambda: page.status["stored"] and page.status["runs"])
    assert missing_keys(example("status"), page.status) == []


def test_every_header_field_sits_where_the_protocol_says():
    frame = MonitorFrame(
        "reference",
        "stored",
        np.zeros((6, 4), np.uint16),
        123456789012345,
        30000.5,
        52000.25,
        0.3,
        77,
        5,
        "Lauf ü",
    )
    into = bytearray(80)
    pack_header(
        into,
        frame,
        seq=2**32 - 1,
        sent_ns=2**50,
        shape=(3, 2),
        bytes_per_pixel=2,
        binning=2,
        window=(30000.5, 52000.25),
    )
    names = {
        0: ("S4", b"FLUO"),
        4: ("<u2", 1),
        6: ("<u2", 80),
        8: ("<u4", 2**32 - 1),
        12: ("u1", 1),
        13: ("u1", 2),
        14: ("u1", 2),
        15: ("u1", 2),
        16: ("<u2", 3),
        18: ("<u2", 2),
        20: ("<u4", 77),
        24: ("<u8", 123456789012345),
        32: ("<u8", 2**50),
        40: ("<f4", 30000.5),
        44: ("<f4", 52000.25),
        48: ("<f4", np.float32(0.6)),
        52: ("<u4", 5),
        56: ("S24", "Lauf ü".encode()),
    }
    for offset, (kind, value) in names.items():
        assert np.frombuffer(into, kind, 1, offset)[0] == value, offset


@given(st.text(max_size=60).filter(lambda t: "\0" not in t))
def test_a_label_is_cut_between_characters(label):
    frame = MonitorFrame("live", "live", np.zeros((1, 1), np.uint16), 1, 0, 1, None, 0, 0, label)
    into = bytearray(80)
    pack_header(into, frame, seq=0, sent_ns=0, shape=(1, 1), bytes_per_pixel=2, binning=1, window=(0, 1))
    told = bytes(into[56:]).rstrip(b"\0").decode()
    assert label.startswith(told)
    assert len(label.encode()) <= 24 or len(told.encode()) > 20


@given(
    st.text(max_size=300)
    | st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(),
        lambda s: st.lists(s) | st.dictionaries(st.text(), s),
    ).map(json.dumps)
)
def test_anything_is_a_message_or_a_wire_error(text):
    try:
        parse_message(text)
    except WireError as error:
        lines = str(error).splitlines()
    else:
        return
    assert len(lines) == 1


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "null",
        '{"type":"shout"}',
        '{"type":"ack"}',
        '{"type":"ack","seq":"1"}',
        '{"type":"ack","seq":-1}',
        '{"type":"ack","seq":1,"more":2}',
        '{"type":"command","id":1}',
        '{"type":"command","id":true,"name":"stop"}',
        '{"type":"heartbeat","x":1}',
        "[" * 30000,
        '{"type":"window","channel":0,"center":NaN,"width":5}',
        '{"type":"window","channel":9,"center":1,"width":5}',
    ],
)
def test_what_is_not_of_the_protocol_is_refused(text):
    with pytest.raises(WireError):
        parse_message(text)


@pytest.mark.parametrize(
    ("name", "args"),
    [
        ("fly", {}),
        ("__class__", {}),
        ("pedal", {}),
        ("pedal", {"down": "true"}),
        ("pedal", {"down": 1}),
        ("pedal", {"down": True, "mode": "cine"}),
        ("stop", {"now": True}),
        ("move_joints", {}),
        ("move_joints", {"orbital": "5"}),
        ("move_joints", {"orbital": float("nan")}),
        ("view", {"name": "top"}),
        ("nudge_table", {"up_mm": 3}),
        ("set_field", {"index": -1}),
        ("set_chain", {"recursion": 0}),
        ("set_chain", {"recursion": 1.5}),
        ("show_stored", {"step": 2}),
        ("set_technique", {"pulse_rate_hz": -1}),
        ("set_patient", {"name": "x" * 5000}),
        ("set_collimation", {"left_mm": float("inf")}),
        ("make_patient", {"age_years": "45"}),
        ("make_patient", {"pathologies": [{"kind": "listhesis", "grade": 2}]}),
        ("make_patient", {"pathologies": [{"kind": "listhesis"}] * 13}),
        ("make_patient", {"seed": -1}),
        ("make_patient", {"bmi": float("nan")}),
        ("set_position", {}),
        ("breathing", {"mode": "laugh"}),
        ("marker_place", {"picture": {"row": 0.5}}),
        ("marker_place", {"ray": {"from_mm": [0, 0], "toward_mm": [0, 0, 1]}}),
        ("needle_place", {"at_marker": True}),
        ("needle_place", {"type": "x", "toward": "left"}),
        ("needle_move", {"advance_mm": float("inf")}),
        ("needle_stylet", {"inside": 1}),
        ("inject", {"volume_ml": 1}),
        ("show_truth", {"on": "yes"}),
    ],
)
def test_wrong_arguments_are_refused(name, args):
    with pytest.raises(WireError):
        checked_args(Command(type="command", id=1, name=name, args=args))


@pytest.mark.parametrize(
    ("name", "args", "given_"),
    [
        ("pedal", {"down": True}, {"down": True, "mode": "fluoroscopy"}),
        ("stop", {}, {}),
        ("nudge_joints", {"orbital": -5}, {"orbital": -5}),
        ("move_table", {"tilt_deg": 2}, {"tilt_deg": 2}),
        ("set_collimation", {"open": True}, {"open": True}),
        ("show_stored", {"step": -1}, {"step": -1}),
        ("needle_move", {"advance_mm": 1}, {"advance_mm": 1}),
        ("bend", {"flexion_deg": 5}, {"flexion_deg": 5}),
        ("marker_place", {}, {}),
        (
            "needle_place",
            {"type": "x", "ray": {"from_mm": [0, 0, 0], "toward_mm": [0, 0, 1]}, "toward": [0, 1, 0]},
            {"type": "x", "ray": {"from_mm": [0, 0, 0], "toward_mm": [0, 0, 1]}, "toward": [0, 1, 0]},
        ),
        (
            "set_technique",
            {"automatic": False, "pulse_rate_hz": 15},
            {"automatic": False, "pulse_rate_hz": 15},
        ),
    ],
)
def test_arguments_left_out_stay_out(name, args, given_):
    assert checked_args(Command(type="command", id=1, name=name, args=args)) == given_
