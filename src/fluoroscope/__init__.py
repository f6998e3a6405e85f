"""Fluoroscope: a fluoroscopy system for spine procedures, in software.

Not a medical device; not for diagnosis or treatment.
"""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("fluoroscope")
except PackageNotFoundError:  # a source tree that was never installed
    __version__ = "0.0.0+uninstalled"

NOT_A_MEDICAL_DEVICE = "Not a medical device; not for diagnosis or treatment."

__all__ = ["NOT_A_MEDICAL_DEVICE", "__version__"]
