"""A press during which C-arm and table moved: the map of its report is that of the room."""

from dataclasses import replace

import numpy as np
import pydicom
import pytest
from pydicom.sr.codedict import codes

from fluoroscope.app.dose.live_skin import LiveSkin
from fluoroscope.app.dose.map import Body, map_dose
from fluoroscope.app.dose.skin_events import skin_events
from fluoroscope.dicom.dose_objects import read_dose_object
from fluoroscope.dicom.dose_records import Notes
from fluoroscope.dose.skin_machines import table_frame
from fluoroscope.dose.skin_map import SkinMap, lay_at, skin_map
from fluoroscope.geometry.table import TablePose
from fluoroscope.records.content_items import number
from fluoroscope.records.contents import DoseEvent
from fluoroscope.records.identity import PatientAngles
from fluoroscope.records.rdsr import write_rdsr

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


def mapped(path, make_exam, event, change=None):
    """Return the map of a report of one event, and the codes of its warnings."""
    write_rdsr(path, make_exam(), [DoseEvent(event, PatientAngles(0.0, 0.0))], ended=event.ended)
    if change is not None:
        dataset = pydicom.dcmread(path)
        (item,) = (one for one in dataset.ContentSequence if one.ConceptNameCodeSequence[0].CodeValue == "113706")
        item.ContentSequence.append(change)
        dataset.save_as(path)
    report = map_dose(path, Body())
    return report.found, {warning.code for warning in report.warnings}


def test_begin_and_end_alone_spread_the_dose_evenly_and_say_so(tmp_path, make_event, make_exam):
    event = make_event(table=TablePose(), air_kerma_mgy=20.0, kap_gy_cm2=0.5)
    pushed = replace(event, last_pose=replace(event.first_pose, isocenter_mm=(0.0, 0.0, -150.0)))
    end_angle = number(codes.DCM.PositionerPrimaryEndAngle, 40.0, "deg")  # as another maker may write it
    still, quiet = mapped(tmp_path / "still.dcm", make_exam, event)
    assert "moved_evenly" not in quiet
    for found, said in (
        mapped(tmp_path / "pushed.dcm", make_exam, pushed),
        mapped(tmp_path / "turned.dcm", make_exam, event, end_angle),
    ):
        assert "moved_evenly" in said
        assert found.peak_mgy < 0.8 * still.peak_mgy
        assert found.dose_mgy.sum() == pytest.approx(still.dose_mgy.sum(), rel=0.15)
