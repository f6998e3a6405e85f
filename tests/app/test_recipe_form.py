"""The form in which a patient is ordered offers exactly what can be made."""

import json

import pytest

from fluoroscope.app.recipe_form import FIELDS, form_asset, read_recipe
from fluoroscope.monitor.control import RefusedError
from fluoroscope.patient.anatomy.parameters import PATHOLOGIES, PatientParameters


@pytest.mark.parametrize(("name", "low", "high", "step"), [(f[0], f[3], f[4], f[5]) for f in FIELDS])
def test_the_ranges_of_the_form_are_those_of_the_patient(name, low, high, step):
    whole = name == "lumbar_vertebrae"
    for value in (low, high):
        # Six lumbar vertebrae are six with every apex; the apex is not in the form.
        parameters = read_recipe({name: int(value) if whole else value})
        assert getattr(parameters, name) == value
    for value in (low - step, high + step):
        with pytest.raises(RefusedError) as refusal:
            read_recipe({name: int(value) if whole else value})
        assert refusal.value.field == name


def test_the_defaults_of_the_form_are_those_of_the_patient():
    offered = {field["name"]: field["default"] for field in json.loads(form_asset().content)["fields"]}
    made = PatientParameters()
    assert offered == {name: getattr(made, name) for name in offered}


def test_every_abnormality_is_offered_with_its_range_and_can_be_ordered():
    offered = json.loads(form_asset().content)["pathologies"]
    assert [one["kind"] for one in offered] == list(PATHOLOGIES)
    for one in offered:
        level = "L3" if one["needs_level"] else ""
        for amount in (one["min"], one["max"]):
            (found,) = read_recipe(
                {"pathologies": [{"kind": one["kind"], "level": level, "amount": amount}]}
            ).pathologies
            assert found.amount == amount
        (usual,) = read_recipe({"pathologies": [{"kind": one["kind"], "level": level}]}).pathologies
        assert usual.amount == one["default"]
        with pytest.raises(RefusedError) as refusal:
            read_recipe({"pathologies": [{"kind": one["kind"], "level": level, "amount": one["max"] + 1.0}]})
        assert refusal.value.field == "pathology"


def test_a_level_that_is_none_and_a_kind_that_is_none_are_refused():
    for one in ({"kind": "listhesis", "level": "C2"}, {"kind": "sneeze", "level": "L3"}):
        with pytest.raises(RefusedError) as refusal:
            read_recipe({"pathologies": [one]})
        assert refusal.value.field == "pathology"
