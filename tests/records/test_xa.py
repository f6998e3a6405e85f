"""XA objects: what is in them, by an independent reader (pydicom), and that nothing half-written stays."""

import contextlib
import errno
from datetime import UTC, datetime

import numpy as np
import pydicom
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from fluoroscope.acquisition.frame import Collimation, PixelIntensity, Provenance
from fluoroscope.beam.technique import RadiationMode, Technique
from fluoroscope.dicom.xa import read_clip
from fluoroscope.geometry.pose import CArmPose
from fluoroscope.geometry.table import PatientPosition, TablePose
from fluoroscope.records import xa
from fluoroscope.records.coding import CoderProcess
from fluoroscope.records.identity import PatientAngles, PatientIdentity
from fluoroscope.records.xa import XARun, collimator_edges, write_xa


def grid_ns(count, rate_hz, start_ns=5_000_000_000):
    return tuple(start_ns + round(i * 1e9 / rate_hz) for i in range(count))


def noise(count, rows=24, columns=40, seed=1):
    return np.random.default_rng(seed).integers(0, 65536, (count, rows, columns), dtype=np.uint16)


@pytest.fixture
def written(tmp_path, make_event, make_exam):
    """Write a run with changes; give the file read by pydicom."""

    def write(count=6, rate_hz=7.5, event=None, exam=None, **changes):
        event = event or make_event(pulses=count, pulse_rate_hz=rate_hz)
        values = {
            "event": event,
            "acquired_ns": grid_ns(count, rate_hz),
            "window_center": 2000.0,
            "window_width": 4000.0,
            "pitch_mm": 0.3,
        }
        run = XARun(**{**values, **changes})
        path = tmp_path / "run.dcm"
        uid = write_xa(path, noise(count), run, exam or make_exam())
        dataset = pydicom.dcmread(path)
        assert dataset.SOPInstanceUID == uid == dataset.file_meta.MediaStorageSOPInstanceUID
        return dataset

    return write


@pytest.mark.req("REQ-DICOM-002")
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    frames=st.integers(1, 4).flatmap(
        lambda n: st.tuples(st.just(n), st.integers(8, 33), st.integers(8, 33)).flatmap(
            lambda shape: arrays(np.uint16, shape, elements=st.integers(0, 65535))
        )
    )
)
def test_a_round_trip_is_exact(tmp_path, make_event, make_exam, frames):
    path = tmp_path / "run.dcm"
    write_xa(path, frames, XARun(make_event(), grid_ns(len(frames), 7.5), 100.0, 200.0), make_exam())
    with read_clip(path) as clip:
        assert clip.frame_count == len(frames)
        np.testing.assert_array_equal(np.stack([clip.frame(i) for i in range(len(frames))]), frames)


@pytest.mark.parametrize("value", [0, 1, 255, 256, 65535])
def test_flat_frames_of_any_value_round_trip(tmp_path, make_event, make_exam, value):
    frames = np.full((2, 16, 16), value, dtype=np.uint16)
    write_xa(tmp_path / "a.dcm", frames, XARun(make_event(), (0, 133_333_333), 1.0, 2.0), make_exam())
    with read_clip(tmp_path / "a.dcm") as clip:
        np.testing.assert_array_equal(clip.frame(1), frames[1])


def test_pydicom_decodes_the_same_pixels(written):
    np.testing.assert_array_equal(written(6).pixel_array, noise(6))


def test_frames_are_taken_one_at_a_time(tmp_path, make_event, make_exam):
    alive = 0

    def stream():
        nonlocal alive
        for frame in noise(8):
            alive += 1
            yield frame.copy()

    write_xa(tmp_path / "a.dcm", stream(), XARun(make_event(), grid_ns(8, 7.5), 1.0, 2.0), make_exam())
    assert alive == 8


def test_frames_coded_by_a_process_are_the_same_file(tmp_path, make_event, make_exam):
    run = XARun(make_event(), grid_ns(30, 7.5), 1.0, 2.0)
    write_xa(tmp_path / "here.dcm", noise(30), run, make_exam())
    with contextlib.closing(CoderProcess()) as coder:
        write_xa(tmp_path / "there.dcm", noise(30), run, make_exam(), coder=coder)
        with pytest.raises(ValueError, match="29 frames, but 30 times"):
            write_xa(tmp_path / "short.dcm", noise(29), run, make_exam(), coder=coder)
    assert (tmp_path / "here.dcm").read_bytes() == (tmp_path / "there.dcm").read_bytes()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["here.dcm", "there.dcm"]


@pytest.mark.parametrize("rate_hz", [1.0, 2.0, 3.75, 7.5, 15.0, 30.0])
def test_a_steady_run_has_a_frame_time(written, rate_hz):
    dataset = written(rate_hz=rate_hz)
    assert dataset.FrameIncrementPointer == pydicom.tag.Tag("FrameTime")
    assert float(dataset.FrameTime) == pytest.approx(1000.0 / rate_hz, abs=1e-5)
    assert "FrameTimeVector" not in dataset
    # Both are integers in DICOM: a rate that is none must not be rounded into them.
    assert ("CineRate" in dataset) == rate_hz.is_integer()


def test_dropped_pulses_show_in_a_frame_time_vector(written, make_event):
    times = list(grid_ns(7, 7.5))
    del times[3]
    dataset = written(6, acquired_ns=tuple(times), event=make_event(pulses=6, dropped_pulses=1))
    assert dataset.FrameIncrementPointer == pydicom.tag.Tag("FrameTimeVector")
    vector = [float(v) for v in dataset.FrameTimeVector]
    assert vector[0] == 0.0
    np.testing.assert_allclose(np.cumsum(vector), (np.array(times) - times[0]) / 1e6, atol=6e-4)
    assert vector[3] == pytest.approx(266.667, abs=2e-3)
    assert "1 late pulses dropped" in dataset.ImageComments


def test_a_long_irregular_run_still_fits_its_vector():
    times = np.cumsum(np.random.default_rng(0).uniform(30.0, 40.0, 16_000))
    steps = xa._step_vector(times - times[0])
    assert sum(len(s) + 1 for s in steps) <= 65534
    np.testing.assert_allclose(np.cumsum([float(s) for s in steps]), times - times[0], atol=0.51)


def test_a_single_frame_has_no_number_of_frames(written):
    dataset = written(1, image_number=3, derivation="mean of the last 4 frames")
    assert "NumberOfFrames" not in dataset
    assert "FrameIncrementPointer" not in dataset
    assert list(dataset.ImageType) == ["DERIVED", "PRIMARY", "SINGLE PLANE"]
    assert dataset.InstanceNumber == 3
    assert "mean of the last 4 frames" in dataset.DerivationDescription


def test_a_standing_c_arm_has_no_increments(written):
    dataset = written(angles=(PatientAngles(-160.0, 5.0),), tables=(TablePose(),))
    assert (dataset.PositionerMotion, dataset.TableMotion) == ("STATIC", "STATIC")
    assert (dataset.PositionerPrimaryAngle, dataset.PositionerSecondaryAngle) == (-160.0, 5.0)
    assert not [e for e in dataset if "Increment" in e.keyword and e.keyword != "FrameIncrementPointer"]


def test_a_moving_c_arm_gives_offsets_from_the_first_frame_over_the_180_line(written):
    primary = [176.0, 178.0, 180.0, -178.0, -176.0, -174.0]
    dataset = written(angles=tuple(PatientAngles(p, 1.0) for p in primary))
    assert dataset.PositionerMotion == "DYNAMIC"
    assert list(dataset.PositionerPrimaryAngleIncrement) == [0.0, 2.0, 4.0, 6.0, 8.0, 10.0]
    assert list(dataset.PositionerSecondaryAngleIncrement) == [0.0] * 6


@pytest.mark.parametrize(
    ("position", "across", "along"),
    [("HFS", 1.0, 1.0), ("HFP", -1.0, 1.0), ("FFS", -1.0, -1.0), ("FFP", 1.0, -1.0)],
)
def test_a_moving_table_in_dicoms_words(written, make_exam, position, across, along):
    tables = tuple(TablePose(lateral_mm=1.0 * i, longitudinal_mm=10.0 * i, height_mm=3.0 * i) for i in range(6))
    dataset = written(tables=tables, exam=make_exam(position=PatientPosition(position)))
    assert dataset.TableMotion == "DYNAMIC"
    # Longitudinal is across the patient toward the left, lateral along toward the head (PS3.3 C.8.7.4.1).
    assert dataset.TableLongitudinalIncrement[5] == 5.0 * across
    assert dataset.TableLateralIncrement[5] == 50.0 * along
    assert dataset.TableVerticalIncrement[5] == -15.0


def test_magnification_is_the_ratio_to_ten_digits(written, make_event):
    pose = CArmPose(0.0, 0.0, 700.0, 1000.0)
    dataset = written(event=make_event(pulses=6, first_pose=pose))
    assert float(dataset.EstimatedRadiographicMagnificationFactor) == pytest.approx(1000.0 / 700.0, rel=1e-10)
    assert "PixelSpacing" not in dataset
    assert list(dataset.ImagerPixelSpacing) == [0.3, 0.3]


def test_exposure_is_not_rounded_to_nothing(written):
    dataset = written(6)
    # 6 pulses of 8 ms at 3.21 mA: 154.08 µAs, 0 whole mAs.
    assert dataset.ExposureInuAs == 154
    assert dataset.Exposure == 0
    assert float(dataset.ExposureTimeInuS) == pytest.approx(48_000.0)
    assert float(dataset.XRayTubeCurrentInuA) == pytest.approx(3210.0)


@pytest.mark.req("HAZ-UNIT-001")
def test_area_dose_product_is_in_dgy_cm2(written, make_event):
    dataset = written(event=make_event(pulses=6, kap_gy_cm2=0.25))
    assert float(dataset.ImageAndFluoroscopyAreaDoseProduct) == 2.5


@pytest.mark.parametrize(("mode", "setting"), [(RadiationMode.FLUOROSCOPY, "SC"), (RadiationMode.ACQUISITION, "GR")])
def test_radiation_setting(written, make_event, mode, setting):
    technique = Technique(70.0, 3.0, 8.0, 7.5, mode=mode)
    assert written(event=make_event(pulses=6, technique=technique)).RadiationSetting == setting


@pytest.mark.parametrize(
    "name",
    [
        "Müller^Jürgen",
        "Иванов^Пётр",
        "Wang^XiaoDong=王^小东",
        "ألف^باء",
        "X" * 64,
        "Yamada^Tarou=山田^太郎=やまだ^たろう",
    ],
)
def test_names_of_any_script(written, make_exam, name):
    dataset = written(exam=make_exam(patient=PatientIdentity(name, "Ä-1")))
    assert str(dataset.PatientName) == name
    assert dataset.PatientID == "Ä-1"
    assert dataset.SpecificCharacterSet == "ISO_IR 192"


@pytest.mark.req("HAZ-CLINIC-001")
def test_it_says_it_is_simulated(written, make_exam):
    dataset = written()
    for text in (dataset.ImageComments, dataset.SeriesDescription, dataset.DerivationDescription):
        assert "SIMULATED - not for clinical use" in text
    assert dataset.Manufacturer == "Fluoroscope"
    recorded = written(exam=make_exam(provenance=Provenance.RECORDED))
    assert "SIMULATED" not in recorded.ImageComments
    assert "not for clinical use" in recorded.ImageComments


def test_the_same_event_gives_the_same_uids_and_bytes(tmp_path, make_event, make_exam):
    run = XARun(make_event(), grid_ns(3, 7.5), 1.0, 2.0)
    for name in ("a.dcm", "b.dcm"):
        write_xa(tmp_path / name, noise(3), run, make_exam())
    assert (tmp_path / "a.dcm").read_bytes() == (tmp_path / "b.dcm").read_bytes()


def test_uids_differ_between_runs_images_and_studies(make_event):
    runs = [XARun(make_event(n), (0,), 1.0, 2.0, image_number=i) for n in (1, 2) for i in (0, 1)]
    assert len({run.sop_instance_uid for run in runs}) == 4


@given(
    rows=st.integers(1, 300), columns=st.integers(1, 300), pitch=st.floats(0.05, 2.0),
    edges=st.tuples(*[st.floats(0.1, 200.0)] * 4),
)  # fmt: skip
def test_collimator_edges_hold_the_pixels_inside(rows, columns, pitch, edges):
    left, right, upper, lower = collimator_edges(Collimation(*edges), (rows, columns), pitch)
    x_mm = (np.arange(columns) - (columns - 1) / 2) * pitch
    y_mm = (np.arange(rows) - (rows - 1) / 2) * pitch
    for position, first, last, near, far in (
        (x_mm, left, right, edges[0], edges[1]),
        (y_mm, upper, lower, edges[2], edges[3]),
    ):
        inside = np.flatnonzero((position >= -near - 1e-9) & (position <= far + 1e-9)) + 1
        if inside.size:
            assert (first, last) == (inside[0], inside[-1])


def test_collimator_edges_count_from_one():
    assert collimator_edges(Collimation(50.0, 50.0, 50.0, 50.0), (100, 100), 1.0) == (1, 100, 1, 100)
    assert collimator_edges(Collimation(10.0, 20.0, 30.0, 40.0), (100, 100), 1.0) == (41, 70, 21, 90)


def test_the_offset_table_points_at_every_frame(tmp_path, make_event, make_exam):
    path = tmp_path / "a.dcm"
    write_xa(path, noise(5), XARun(make_event(), grid_ns(5, 7.5), 1.0, 2.0), make_exam())
    offsets = pydicom.encaps.parse_basic_offsets(pydicom.dcmread(path).PixelData)
    first = path.read_bytes().index(b"\xe0\x7f\x10\x00OB") + 12 + 8 + 4 * 5
    for offset in offsets:
        assert path.read_bytes()[first + offset : first + offset + 4] == b"\xfe\xff\x00\xe0"
    assert len(offsets) == 5


def test_a_huge_run_gets_an_extended_offset_table(tmp_path, make_event, make_exam, monkeypatch):
    monkeypatch.setattr(xa, "_LARGEST_BASIC_OFFSET", 1000)
    path = tmp_path / "a.dcm"
    write_xa(path, noise(5), XARun(make_event(), grid_ns(5, 7.5), 1.0, 2.0), make_exam())
    dataset = pydicom.dcmread(path)
    offsets = np.frombuffer(dataset.ExtendedOffsetTable, "<u8")
    lengths = np.frombuffer(dataset.ExtendedOffsetTableLengths, "<u8")
    assert pydicom.encaps.parse_basic_offsets(dataset.PixelData) == []
    np.testing.assert_array_equal(np.diff(offsets), 8 + lengths[:-1] + lengths[:-1] % 2)
    np.testing.assert_array_equal(dataset.pixel_array, noise(5))
    with read_clip(path) as clip:
        np.testing.assert_array_equal(clip.frame(4), noise(5)[4])


@pytest.mark.req("HAZ-RECORD-001")
def test_a_full_disk_leaves_nothing(tmp_path, make_event, make_exam, monkeypatch):
    def full(self, frame):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(xa._Encapsulated, "add", full)
    with pytest.raises(OSError, match=r"cannot write .*run\.dcm: No space left on device; free disk space") as caught:
        write_xa(tmp_path / "run.dcm", noise(2), XARun(make_event(), grid_ns(2, 7.5), 1.0, 2.0), make_exam())
    assert caught.value.errno == errno.ENOSPC
    assert list(tmp_path.iterdir()) == []


def test_a_failed_rewrite_keeps_the_file_before(tmp_path, make_event, make_exam):
    path = tmp_path / "run.dcm"
    run = XARun(make_event(), grid_ns(2, 7.5), 1.0, 2.0)
    write_xa(path, noise(2), run, make_exam())
    before = path.read_bytes()
    with pytest.raises(ValueError, match="1 frames, but 2 times"):
        write_xa(path, noise(1), run, make_exam())
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["run.dcm"]


def test_a_missing_folder_is_one_clear_line(tmp_path, make_event, make_exam):
    with pytest.raises(OSError, match=r"cannot write .*: No such file or directory"):
        write_xa(tmp_path / "no" / "run.dcm", noise(1), XARun(make_event(), (0,), 1.0, 2.0), make_exam())


@pytest.mark.parametrize(
    ("frames", "message"),
    [
        (np.zeros((3, 9, 9), np.uint16), "more frames than the 2 times"),
        (np.zeros((0, 4, 4), np.uint16), "at least one frame"),
        (np.zeros((2, 9, 9), np.int16), "frames are uint16"),
        (np.zeros((2, 4, 4), np.uint16), "needs 64 pixels"),
        ([np.zeros((8, 8), np.uint16), np.zeros((8, 9), np.uint16)], "a run has one size"),
    ],
)
def test_frames_not_as_said_are_refused(tmp_path, make_event, make_exam, frames, message):
    with pytest.raises(ValueError, match=message):
        write_xa(tmp_path / "a.dcm", frames, XARun(make_event(), (0, 1), 1.0, 2.0), make_exam())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"acquired_ns": ()}, "at least one frame"),
        ({"acquired_ns": (5, 5)}, "must rise"),
        ({"angles": (PatientAngles(0.0, 0.0),) * 2, "acquired_ns": (1, 2, 3)}, "one per frame"),
        ({"intensity": PixelIntensity.LOG}, "lookup table"),
        ({"window_width": 0.0}, "at least 1 wide"),
        ({"pitch_mm": float("nan")}, "above 0 mm"),
        ({"image_number": 2, "acquired_ns": (1, 2)}, "one frame"),
    ],
)
def test_a_run_is_checked(make_event, changes, message):
    with pytest.raises(ValueError, match=message):
        XARun(
            **{
                "event": make_event(),
                "acquired_ns": (0,),
                "window_center": 1.0,
                "window_width": 2.0,
                **changes,
            }
        )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"study_uid": "1.02.3"}, "not a DICOM UID"),
        ({"started": datetime(2026, 1, 1)}, "time zone"),
        ({"description": "a\\b"}, "backslash"),
        ({"accession_number": "x" * 17}, "at most 16"),
    ],
)
def test_an_exam_is_checked(make_exam, changes, message):
    with pytest.raises(ValueError, match=message):
        make_exam(**changes)


def test_times_are_utc_and_say_so(written, make_event):
    dataset = written(event=make_event(1, pulses=6))
    assert dataset.TimezoneOffsetFromUTC == "+0000"
    assert (dataset.AcquisitionDate, dataset.AcquisitionTime) == ("20261122", "100010.123456")
    assert datetime(2026, 11, 22, 10, 0, 10, 123456, UTC) == make_event(1).started
