"""Make the pictures of level labelling and registration.

    python docs/pictures/make_registration.py

A modelled patient X-rayed from the front and the side, his spine bent, the names found from nothing, L3 registered.
"""

import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

from fluoroscope.app.guidance.levels import NamedLevels, write_names
from fluoroscope.app.guidance.register_overlay import write_overlay
from fluoroscope.evaluation.registration_cases import NEAR_START, Exposure, modelled_subject, pictured, start_from
from fluoroscope.geometry.pose import CArmPose
from fluoroscope.guidance.levels import label_levels, skeleton_of
from fluoroscope.guidance.registration import register, vertebra_models

HERE = Path(__file__).parent
POSES = (CArmPose(0.0, -8.0, 510.0, 1020.0), CArmPose(88.0, 0.0, 510.0, 1020.0))
HEIGHT_PX = 520


def smaller(path: Path, name: str) -> None:
    with Image.open(path) as picture:
        width = round(picture.width * HEIGHT_PX / picture.height)
        small = picture.resize((width, HEIGHT_PX), Image.Resampling.LANCZOS)
        small.quantize(192).save(HERE / name, optimize=True)


def main() -> None:
    rng = np.random.default_rng(6)
    subject = modelled_subject(500)
    models = vertebra_models(subject.ct, subject.labels)
    exposure = Exposure(75.0, 1.0, 0.5, noise=6)
    seen = pictured(subject, "L3", POSES, rng, exposure=exposure, bend=0.5, offset_mm=8.0)
    skeleton = skeleton_of(subject.ct, subject.labels)
    found = label_levels(models, seen.views, position=seen.position, skeleton=skeleton)
    print(f"levels: {found.success} {found.reason}, confidence {found.confidence:.2f}: {', '.join(found.levels)}")
    start = start_from(seen.truth["L3"], models["L3"].center_mm, NEAR_START, rng)
    placed = register(models, seen.views, start, level="L3")
    print(f"L3: {placed.success} {placed.reason}, ± {placed.sigma_in_plane_mm:.2f} mm, {placed.time_s:.1f} s")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "one.png"
        write_names(path, NamedLevels({}, found, seen.views))
        smaller(path, "levels.png")
        write_overlay(path, seen.views, {"L3": models["L3"]}, placed)
        smaller(path, "registration.png")


if __name__ == "__main__":
    main()
