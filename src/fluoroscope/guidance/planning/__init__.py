"""Planning: where a needle enters, where it ends, how it is seen on the way. Not a medical device.

`plan` searches the skin of the back for ways to a procedure's target that touch no bone and nothing that must not be
hurt, and scores them (guidance.md §5.4). Places are patient LPS, mm, where the patient rests; views are DICOM
positioner angles, patient-based.
"""

from fluoroscope.guidance.planning.depth import BodyBuild
from fluoroscope.guidance.planning.planner import plan
from fluoroscope.guidance.planning.procedures import PROCEDURES, ProcedurePlan
from fluoroscope.guidance.planning.trajectory import Trajectory, Weights, plan_facts

__all__ = ["PROCEDURES", "BodyBuild", "ProcedurePlan", "Trajectory", "Weights", "plan", "plan_facts"]
