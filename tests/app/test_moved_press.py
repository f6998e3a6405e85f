"""A press during which C-arm and table moved: the map of its report is that of the room."""

from dataclasses import replace

import numpy as np
import pytest

from fluoroscope.app.dose_map import Body, map_dose
from fluoroscope.app.live_skin import LiveSkin
from fluoroscope.app.skin_events import skin_events
from fluoroscope.dicom.dose_objects import read_dose_object
from fluoroscope.dicom.dose_records import Notes
from fluoroscope.dose.skin_machines import table_frame
from fluoroscope.dose.skin_map import SkinMap, lay_at, skin_map

pytestmark = pytest.mark.req("REQ-SKIN-004", "REQ-REC-006")


def told(room, pulses, wait_for):
    """Wait for more pulses while the pedal is down."""
    before = room.status()["pulses"]["delivered"]
    assert wait_for(lambda: room.status()["pulses"]["delivered"] >= before + pulses)


def test_the_map_of_a_report_follows_a_press_that_moved_and_stopped(room, exams, expose, small_ct, wait_for):
    parts, setup = room._parts, room._parts.console.carm.setup
    skin = LiveSkin(parts.loop, parts.console, parts.bedside)
    try:
        skin.begin("first")
        assert wait_for(lambda: skin.shape() is not None)
        room.command("set_collimation", {"left_mm": 15.0, "right_mm": 15.0, "upper_mm": 15.0, "lower_mm": 15.0})
        expose(room, pulses=1)
        room.command("pedal", {"down": True})
        told(room, 3, wait_for)
        for turn, push in ((35.0, 0.0), (0.0, 40.0), (-70.0, 0.0)):
            room.command("nudge_joints", {"orbital": turn})
            room.command("nudge_table", {"longitudinal_mm": push})
            told(room, 6, wait_for)
        room.command("pedal", {"down": False})
        assert wait_for(lambda: room.status()["state"] == "HOLD")
        live = skin.result()
    finally:
        skin.close()
    room.close()
    (path,) = exams.rglob("dose.dcm")
    found = map_dose(path, Body(str(small_ct))).found
    assert isinstance(found, SkinMap)
    assert found.dose_mgy.sum() == pytest.approx(live.dose_mgy.sum(), rel=0.03)
    assert found.peak_mgy == pytest.approx(live.peak_mgy, rel=0.05)
    # Almost all the dose lies where it lay, and not at the first place.
    apart = np.abs(found.dose_mgy - live.dose_mgy).sum() / live.dose_mgy.sum()
    assert apart < 0.1
    events, _ = skin_events(read_dose_object(path).events, setup.position, table_frame("Fluoroscope", ""), Notes())
    assert len(events[1].path) > 2
    stayed = [replace(event, path=(), end_table=None, end_angles_deg=None) for event in events]
    standing = skin_map(found.phantom, lay_at(found.phantom, setup.position, np.asarray(setup.reference_mm)), stayed)
    assert np.abs(standing.dose_mgy - live.dose_mgy).sum() / live.dose_mgy.sum() > 0.5
