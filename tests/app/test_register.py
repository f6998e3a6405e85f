"""``fluoroscope register``: found on files it wrote itself, refused in one line, no outline of what failed."""

import json

import numpy as np
import pytest
from PIL import Image


@pytest.fixture(scope="module")
def shots(tmp_path_factory, request):
    """Two runs of a coarse modelled adult, front and side, as files."""
    return tmp_path_factory.mktemp("shots")


def shoot(command, folder, primary_deg):
    out = folder / f"p{primary_deg}"
    if not out.exists():
        code, _, err = command(
            "simulate", "small", "--out", out, "--matrix", "512", "--primary-deg", primary_deg, "--seconds", "0.3",
            "--no-breathing", "--json",
        )  # fmt: skip
        assert code == 0, err
    return out / "cine.dcm"


@pytest.mark.req("REQ-GUI-009")
def test_a_vertebra_of_our_own_files_is_found(command, shots):
    front, side = shoot(command, shots, 0), shoot(command, shots, 90)
    picture = shots / "overlay.png"
    code, out, err = command(
        "register", "--ct", "small", "--image", front, "--image", side, "--level", "L3", "--json", "--overlay", picture
    )
    assert code == 0, err
    facts = json.loads(out)
    assert {"level", "equipment_from_ct", "sigma_in_plane_mm", "sigma_depth_mm", "success", "reason", "time_s"} <= set(
        facts
    )
    assert facts["success"], facts["reason"]
    # The room puts the patient's reference, the origin of a modelled adult, at the isocentre; he lies prone.
    place = np.array(facts["equipment_from_ct"])
    assert np.abs(place[:3, 3]).max() < 3.0
    assert np.abs(place[:3, :3] - np.diag([-1.0, -1.0, 1.0])).max() < 0.05
    image = np.asarray(Image.open(picture)).astype(int)
    assert (image[..., 1] - image[..., 0] > 60).sum() > 200  # the green outline


@pytest.mark.req("REQ-GUI-009")
def test_a_failed_registration_has_no_outline(command, shots):
    front = shoot(command, shots, 0)
    picture = shots / "failed.png"
    words = ("--ct", "small", "--image", front, "--level", "T12", "--start", "near", "--json", "--overlay", picture)
    code, out, _ = command("register", *words)
    facts = json.loads(out)
    assert code == 0
    assert not facts["success"]
    assert facts["reason"]
    image = np.asarray(Image.open(picture)).astype(int)
    assert (image[..., 1] - image[..., 0] > 60).sum() == 0


@pytest.mark.req("REQ-GUI-009")
@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--level", "Q7"), "no such level"),
        (("--level", "C3"), "not labelled"),
        (("--level", "L3", "--frame", "999"), "no frame 999"),
        (("--level", "L3", "--start", "close"), "choose near"),
        (("--level", "L3", "--click", "here"), "ROW,COLUMN"),
        (("--level", "L3", "--click", "9000,3"), "outside the picture"),
        (("--level", "L3", "--overlay", "no/such/folder/o.png"), "does not exist"),
    ],
)
def test_what_cannot_be_asked_is_refused_in_one_line(command, shots, words, said):
    front = shoot(command, shots, 0)
    code, out, err = command("register", "--ct", "small", "--image", front, *words, "--json")
    assert code == 2
    assert out == ""
    assert err.startswith("error: ")
    assert said in err
    assert len(err.strip().splitlines()) == 1


@pytest.mark.req("REQ-GUI-009")
def test_a_file_that_is_no_xray_is_refused(command, tmp_path):
    (tmp_path / "a.dcm").write_text("nothing")
    code, _, err = command("register", "--ct", "small", "--image", tmp_path / "a.dcm", "--level", "L3", "--json")
    assert code == 2
    assert err.startswith("error: ")
