"""Make the picture of a patient's own skin, prone, from a case in the real room.

    python docs/pictures/make_skin.py

Three presses, AP, lateral and oblique, tube under the table; the report the room writes is mapped as
``fluoroscope dose map dose.dcm --phantom anna`` does it.
"""

import tempfile
import time
from pathlib import Path

from fluoroscope.app.dose.map import Body, map_dose, write_map_png
from fluoroscope.app.serving import open_room
from fluoroscope.app.setup import RoomSetup

HERE = Path(__file__).parent
PATIENT = "anna"


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        room = open_room(RoomSetup(PATIENT, matrix=512), Path(folder), seed=7)
        exam = Path(room.status()["exam"]["folder"])
        room.command("screening_answer", {"answer": "no", "by": "the maker of this picture"})
        for view, seconds, edge_mm in (("ap", 4.0, 70.0), ("lateral", 3.0, 60.0), ("oblique", 4.0, 60.0)):
            room.command("view", {"name": view})
            room.command("set_collimation", {f"{side}_mm": edge_mm for side in ("left", "right", "upper", "lower")})
            room.command("pedal", {"down": True})
            time.sleep(seconds)
            room.command("pedal", {"down": False})
            while room.status()["state"] == "EXPOSING" or room.status()["x_ray_on"]:
                time.sleep(0.05)
            time.sleep(0.5)
        print(room.status()["dose"].get("skin"))
        room.close()
        report = map_dose(exam / "dose.dcm", Body(PATIENT))
        write_map_png(report, HERE / "skin-own.png")
        print(report.found.peak_mgy, report.place, report.found.share_of_kap_on_patient, report.warnings)


if __name__ == "__main__":
    main()
