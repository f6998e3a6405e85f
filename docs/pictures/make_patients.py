"""Make the pictures of the modelled patients: AP, lateral and oblique of each, and their likeness to two real CTs.

    python docs/pictures/make_patients.py                      all
    python docs/pictures/make_patients.py --only anna bernd    some
    python docs/pictures/make_patients.py --likeness           only the plot

X-ray is that of ``fluoroscope simulate``: detector noise, image chain and banner as a user gets them. The plot needs
the two CTs (``fluoroscope patients fetch lumbar``, ``… thoracolumbar``, or FLUOROSCOPE_TEST_DATA).
"""

import argparse
import json
import shutil
import tempfile
from pathlib import Path

import matplotlib as mpl
import numpy as np
from make_room import SIDE_PX, save_small
from PIL import Image

from fluoroscope.app.setup import RoomSetup
from fluoroscope.app.simulation import Run, simulate_run
from fluoroscope.dicom.xa import read_clip
from fluoroscope.evaluation.xray_likeness import VIEWS, real_statistics, statistics, thickness
from fluoroscope.patient.library import open_patient
from fluoroscope.records.png import write_png

mpl.use("Agg")
from matplotlib import pyplot as plt

HERE = Path(__file__).parent / "patients"
PATIENTS = ("anna", "bernd", "carlos", "dora", "elena", "frank", "greta", "hugo", "ivan", "julia", "karim", "lena",
            "maria", "nils")  # fmt: skip
PLOTTED = ("anna", "carlos", "dora", "frank")
ANGLES = (("ap", 0.0), ("lateral", -90.0), ("oblique", 28.0))
# The table is moved where what there is to see lies lower: the fetus.
LONGITUDINAL_MM = {"maria": 75.0}
HELD_FRAMES, SECONDS = 4, 0.8
SHEET_BYTES = 240_000


def take(patient: str, scratch: Path) -> None:
    """Simulate each view, keep its last pictures averaged as the hold does, and lay the three side by side."""
    views = []
    for view, primary_deg in ANGLES:
        out = scratch / f"{patient}-{view}"
        scenario = scratch / "scenario.yaml"
        step = {"at_s": 0, "longitudinal_mm": LONGITUDINAL_MM.get(patient, 0.0)}
        scenario.write_text(json.dumps({"seconds": SECONDS, "steps": [step]}))
        simulate_run(RoomSetup(patient), Run(primary_deg, scenario=scenario, seed=1, breathing=False), out)
        with read_clip(out / "cine.dcm") as clip:
            frames = [clip.frame(i) for i in range(clip.frame_count - HELD_FRAMES, clip.frame_count)]
            center, width = clip.window_center, clip.window_width
            right = "" if clip.patient_orientation is None else clip.patient_orientation[0][0]
        left = right.translate(str.maketrans("LRAP", "RLPA"))
        held = np.rint(np.mean(frames, axis=0))
        small = held.reshape(SIDE_PX, held.shape[0] // SIDE_PX, SIDE_PX, held.shape[1] // SIDE_PX).mean(axis=(1, 3))
        write_png(scratch / "small.png", np.rint(small).astype(np.uint16), center, width, markers=(left, right))
        views.append(np.array(Image.open(scratch / "small.png").convert("L")))
        shutil.rmtree(out)
    save_small(Image.fromarray(np.hstack(views)), HERE / f"{patient}.png", SHEET_BYTES)


def plot_likeness(names: tuple[str, ...]) -> None:
    """Draw histogram and power spectrum of modelled (colour) and real (black) patients."""
    figure, axes = plt.subplots(2, 2, figsize=(9.0, 6.5), layout="constrained")
    modelled = {name: open_patient(name).basis for name in names}
    for row, (view, angle) in zip(axes, VIEWS, strict=True):
        shown = {name: statistics(thickness(basis, np.zeros(3), angle)) for name, basis in modelled.items()}
        for name, one in shown.items():
            row[0].plot(one.edges[:-1], one.histogram, lw=1, label=f"{name}, modelled")
            row[1].loglog(one.frequency_per_mm, one.power, lw=1)
        for style, (name, views) in zip(("-", "--"), real_statistics().items(), strict=False):
            row[0].plot(views[view].edges[:-1], views[view].histogram, "k", ls=style, label=f"{name}, real CT")
            row[1].loglog(views[view].frequency_per_mm, views[view].power, "k", ls=style)
        row[0].set(title=f"{view}: -log transmission at 60 keV, from its median", ylabel="share of pixels")
        row[1].set(title=f"{view}: radial power spectrum", xlabel="1/mm at the isocentre", ylabel="mm²")
        row[1].axvline(0.167, color="0.7", lw=0.8)
    axes[0, 0].legend(fontsize=7)
    figure.savefig(HERE / "likeness.png", dpi=80)


def main() -> None:
    """Run as a script."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="*", help="names of patients")
    parser.add_argument("--likeness", action="store_true", help="only the plot")
    arguments = parser.parse_args()
    HERE.mkdir(exist_ok=True)
    if not arguments.likeness:
        with tempfile.TemporaryDirectory() as scratch:
            for patient in PATIENTS if arguments.only is None else arguments.only:
                take(patient, Path(scratch))
    if arguments.likeness or arguments.only is None:
        plot_likeness(PLOTTED)


if __name__ == "__main__":
    main()
