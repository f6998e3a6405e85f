"""``fluoroscope plan``: words are checked before anything is loaded; sources and pictures."""

import json

import pytest
from typer.testing import CliRunner

from fluoroscope.app.guidance.planning import PlanRequest, body_build, procedure_facts
from fluoroscope.cli import app


@pytest.mark.req("REQ-GUI-035")
@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"procedure": ""}, "--procedure: say what is done"),
        ({"procedure": "tooth"}, "no such procedure"),
        ({"level": ""}, "--level: say where"),
        ({"level": "L3"}, "is a bone"),
        ({"side": "up"}, "choose left or right"),
        ({"picture_name": "plan.jpg"}, "end.* in .png"),
        ({"picture_name": "nowhere/plan.png"}, "no such folder"),
    ],
)
def test_bad_words_are_refused_before_loading(tmp_path, asked, words):
    asked = {"procedure": "lumbar-puncture", "level": "L3-L4"} | asked
    name = asked.pop("picture_name", None)
    picture = None if name is None else tmp_path / name
    with pytest.raises(ValueError, match=words):
        PlanRequest("no such patient", picture=picture, **asked)


@pytest.mark.req("REQ-GUI-037")
def test_list_shows_every_procedure_with_its_sources():
    result = CliRunner().invoke(app, ["plan", "--list", "--json"])
    assert result.exit_code == 0
    told = json.loads(result.stdout)
    assert told == procedure_facts()
    names = [one["name"] for one in told["procedures"]]
    assert "lumbar-puncture" in names
    assert all(number["verified"] in (True, False) for one in told["procedures"] for number in one["sources"])


@pytest.mark.req("REQ-GUI-034")
def test_the_build_of_a_scanned_patient_is_told_by_hand():
    assert body_build(None, None, None, None) is None
    told = body_build(25.0, None, 170.0, None)
    assert told.weight_kg == pytest.approx(72.25)
    assert body_build(None, 72.25, 170.0, None).mass_index == pytest.approx(25.0)
    for wrong in ((5.0, None, None, None), (25.0, 70.0, None, None), (None, None, 20.0, None)):
        with pytest.raises(ValueError, match=r"^--"):
            body_build(*wrong)
