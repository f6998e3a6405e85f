"""``fluoroscope needle``: every frame in order, one JSON object, a table, an overlay, and one line for bad input."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, XRayAngiographicImageStorage, generate_uid
from typer.testing import CliRunner

from fluoroscope.cli import app, main

SIDE = 256


def written(path: Path, frames: list[np.ndarray], geometry: bool = False) -> Path:
    """Write frames of transmission (0 to 1) as an XA run."""
    pixels = np.stack([np.clip(one * 40000.0, 0, 65535).astype(np.uint16) for one in frames])
    image = Dataset()
    image.file_meta = FileMetaDataset()
    image.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    image.SOPClassUID, image.SOPInstanceUID = XRayAngiographicImageStorage, generate_uid()
    image.file_meta.MediaStorageSOPClassUID = image.SOPClassUID
    image.file_meta.MediaStorageSOPInstanceUID = image.SOPInstanceUID
    image.Modality, image.PixelIntensityRelationship = "XA", "LIN"
    image.SamplesPerPixel, image.PhotometricInterpretation = 1, "MONOCHROME2"
    image.NumberOfFrames, image.Rows, image.Columns = len(frames), SIDE, SIDE
    image.BitsAllocated, image.BitsStored, image.HighBit, image.PixelRepresentation = 16, 16, 15, 0
    image.FrameTime = "66.7"
    if geometry:
        image.ImagerPixelSpacing = [0.6, 0.6]
        image.DistanceSourceToDetector, image.DistanceSourceToPatient = 1000.0, 600.0
        image.PositionerPrimaryAngle, image.PositionerSecondaryAngle = 0.0, 0.0
        image.PatientPosition = "HFS"
    image.PixelData = pixels.tobytes()
    image.save_as(path, enforce_file_format=True)
    return path


def transmission(tip, seed, hub=(-20.0, 130.0), height=0.4):
    """Return a needle (none where ``tip`` is None) on noise, as transmission."""
    rng = np.random.default_rng(seed)
    r, c = np.mgrid[0:SIDE, 0:SIDE].astype(np.float64)
    nepers = 1.0 + rng.normal(0.0, 0.04, (SIDE, SIDE))
    if tip is not None:
        hub, tip = np.array(hub), np.array(tip, float)
        length = np.hypot(*(tip - hub))
        way = (tip - hub) / length
        along = (r - hub[0]) * way[0] + (c - hub[1]) * way[1]
        across = (r - hub[0]) * -way[1] + (c - hub[1]) * way[0]
        nepers += height * np.exp(-0.5 * (across / 1.3) ** 2) * np.clip(length - along + 0.5, 0, 1)
    return np.exp(-nepers)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("needle")
    frames = [transmission((120.0 + 2 * n, 100.0 - n), n) for n in range(4)]
    return written(folder / "run.dcm", frames)


def told(*words):
    result = CliRunner().invoke(app, ["needle", *map(str, words)])
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.mark.req("REQ-GUI-025")
def test_json_tells_every_frame_in_order_with_the_tip(run):
    facts = json.loads(told(run, "--json"))
    assert [one["index"] for one in facts["frames"]] == [0, 1, 2, 3]
    for n, frame in enumerate(facts["frames"]):
        best = frame["needles"][0]
        assert np.hypot(best["tip_px"][0] - 120.0 - 2 * n, best["tip_px"][1] - 100.0 + n) < 3.0
        assert abs(best["angle_deg"] - np.degrees(np.arctan2(140.0 + 2 * n, -30.0 - n))) < 1.5
        assert best["confidence"] > 0.5
        assert best["track"] == 1
    assert facts["mm_per_px_at_isocenter"] is None
    assert "Imager Pixel Spacing" in facts["no_mm_because"]


@pytest.mark.req("REQ-GUI-025")
def test_with_geometry_tags_lengths_are_in_mm(tmp_path):
    clip = written(tmp_path / "g.dcm", [transmission((120.0, 100.0), 3)], geometry=True)
    facts = json.loads(told(clip, "--json"))
    assert facts["mm_per_px_at_isocenter"] == pytest.approx(0.36)
    needle = facts["frames"][0]["needles"][0]
    assert needle["length_mm"] == pytest.approx(needle["length_px"] * 0.36, abs=0.1)


@pytest.mark.req("REQ-GUI-024")
def test_a_run_without_a_needle_says_so(tmp_path):
    clip = written(tmp_path / "empty.dcm", [transmission(None, n) for n in range(3)])
    words = told(clip)
    assert "no needle or wire seen in 3 frames" in words
    facts = json.loads(told(clip, "--json"))
    assert len(facts["frames"]) == 3
    assert not [n for one in facts["frames"] for n in one["needles"] if n["confidence"] >= 0.5]


@pytest.mark.req("REQ-GUI-025")
def test_frames_are_chosen_and_the_overlay_is_a_picture(run, tmp_path):
    picture = tmp_path / "seen.png"
    words = told(run, "--frames", "1:3", "--overlay", picture)
    assert "seen in 2 of 2 frames" in words
    with Image.open(picture) as image:
        assert image.size == (2 * SIDE, 2 * SIDE)
        colours = np.asarray(image.convert("RGB")).astype(int)
    assert (np.ptp(colours, axis=2) > 60).sum() > 50, "the needle is drawn in colour"


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--frames", "3:9"], "--frames 3:9: the run has frames 0 to 3"),
        (["--frames", "x"], "--frames x: write A:B"),
        (["--frames", "2:2"], "--frames 2:2"),
        (["--overlay", "nowhere/at/all.png"], "its folder does not exist"),
    ],
)
def test_bad_words_end_with_one_line(run, words, says, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["fluoroscope", "needle", str(run), *words])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert says in said.err
    assert said.err.count("\n") == 1


def test_a_file_that_is_no_run_is_refused(tmp_path, monkeypatch, capsys):
    path = tmp_path / "no.dcm"
    path.write_bytes(b"nothing")
    for name in (path, tmp_path / "missing.dcm"):
        monkeypatch.setattr("sys.argv", ["fluoroscope", "needle", str(name)])
        with pytest.raises(SystemExit) as ended:
            main()
        assert ended.value.code == 2
        assert capsys.readouterr().err.startswith("error: ")


DATA = os.environ.get("FLUOROSCOPE_TEST_DATA")


@pytest.mark.data
@pytest.mark.req("REQ-GUI-021")
@pytest.mark.skipif(not DATA, reason="needs FLUOROSCOPE_TEST_DATA")
def test_the_real_wire_is_found_along_its_visible_length():
    facts = json.loads(told(Path(DATA or "") / "xa" / "rf_kwire.dcm", "--json"))
    best = facts["frames"][0]["needles"][0]
    assert best["confidence"] > 0.5
    line = np.array(best["centreline_px"])
    # The straight part of the wire runs from (96, 98) to (107, 384), read off by eye.
    for row, column in np.linspace((96.5, 105.0), (106.5, 375.0), 20):
        assert np.hypot(line[:, 0] - row, line[:, 1] - column).min() < 6.5
    assert all(one["confidence"] < 0.5 for one in facts["frames"][0]["needles"][1:])


@pytest.mark.data
@pytest.mark.req("REQ-GUI-021")
@pytest.mark.skipif(not DATA, reason="needs FLUOROSCOPE_TEST_DATA")
def test_the_real_catheter_is_followed_before_contrast_comes():
    facts = json.loads(told(Path(DATA or "") / "xa" / "xa_96frames_512.dcm", "--frames", "0:12", "--json"))
    assert len(facts["frames"]) == 12
    seen = [
        any(np.hypot(n["tip_px"][0] - 150.0, n["tip_px"][1] - 215.0) < 40.0 for n in frame["needles"] if n["seen"])
        for frame in facts["frames"]
    ]
    assert sum(seen) >= 9
