"""The flat-panel detector of the virtual C-arm: thickness maps and a technique in, LIN pixels out.

Takes float32 (2, rows, columns) mm of water and cortical bone; gives uint16 (rows, columns) proportional to
detected energy. Simulated frames only: a real detector's frames come in through `sources`.
"""

from fluoroscope.detector.expose import Detector, measuring_field
from fluoroscope.detector.model import DetectorModel

__all__ = ["Detector", "DetectorModel", "measuring_field"]
