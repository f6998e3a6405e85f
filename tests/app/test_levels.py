"""`fluoroscope levels`: names on an XA file with standard tags, the wrong level told, bad input in one line."""

import json

import numpy as np
import pytest
from PIL import Image


@pytest.fixture(scope="module")
def cine(tmp_path_factory):
    """Return a lumbar XA run of the coarse adult whom all tests of this folder share."""
    return tmp_path_factory.mktemp("levels") / "run" / "cine.dcm"


@pytest.fixture
def taken(cine, command):
    """Return the run, made when first asked for."""
    if not cine.exists():
        code, _, err = command(
            "simulate", "small", "--matrix", 512, "--seconds", 0.2, "--primary-deg", 8, "--out", cine.parent
        )
        assert code == 0, err
    return cine


@pytest.mark.req("REQ-GUI-010")
@pytest.mark.req("REQ-GUI-012")
def test_levels_of_a_simulated_run_are_those_of_its_truth(command, taken, tmp_path):
    truth = json.loads((taken.parent / "truth.json").read_text())["frames"][0]["landmarks_px"]
    on_l4 = truth["L4/body_center"]
    words = ("levels", "--ct", "small", "--image", taken, "--expect", "L3", "--at", f"{on_l4[0]},{on_l4[1]}")
    code, out, err = command(*words, "--overlay", tmp_path / "names.png", "--json")
    assert code == 0, err
    facts = json.loads(out)
    assert facts["success"], facts["reason"]
    assert {"L2", "L3", "L4"} <= set(facts["levels"])
    for name in ("L2", "L3", "L4"):
        (shown,) = facts["levels"][name]
        assert np.linalg.norm(np.subtract(shown["center_px"], truth[f"{name}/body_center"])) < 25.0
    assert facts["level_at"] == "L4"
    assert "lies on L4, not on L3" in facts["wrong_level"]
    with Image.open(tmp_path / "names.png") as picture:
        assert picture.size == (768, 768)


@pytest.mark.req("REQ-GUI-011")
def test_another_position_of_the_patient_is_not_guessed_away(command, taken):
    import pydicom

    turned = taken.with_name("turned.dcm")
    dataset = pydicom.dcmread(taken)
    # Head and feet changed: the anatomy is upside down for what the file says.
    dataset.PatientPosition = "FFP"
    dataset.save_as(turned)
    code, out, _ = command("levels", "--ct", "small", "--image", turned, "--expect", "L3", "--at", "256,256", "--json")
    assert code == 0
    facts = json.loads(out)
    if not facts["success"]:
        assert facts["levels"] == {}
        assert facts["reason"]
        assert "could not be checked" in facts["wrong_level"]
    else:
        assert facts["confidence"] < 0.5


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--expect", "L9", "--at", "1,2"), "no such level"),
        (("--expect", "L3"), "say where with --at"),
        (("--at", "here"), "give ROW,COLUMN"),
        (("--at", "9999,3"), "outside the image"),
        (("--frame", "99"), "no frame 99"),
        (("--overlay", "nowhere/at/all.png"), "its folder does not exist"),
    ],
)
def test_what_cannot_be_asked_is_told_in_one_line(command, taken, words, told):
    code, out, err = command("levels", "--ct", "small", "--image", taken, *words)
    assert code == 2
    assert out == ""
    assert err.startswith("error: ")
    assert told in err
    assert err.count("\n") == 1


def test_a_ct_without_labels_is_refused(command, taken, small_ct):
    code, _, err = command("levels", "--ct", small_ct, "--image", taken)
    assert code == 2
    assert "no labels" in err
