"""One coarse modelled patient for all tests of level labelling: built once, about five seconds."""

import pytest

from fluoroscope.evaluation.registration_cases import quick_subject
from fluoroscope.guidance.levels import skeleton_of
from fluoroscope.guidance.registration import vertebra_models


@pytest.fixture(scope="session")
def subject():
    return quick_subject(7, pitch_mm=2.5, ct_pitch_mm=3.0)


@pytest.fixture(scope="session")
def bones(subject):
    return vertebra_models(subject.ct, subject.labels), skeleton_of(subject.ct, subject.labels)
