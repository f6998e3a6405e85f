"""Names counted from both ends: transitional anatomy is warned of, and so is a count that could not be made."""

import numpy as np
import pytest

from fluoroscope.guidance.levels import anatomy_warnings
from fluoroscope.patient.labels import LabelMap


def without(labels, *gone, **renamed):
    """Return a label map with structures taken out, and others called differently."""
    values = labels.values.copy()
    for name in gone:
        values[values == labels.number(name)] = 0
    return LabelMap(values, {number: renamed.get(name, name) for number, name in labels.names.items()})


def test_a_usual_spine_raises_no_warning(subject):
    assert anatomy_warnings(subject.ct, subject.labels) == ()


@pytest.mark.req("REQ-GUI-013")
def test_four_lumbar_vertebrae_are_told(subject):
    values = subject.labels.values.copy()
    values[values == subject.labels.number("vertebrae_L5")] = subject.labels.number("sacrum")
    joined = LabelMap(values, subject.labels.names)
    (warning,) = anatomy_warnings(subject.ct, joined)
    assert warning.startswith("transitional anatomy: L4 lies on the sacrum")


@pytest.mark.req("REQ-GUI-013")
def test_six_lumbar_vertebrae_are_told(subject):
    shifted = {f"vertebrae_L{n}": f"vertebrae_L{n + 1}" for n in range(1, 6)} | {"vertebrae_T12": "vertebrae_L1"}
    six = without(subject.labels, **shifted)
    told = anatomy_warnings(subject.ct, six)
    assert any("six lumbar vertebrae" in one for one in told)
    # Its first lumbar vertebra carries what is a twelfth rib.
    assert any("L1 bears a rib" in one for one in told)


@pytest.mark.req("REQ-GUI-013")
def test_a_missing_pair_of_ribs_is_told(subject):
    told = anatomy_warnings(subject.ct, without(subject.labels, "rib_left_12", "rib_right_12"))
    assert any("the lowest rib is at T11, T12 has none" in one for one in told)


@pytest.mark.req("REQ-GUI-013")
def test_a_ct_without_sacrum_or_ribs_says_that_nobody_counted(subject):
    ribs = [name for name in subject.labels.names.values() if name.startswith("rib")]
    told = anatomy_warnings(subject.ct, without(subject.labels, "sacrum", *ribs))
    assert any("not counted from below" in one for one in told)
    assert any("not counted from above" in one for one in told)


def test_a_gap_in_the_labels_is_told(subject):
    told = anatomy_warnings(subject.ct, without(subject.labels, "vertebrae_L2"))
    assert any(one.startswith("L2 missing between") for one in told)
    assert np.count_nonzero(subject.labels.values == subject.labels.number("vertebrae_L2"))
