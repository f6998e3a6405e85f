"""A modelled patient as built: same seed same bytes, parts that add up, tissues in range, depth by formula."""

import hashlib
import os
import platform
import subprocess
import sys

import numpy as np
import pytest

from fluoroscope.evaluation.xray_likeness import bands, depth_error_mm, hu_means, parts_error
from fluoroscope.patient.anatomy.build import build_patient
from fluoroscope.patient.anatomy.built import BuiltPatient
from fluoroscope.patient.anatomy.hounsfield import tissue_numbers
from fluoroscope.patient.anatomy.parameters import PatientParameters

COARSE_MM = 2.0


@pytest.fixture(scope="module")
def built() -> BuiltPatient:
    return build_patient(PatientParameters(seed=5, bmi=27.0), pitch_mm=COARSE_MM)


def _digest(patient: BuiltPatient) -> str:
    digest = hashlib.sha256()
    digest.update(np.ascontiguousarray(patient.volume.values).tobytes())
    digest.update(np.ascontiguousarray(patient.labels.values).tobytes())
    for part in patient.articulation.parts:
        digest.update(part.volume.water.tobytes())
        digest.update(part.volume.bone.tobytes())
    return digest.hexdigest()


def test_the_same_seed_gives_the_same_bytes(built: BuiltPatient) -> None:
    again = build_patient(PatientParameters(seed=5, bmi=27.0), pitch_mm=COARSE_MM)
    assert _digest(again) == _digest(built)


@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="other processors have other BLAS kernels")
def test_another_processors_arithmetic_gives_the_same_bytes() -> None:
    """OpenBLAS adds in the order of the processor it is told to be; NumPy leaves its widest vectors out."""
    code = (
        "import hashlib, json, sys; from fluoroscope.patient.anatomy.build import build_patient;"
        "from fluoroscope.patient.anatomy.parameters import PatientParameters;"
        "built = build_patient(PatientParameters(seed=7, sex='male', scoliosis_cobb_deg=20.0), pitch_mm=3.0);"
        "a = built.articulation; h = hashlib.sha256(built.volume.values.tobytes() + built.labels.values.tobytes());"
        "[h.update(x.tobytes()) for p in a.parts for v in [p.volume] for x in (v.water, v.bone, v.world_from_index)];"
        "[h.update(j.world_from_disc.tobytes()) for j in a.joints];"
        "h.update(repr([(n, m.position_mm) for n, m in a.landmarks.items()]).encode());"
        "h.update(json.dumps(built.facts).encode()); print(h.hexdigest())"
    )
    found = set()
    for core, left_out in (("Haswell", "AVX512F AVX512_SKX"), ("Nehalem", "AVX512F AVX512_SKX AVX2 FMA3")):
        environment = {**os.environ, "OPENBLAS_CORETYPE": core, "NPY_DISABLE_CPU_FEATURES": left_out}
        command = [sys.executable, "-W", "ignore", "-c", code]
        found.add(subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout)
    assert len(found) == 1


def test_another_seed_gives_another_patient(built: BuiltPatient) -> None:
    other = build_patient(PatientParameters(seed=6, bmi=27.0), pitch_mm=COARSE_MM)
    assert _digest(other) != _digest(built)


def test_parts_add_up_to_the_volume(built: BuiltPatient) -> None:
    assert parts_error(built) <= 1.0


def test_traction_draws_no_bands_across_the_trunk(built: BuiltPatient) -> None:
    assert 0.0 < bands(built) <= 0.01


def test_base_comes_first_and_every_vertebra_is_a_part(built: BuiltPatient) -> None:
    names = [part.name for part in built.articulation.parts]
    assert names[0] == "base"
    assert {"vertebrae_L1", "vertebrae_L5", "soft_L3", "colon", "liver", "disc_L3_L4"} <= set(names)


def test_ct_numbers_lie_in_their_ranges(built: BuiltPatient) -> None:
    numbers = tissue_numbers()
    measured = hu_means(built)
    assert {"liver", "iliopsoas_left", "subcutaneous_fat", "bowel_gas", "disc_L3_L4"} <= set(measured)
    for name, (mean, tissue) in measured.items():
        assert numbers[tissue].low_hu <= mean <= numbers[tissue].high_hu, name


@pytest.mark.parametrize("seed", [2, 5])
def test_pelvis_and_chest_lie_level(built: BuiltPatient, seed: int) -> None:
    patient = built if seed == 5 else build_patient(PatientParameters(seed=seed, sex="male"), pitch_mm=3.0)
    frames = patient.skeleton.frames
    along = frames["vertebrae_T11"][:3, 3] - frames["sacrum"][:3, 3]
    assert abs(along[1]) < 0.5
    assert float(str(patient.facts["pelvic_tilt_deg"])) + float(
        str(patient.facts["sacral_slope_deg"])
    ) == pytest.approx(float(str(patient.facts["pelvic_incidence_deg"])), abs=0.1)


def test_a_fetus_shows_its_skull() -> None:
    patient = build_patient(PatientParameters(seed=13, age_years=31.0, pregnancy_weeks=24.0), pitch_mm=2.0)
    assert {"uterus", "amniotic_fluid", "fetus", "fetal_bone"} <= set(patient.labels.names.values())


@pytest.mark.parametrize("bmi", [19.0, 38.0])
def test_skin_to_canal_follows_the_formula(bmi: float) -> None:
    assert depth_error_mm(build_patient(PatientParameters(seed=4, bmi=bmi), pitch_mm=COARSE_MM)) <= 3.0


@pytest.mark.parametrize("pitch_mm", [0.5, 4.0])
def test_pitch_out_of_range_is_refused(pitch_mm: float) -> None:
    with pytest.raises(ValueError, match=r"0\.8 to 3 mm"):
        build_patient(PatientParameters(), pitch_mm=pitch_mm)


@pytest.mark.parametrize("who", [PatientParameters(seed=5, bmi=27.0), PatientParameters(seed=14, age_years=9.0)])
def test_a_midline_puncture_goes_through_the_layers_in_their_order(who: PatientParameters) -> None:
    patient = build_patient(who, pitch_mm=1.0)
    marks = patient.articulation.landmarks
    tips = [np.array(marks[f"{level}/spinous_tip"].position_mm) for level in ("L4", "L5")]
    disc = next(joint for joint in patient.articulation.joints if joint.name == "L4_L5").world_from_disc[:3, 3]
    canal = [np.array(marks[f"{level}/canal_center"].position_mm) for level in ("L4", "L5")]
    inside = canal[0] + (disc[2] - canal[0][2]) / (canal[1][2] - canal[0][2]) * (canal[1] - canal[0])
    # Just above the lower process, inclined to the head.
    start = 0.4 * tips[0] + 0.6 * tips[1] - inside
    way = inside + np.arange(2.5, 0.0, -0.002)[:, np.newaxis] * start
    index = np.linalg.inv(patient.volume.world_from_index)
    i, j, k = np.rint(way @ index[:3, :3].T + index[:3, 3]).astype(int).T
    there = np.array([i, j, k])
    there = there[:, np.all((there >= 0) & (there < np.array(patient.labels.values.shape)[:, None]), axis=0)]
    met = patient.labels.values[tuple(there)]
    # In the order they are first met: an oblique line may graze the steps of voxels twice.
    seen = [patient.labels.names[number] for number in dict.fromkeys(met[met > 0].tolist())]
    wanted = ["skin", "subcutaneous_fat", "thoracolumbar_fascia", "supraspinous_ligament", "interspinous_ligament",
              "ligamentum_flavum", "epidural_space", "cerebrospinal_fluid"]  # fmt: skip
    assert seen[: len(wanted)] == wanted
