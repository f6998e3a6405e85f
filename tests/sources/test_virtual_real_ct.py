"""The virtual C-arm and the image chain on a real CT: AP and lateral are both shown in mid grey."""

import itertools
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from fluoroscope.acquisition import SteppedClock
from fluoroscope.beam.technique import Technique
from fluoroscope.detector import Detector
from fluoroscope.geometry import C_ARMS
from fluoroscope.imagechain import ImageChain
from fluoroscope.patient.library import open_patient
from fluoroscope.patient.scene import Body, Scene
from fluoroscope.sources.virtual import CArmSetup, VirtualCArm


@pytest.mark.data
def test_a_real_spine_is_shown_from_both_sides(
    data_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLUOROSCOPE_HOME", str(tmp_path))
    patient = open_patient(data_folder / "ct" / "lumbar" / "example_ct.nii.gz")
    scene = Scene((Body("patient", patient.basis),))

    class Resting:
        def at(self, time_s: float) -> Scene:
            return scene

    x, y, z = (float(part) for part in patient.reference_mm)
    clock = SteppedClock(datetime(2026, 1, 1, tzinfo=UTC))
    carm = VirtualCArm(
        Resting(), C_ARMS["mobile-flat-panel"], CArmSetup(reference_mm=(x, y, z)), Detector(seed=1), clock,
        matrix_limit=256,
    )  # fmt: skip
    chain = ImageChain()
    middle = np.s_[96:160, 96:160]
    kermas = []
    for orbital_deg in (0.0, 90.0):
        carm.set_joints({"orbital": orbital_deg})
        carm.press(Technique(70.0, 3.0, 8.0, 15.0), f"1.2.{orbital_deg:g}")
        frames = list(itertools.islice(carm.frames(), 12))
        carm.release()
        chain.begin_run(frames[0])
        shown = [chain.process(frame) for frame in frames][-1]
        center, width = chain.window
        where = (np.median(shown.pixels[middle]) - center) / width + 0.5
        assert 0.2 < where < 0.8
        # Bone and soft tissue are apart by far more than the noise of one picture.
        assert np.ptp(np.percentile(shown.pixels[middle], (5.0, 95.0))) > 0.15 * width
        assert frames[-1].kerma is not None
        kermas.append(frames[-1].kerma.air_kerma_mgy)
    # The lateral of a lumbar spine needs several times the dose of the AP.
    assert 1.5 < kermas[1] / kermas[0] < 15.0
