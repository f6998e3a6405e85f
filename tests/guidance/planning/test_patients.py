"""Plans on a modelled patient and on a real CT, walked by the needle's own mechanics and tissue."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fluoroscope.guidance.planning import plan
from fluoroscope.patient.anatomy.parameters import PatientParameters
from fluoroscope.patient.instruments.catalogue import instrument
from fluoroscope.patient.instruments.needle import Needle
from fluoroscope.patient.instruments.tissue_probe import TissueProbe
from fluoroscope.patient.labels import LabelMap
from fluoroscope.patient.library import model_patient, open_patient

# One procedure for each way of finding a target; all of them at all levels: docs/explanations/procedures.md.
LEVEL = {
    "lumbar-puncture": "L3-L4", "interlaminar-epidural": "L4-L5", "caudal": "sacrum",
    "transforaminal-subpedicular": "L4-L5", "transforaminal-kambin": "L3-L4", "discography": "L3-L4",
    "sympathetic-block": "L3", "facet-joint": "L4-L5", "medial-branch": "L3", "sacroiliac": "sacrum",
    "vertebroplasty": "L3",
}  # fmt: skip
ENDS_IN = {
    "lumbar-puncture": {"CSF"}, "interlaminar-epidural": {"epidural space", "ligament"}, "discography": {"disc"},
    "vertebroplasty": {"bone"},
}  # fmt: skip


@pytest.fixture(scope="module")
def modelled():
    """A modelled patient of a seed that nothing was tuned on, 1.5 mm voxels."""
    return model_patient(PatientParameters(seed=520, sex="male", age_years=52.0, bmi=26.0), pitch_mm=1.5, keep=False)


@pytest.fixture(scope="module")
def scanned(data_folder):
    """The real lumbar CT, the names of its labels left out: numbers alone are understood."""
    folder = Path(data_folder) / "ct" / "lumbar"
    found = open_patient(folder / "example_ct.nii.gz", labels=folder / "example_seg_fast_force_split.nii.gz")
    bare = LabelMap(found.labels.values, {number: f"label_{number}" for number in found.labels.names})
    return replace(found, labels=bare)


def walked(patient, one):
    """Push a straight needle along a plan; return what stopped it, its state, and what lay along the way."""
    probe = TissueProbe(patient.volume, patient.labels, patient.articulation)
    kind = replace(instrument(one.needle.name), deflection_mm=0.0, bend_deg=0.0)
    needle = Needle(kind, probe)
    needle.place(one.entry_mm, np.subtract(one.target_mm, one.entry_mm))
    stopped = needle.advance(one.depth_mm).stopped_by
    if kind.has_stylet:
        needle.set_stylet(False)
    way = [probe.at_rest(one.at(depth)) for depth in np.arange(0.0, one.depth_mm, 0.5)]
    return stopped, needle.state(), way


@pytest.mark.req("REQ-GUI-039")
@pytest.mark.parametrize("procedure", sorted(LEVEL))
def test_a_modelled_patients_plan_reaches_its_target(modelled, procedure):
    one = plan(modelled, procedure, LEVEL[procedure], limit=1)[0]
    stopped, state, way = walked(modelled, one)
    assert stopped == ""
    assert np.linalg.norm(np.subtract(state.tip_mm, one.target_mm)) < 2.0
    bones = {tissue.structure for tissue in way if tissue.tissue == "bone"}
    assert bones == ({f"vertebrae_{one.level}"} if procedure.startswith("verteb") else set())
    assert not {"cord", "bowel", "lung", "organ"} & {tissue.tissue for tissue in way}
    assert state.tissue in ENDS_IN.get(procedure, {state.tissue})
    punctured = "dural puncture" in [event.what for event in state.events]
    assert punctured == (procedure == "lumbar-puncture")


@pytest.mark.req("REQ-GUI-039")
def test_the_medial_branch_is_met_one_vertebra_below_its_name(modelled):
    for one in plan(modelled, "medial-branch", "L3", limit=2):
        assert one.bone == "L4"
        assert "goes to L4, not to L3" in one.warnings[0]
        pedicle = modelled.articulation.landmarks[f"L4/pedicle_{one.side}"].position_mm
        assert np.linalg.norm(np.subtract(one.target_mm, pedicle)) < 22.0
        assert abs(one.target_mm[0]) > abs(pedicle[0]) - 2.0


@pytest.mark.req("REQ-GUI-039")
def test_facet_joints_lie_where_the_model_put_them(modelled):
    for one in plan(modelled, "facet-joint", "L4-L5", limit=2):
        joint = modelled.articulation.landmarks[f"L4/facet_{one.side}"].position_mm
        assert np.linalg.norm(np.subtract(one.target_mm, joint)) < 11.0


@pytest.mark.req("REQ-GUI-039")
def test_a_lumbar_puncture_on_the_real_ct(scanned):
    for one in plan(scanned, "lumbar-puncture", "L3-L4", limit=3):
        _, _, way = walked(scanned, one)
        assert not any(tissue.structure.startswith("label_29") or tissue.hu > 180 for tissue in way)
        assert way[-1].structure == "label_79"
        assert any("nerve roots are not labelled" in words for words in one.warnings)
        assert one.depth_mm > one.dura_depth_mm > 40.0


@pytest.mark.req("REQ-GUI-039")
def test_the_real_cts_sacral_canal_is_not_guessed(scanned):
    with pytest.raises(ValueError, match="sacral canal"):
        plan(scanned, "caudal", "sacrum")


@pytest.mark.req("REQ-GUI-035")
def test_a_ct_without_labels_is_told(scanned):
    bare = replace(scanned, labels=None, articulation=None)
    with pytest.raises(ValueError, match="give the labels of this CT"):
        plan(bare, "lumbar-puncture", "L3-L4")
