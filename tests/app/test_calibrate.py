"""``fluoroscope calibrate`` on XA files with standard tags: what it finds, prints, and refuses."""

import json

import numpy as np
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian
from scipy import ndimage

from fluoroscope.beam.basis import basis_of
from fluoroscope.beam.materials import MATERIALS
from fluoroscope.beam.technique import Technique
from fluoroscope.detector.expose import Detector
from fluoroscope.geometry.grid import DetectorGrid
from fluoroscope.geometry.pose import CArmPose
from fluoroscope.geometry.projection import ProjectionGeometry, projection_geometry
from fluoroscope.guidance.calibration import BeadPhantom, small_fiducial, spiral_phantom
from fluoroscope.patient.scene import Scene, Sphere
from fluoroscope.projector import project_scene

GRID = DetectorGrid(768, 768, 0.4)
XA = "1.2.840.10008.5.1.4.1.1.12.1"


def picture(phantom: BeadPhantom, geometry: ProjectionGeometry, mas=0.1) -> np.ndarray:
    steel = basis_of(MATERIALS["steel_304"])
    beads = zip(phantom.beads_mm, phantom.diameters_mm, strict=True)
    spheres = tuple(Sphere((float(x), float(y), float(z)), 0.5 * float(wide), steel) for (x, y, z), wide in beads)
    integrals = project_scene(Scene((), spheres), geometry)
    integrals[0] += np.float32(60.0)
    return Detector(seed=2).expose(integrals, Technique(70.0, mas / 8.0 * 1000.0, 8.0, 15.0), geometry, None, 0)


def save(path, pixels, told: CArmPose, drop=()):
    """Write an XA file of a patient lying head first and supine: his angles are the equipment's."""
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    values = {
        "SOPClassUID": XA, "SOPInstanceUID": "2.25.5", "Modality": "XA", "PatientName": "Phantom",
        "SamplesPerPixel": 1, "PhotometricInterpretation": "MONOCHROME2", "Rows": 768, "Columns": 768,
        "BitsAllocated": 16, "BitsStored": 16, "HighBit": 15, "PixelRepresentation": 0,
        "PixelIntensityRelationship": "LIN", "PatientPosition": "HFS", "ImagerPixelSpacing": [0.4, 0.4],
        "PositionerPrimaryAngle": f"{told.primary_deg:g}", "PositionerSecondaryAngle": f"{told.secondary_deg:g}",
        "DistanceSourceToDetector": f"{told.source_to_detector_mm:g}",
        "DistanceSourceToPatient": f"{told.source_to_isocenter_mm:g}",
    }  # fmt: skip
    for name, value in values.items():
        if name not in drop:
            setattr(dataset, name, value)
    dataset.PixelData = pixels.tobytes()
    dataset["PixelData"].VR = "OW"
    dataset.file_meta.MediaStorageSOPClassUID, dataset.file_meta.MediaStorageSOPInstanceUID = XA, "2.25.5"
    dataset.save_as(path, enforce_file_format=True)
    return path


TOLD = (CArmPose(0.0, 0.0, 600.0, 1000.0), CArmPose(80.0, 0.0, 600.0, 1000.0))
TRUE = (CArmPose(1.2, -0.8, 604.0, 1008.0, (1.0, 2.0, -3.0)), CArmPose(78.5, 1.5, 596.0, 1003.0, (-2.0, 1.0, 2.0)))


@pytest.fixture(scope="module")
def spiral_files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("spiral")
    return [
        save(folder / f"view{n}.dcm", picture(spiral_phantom(), projection_geometry(true, GRID)), told)
        for n, (told, true) in enumerate(zip(TOLD, TRUE, strict=True))
    ]


@pytest.mark.req("REQ-GUI-047")
def test_two_views_of_the_phantom_give_both_poses_and_how_they_stand_to_each_other(command, spiral_files):
    code, out, _ = command("calibrate", *spiral_files, "--json")
    assert code == 0
    facts = json.loads(out)
    for one, told, true in zip(facts["images"], TOLD, TRUE, strict=True):
        assert one["good"]
        assert one["rms_px"] <= 0.3
        off = one["off_tags"]
        assert off["primary_deg"] == pytest.approx(true.primary_deg - told.primary_deg, abs=0.25)
        assert off["secondary_deg"] == pytest.approx(true.secondary_deg - told.secondary_deg, abs=0.25)
        assert one["pose"]["source_to_detector_mm"] == pytest.approx(true.source_to_detector_mm, abs=3.0)
        source = projection_geometry(true, GRID).source_mm
        assert np.linalg.norm(np.array(one["source_mm"]) - source) < 2.0
    (moved,) = facts["to_first"]
    assert 1.0 < moved["turn_deg"] < 6.0


@pytest.mark.req("REQ-GUI-047")
def test_words_for_people_and_the_phantom_as_a_file(command, spiral_files, tmp_path):
    code, out, _ = command("calibrate", "--print-phantom")
    assert code == 0
    file = tmp_path / "phantom.json"
    file.write_text(out)
    code, out, _ = command("calibrate", spiral_files[0], "--phantom", file)
    assert code == 0
    assert "good" in out
    assert "not for clinical use" in out


@pytest.mark.req("REQ-GUI-047")
def test_a_fiducial_gives_the_pose_alone(command, tmp_path):
    true = projection_geometry(CArmPose(2.0, 1.0, 600.0, 1000.0), GRID)
    file = save(tmp_path / "f.dcm", picture(small_fiducial(), true), TOLD[0])
    code, out, _ = command("calibrate", file, "--phantom", "small-fiducial", "--fiducial", "--json")
    assert code == 0
    (one,) = json.loads(out)["images"]
    assert one["off_tags"]["primary_deg"] == pytest.approx(2.0, abs=0.3)
    assert one["off_tags"]["source_to_detector_mm"] == pytest.approx(0.0, abs=1e-6)
    assert one["sigma"]["source_to_detector_mm"] is None


@pytest.mark.req("REQ-GUI-049")
def test_distortion_is_taken_off_by_a_grid_before(command, tmp_path):
    x, z = (one.ravel() for one in np.meshgrid(np.arange(-10, 11) * 15.0, np.arange(-10, 11) * 15.0))
    grid = BeadPhantom("grid", np.stack([x, np.full_like(x, -398.0), z], axis=1), np.full(len(x), 3.0))
    small = (np.stack(np.meshgrid(np.arange(768.0), np.arange(768.0), indexing="ij")) - 383.5) / 384.0
    source = 383.5 + 384.0 * small * (1.0 - 0.04 * (small**2).sum(axis=0))

    def bent(pixels):
        return np.rint(ndimage.map_coordinates(pixels.astype(np.float64), source, order=3, mode="nearest")).astype(
            np.uint16
        )

    pictures = [bent(picture(grid, projection_geometry(TOLD[0], GRID))),
                bent(picture(spiral_phantom(), projection_geometry(TRUE[0], GRID)))]  # fmt: skip
    files = [save(tmp_path / f"{name}.dcm", pixels, TOLD[0])
             for name, pixels in zip(("grid", "spiral"), pictures, strict=True)]  # fmt: skip
    code, out, _ = command("calibrate", files[1], "--json")
    assert code == 2 or not json.loads(out)["images"][0]["good"]
    code, out, _ = command("calibrate", files[1], "--grid", files[0], "--json")
    assert code == 0
    facts = json.loads(out)
    assert facts["distortion"]["largest_px"] > 5.0
    assert facts["distortion"]["residual_px"] < 0.3
    assert facts["images"][0]["good"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "no image given"),
        (["FILE", "--phantom", "nowhere.json"], "no such file, nor one of spiral, small-fiducial"),
        (["FILE", "--frame", "3"], "has 1 frames"),
        (["FILE", "--frame", "-1"], "count from 0"),
        (["FILE", "--grid", "FILE", "--grid-spacing-mm", "-1"], "mm above 0"),
        (["FILE", "--grid", "FILE"], "grid"),
        (["FILE", "--phantom", "BROKEN"], "cannot be read as JSON"),
        (["FILE", "--phantom", "LIST"], "no JSON object"),
        (["FILE", "--phantom", "small-fiducial"], "has 9 beads, a calibration needs 12"),
        (["missing.dcm"], "missing.dcm"),
        (["NO_ANGLES"], "Positioner Primary"),
        (["EMPTY"], "round spots"),
    ],
)
def test_what_cannot_be_is_one_line_and_exit_2(command, spiral_files, tmp_path, words, message):
    (tmp_path / "broken.json").write_text("{")
    (tmp_path / "list.json").write_text("[]")
    flat = np.full((768, 768), 20000, np.uint16)
    places = {
        "FILE": spiral_files[0], "BROKEN": tmp_path / "broken.json", "LIST": tmp_path / "list.json",
        "EMPTY": save(tmp_path / "empty.dcm", flat, TOLD[0]),
        "NO_ANGLES": save(tmp_path / "none.dcm", flat, TOLD[0], drop=("PositionerPrimaryAngle",)),
    }  # fmt: skip
    code, out, error = command("calibrate", *(places.get(word, word) for word in words), "--json")
    assert code == 2
    assert out == ""
    assert error.startswith("error: ")
    assert len(error.strip().splitlines()) == 1
    assert message in error
