"""Make the picture of a planned lumbar puncture.

    python docs/pictures/make_plan.py

The same as ``fluoroscope plan anna --procedure lumbar-puncture --level L3-L4 --picture …``.
"""

from pathlib import Path

from fluoroscope.app.guidance.planning import PlanRequest, plan_patient

HERE = Path(__file__).parent


def main() -> None:
    facts = plan_patient(PlanRequest("anna", "lumbar-puncture", "L3-L4", picture=HERE / "plan-lumbar-puncture.png"))
    print(facts["trajectories"][0])


if __name__ == "__main__":
    main()
