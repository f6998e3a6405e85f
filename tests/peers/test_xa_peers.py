"""XA objects as programs others wrote see them: dciodvfy, dcmtk, gdcm, Orthanc."""

import itertools

import numpy as np
import pydicom
import pytest

from fluoroscope.acquisition.frame import PixelIntensity
from fluoroscope.beam.technique import RadiationMode, Technique
from fluoroscope.dicom.xa import read_clip
from fluoroscope.geometry.pose import CArmPose
from fluoroscope.geometry.table import PatientPosition, TablePose
from fluoroscope.records.identity import Anatomy, PatientAngles, PatientIdentity
from fluoroscope.records.rdsr import DoseEvent, write_rdsr
from fluoroscope.records.xa import XARun, write_xa


def fluoroscopy_like(count, rows=48, columns=64, seed=3):
    """Frames with smooth anatomy and quantum noise, 16 bit."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[0:rows, 0:columns]
    mean = 8000.0 + 6000.0 * np.sin(x / 9.0) * np.cos(y / 7.0)
    return random.poisson(mean, (count, rows, columns)).astype(np.uint16)


def grid_ns(count, rate_hz):
    return tuple(round(i * 1e9 / rate_hz) for i in range(count))


def moving(count):
    angles = tuple(PatientAngles(-30.0 + 1.5 * i, 0.5 * i) for i in range(1, count + 1))
    tables = tuple(TablePose(1.0 * i, 2.0 * i, 3.0 * i) for i in range(count))
    return {"angles": angles, "tables": tables}


STANDING = {"angles": (PatientAngles(-160.0, 5.0),), "tables": (TablePose(),), "orientation": ("L", "F")}
VARIANTS = {
    "static": (6, 7.5, STANDING),
    "dynamic": (6, 7.5, moving(6)),
    "nothing known": (6, 7.5, {"pitch_mm": None}),
    "raw LIN": (6, 15.0, {**STANDING, "intensity": PixelIntensity.LIN}),
    "still": (1, 7.5, {**STANDING, "image_number": 1, "derivation": "mean of the last 4 frames"}),
    "one pulse": (1, 1.0, STANDING),
    **{f"{rate} per second": (4, rate, STANDING) for rate in (1.0, 2.0, 3.75, 7.5, 15.0, 30.0)},
}


@pytest.mark.req("REQ-DICOM-001")
@pytest.mark.peer("dciodvfy")
@pytest.mark.parametrize("variant", VARIANTS)
def test_dciodvfy_finds_no_error(tmp_path, make_event, make_exam, dciodvfy, variant):
    count, rate_hz, changes = VARIANTS[variant]
    run = XARun(
        make_event(pulses=count, pulse_rate_hz=rate_hz),
        grid_ns(count, rate_hz),
        8000.0,
        16000.0,
        **{"pitch_mm": 0.3, **changes},
    )
    path = tmp_path / "run.dcm"
    write_xa(path, fluoroscopy_like(count), run, make_exam())
    verdict = dciodvfy(path)
    assert verdict.errors == []
    # An increment of 0 in the first frame is what the standard asks for.
    assert [w for w in verdict.warnings if "Increment" not in w or "Value is zero" not in w] == []


@pytest.mark.peer("dciodvfy")
@pytest.mark.parametrize("position", PatientPosition)
def test_dciodvfy_finds_no_error_in_any_position(tmp_path, make_event, make_exam, dciodvfy, position):
    path = tmp_path / "run.dcm"
    for index, (changes, anatomy) in enumerate(
        itertools.product((STANDING, moving(4)), (Anatomy.LUMBAR_SPINE, Anatomy.SPINE))
    ):
        run = XARun(make_event(pulses=4), grid_ns(4, 7.5), 1.0, 2.0, pitch_mm=0.3, **changes)
        write_xa(path, fluoroscopy_like(4, seed=index), run, make_exam(position=position, anatomy=anatomy))
        assert dciodvfy(path).errors == []


@pytest.mark.peer("dciodvfy")
def test_dciodvfy_finds_no_error_in_odd_runs(tmp_path, make_event, make_exam, dciodvfy):
    times = list(grid_ns(7, 3.75))
    del times[2]
    acquisition = Technique(70.0, 3.0, 8.0, 3.75, mode=RadiationMode.ACQUISITION)
    measured = ("mean_tube_voltage_kv", "mean_tube_current_ma", "mean_pulse_width_ms")
    unknown = dict.fromkeys((*measured, "first_pose", "last_pose", "table", "technique", "collimation"))
    dropped = {"pulses": 6, "pulse_rate_hz": 3.75, "dropped_pulses": 1}
    odd = [
        make_event(**dropped, technique=acquisition),
        make_event(**dropped, first_pose=CArmPose(0.0, 0.0, 700.0, 1000.0)),
        make_event(**dropped, **unknown),
    ]
    path = tmp_path / "run.dcm"
    for event in odd:
        write_xa(path, fluoroscopy_like(6), XARun(event, tuple(times), 1.0, 2.0, pitch_mm=0.3), make_exam())
        assert dciodvfy(path).errors == []
        assert dciodvfy(path).warnings == []


@pytest.mark.peer("dcmtk")
def test_dcmtk_decodes_the_same_pixels(tmp_path, make_event, make_exam, run_peer):
    frames = fluoroscopy_like(5)
    path, plain = tmp_path / "run.dcm", tmp_path / "plain.dcm"
    write_xa(path, frames, XARun(make_event(), grid_ns(5, 7.5), 1.0, 2.0, **STANDING), make_exam())
    done = run_peer("dcmdjpls", path, plain)
    assert done.returncode == 0, done.stderr
    theirs = pydicom.dcmread(plain)
    assert theirs.PixelData == frames.astype("<u2").tobytes()
    with read_clip(path) as ours, read_clip(plain) as clip:
        for index in range(5):
            np.testing.assert_array_equal(ours.frame(index), frames[index])
            np.testing.assert_array_equal(clip.frame(index), frames[index])


@pytest.mark.peer("dcmtk")
def test_we_decode_what_dcmtk_codes(tmp_path, make_event, make_exam, run_peer):
    frames = fluoroscopy_like(3)
    path = tmp_path / "run.dcm"
    write_xa(path, frames, XARun(make_event(), grid_ns(3, 7.5), 1.0, 2.0), make_exam())
    plain = tmp_path / "plain.dcm"
    assert run_peer("dcmdjpls", path, plain).returncode == 0
    for program, options in (("dcmcrle", ()), ("dcmcjpls", ("+fs", "4")), ("dcmconv", ("+ti",))):
        coded = tmp_path / f"{program}.dcm"
        done = run_peer(program, *options, plain, coded)
        assert done.returncode == 0, done.stderr
        with read_clip(coded) as clip:
            np.testing.assert_array_equal(clip.frame(2), frames[2])


@pytest.mark.peer("gdcm", "dcmtk")
def test_we_decode_jpeg_2000_from_gdcm(tmp_path, make_event, make_exam, run_peer):
    frames = fluoroscopy_like(3)
    path, plain, coded = (tmp_path / name for name in ("run.dcm", "plain.dcm", "j2k.dcm"))
    write_xa(path, frames, XARun(make_event(), grid_ns(3, 7.5), 1.0, 2.0), make_exam())
    assert run_peer("dcmdjpls", path, plain).returncode == 0
    assert run_peer("gdcmconv", "--j2k", plain, coded).returncode == 0
    with read_clip(coded) as clip:
        np.testing.assert_array_equal(clip.frame(2), frames[2])


@pytest.mark.peer("dcmtk")
def test_dcmdump_reads_it_without_a_warning(tmp_path, make_event, make_exam, run_peer):
    path = tmp_path / "run.dcm"
    exam = make_exam(patient=PatientIdentity("Иванов^Пётр", "1"))
    write_xa(path, fluoroscopy_like(4), XARun(make_event(), grid_ns(4, 7.5), 1.0, 2.0, **STANDING), exam)
    done = run_peer("dcmdump", path)
    assert done.returncode == 0
    assert done.stderr == b""
    assert "Иванов^Пётр" in done.stdout.decode()


@pytest.mark.peer("gdcm")
def test_gdcm_reads_it(tmp_path, make_event, make_exam, run_peer):
    path = tmp_path / "run.dcm"
    write_xa(path, fluoroscopy_like(4), XARun(make_event(), grid_ns(4, 7.5), 1.0, 2.0), make_exam())
    done = run_peer("gdcminfo", path)
    text = done.stdout.decode()
    assert done.returncode == 0
    assert "Dimensions: (64,48,4)" in text
    assert "1.2.840.10008.5.1.4.1.1.12.1" in text


@pytest.mark.req("REQ-DICOM-002")
@pytest.mark.peer("orthanc", "unshare", "dcmtk", "ip")
def test_orthanc_gives_back_every_bit(tmp_path, make_event, make_exam, through_orthanc):
    exam = make_exam()
    run, still, report = (tmp_path / name for name in ("run.dcm", "image.dcm", "dose.dcm"))
    frames = fluoroscopy_like(12, 128, 128)
    write_xa(run, frames, XARun(make_event(pulses=12), grid_ns(12, 7.5), 1.0, 2.0, **STANDING), exam)
    write_xa(still, frames[:1], XARun(make_event(), (0,), 1.0, 2.0, image_number=1), exam)
    write_rdsr(report, exam, [DoseEvent(make_event(), PatientAngles(-160.0, 5.0))], ended=exam.started)
    fetched = through_orthanc([run, still, report], tmp_path)
    assert len(fetched) == 3
    for path in (run, still, report):
        ours = pydicom.dcmread(path)
        theirs = pydicom.dcmread(fetched[ours.SOPInstanceUID])
        assert theirs.file_meta.TransferSyntaxUID == ours.file_meta.TransferSyntaxUID
        assert theirs == ours
        if path != report:
            assert theirs.PixelData == ours.PixelData
    with read_clip(fetched[pydicom.dcmread(run).SOPInstanceUID]) as clip:
        np.testing.assert_array_equal(np.stack([clip.frame(i) for i in range(12)]), frames)
