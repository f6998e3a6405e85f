"""2D/3D registration: where a vertebra of a CT is in one, two or more X-ray pictures, and how sure that is.

`vertebra_models` cuts the bones out of a labelled CT, `register` finds one of them in pictures, `VertebraTracker`
follows it. The method is written down in docs/explanations/registration.md.
"""

from fluoroscope.guidance.registration.model import VertebraModel, vertebra_models
from fluoroscope.guidance.registration.registering import register
from fluoroscope.guidance.registration.rendering import render
from fluoroscope.guidance.registration.result import Click, Registration, Start
from fluoroscope.guidance.registration.tracking import VertebraTracker

__all__ = [
    "Click",
    "Registration",
    "Start",
    "VertebraModel",
    "VertebraTracker",
    "register",
    "render",
    "vertebra_models",
]
