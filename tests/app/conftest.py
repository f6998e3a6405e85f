import json
import os
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from fluoroscope import cli
from fluoroscope.app.serving import open_room
from fluoroscope.app.setup import RoomSetup


@pytest.fixture(autouse=True)
def _own_home(tmp_path_factory, monkeypatch):
    """The patient cache is shared by the run, so that "small", a modelled adult of coarse voxels, is built once."""
    home = tmp_path_factory.getbasetemp() / "fluoroscope-home"
    (home / "made").mkdir(parents=True, exist_ok=True)
    (home / "made" / "small.json").write_text(json.dumps({"description": "coarse adult", "seed": 1, "pitch_mm": 3.0}))
    monkeypatch.setenv("FLUOROSCOPE_HOME", str(home))
    monkeypatch.setenv("XDG_CACHE_HOME", str(home / "cache"))
    monkeypatch.delenv("FLUOROSCOPE_DEBUG", raising=False)


@pytest.fixture
def command(monkeypatch, capsys):
    """Run the command line in this process: returns (exit code, stdout, stderr)."""

    def run(*words: str | Path) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["fluoroscope", *map(str, words)])
        code = 0
        try:
            cli.main()
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 0
        said = capsys.readouterr()
        return code, said.out, said.err

    return run


@pytest.fixture(scope="session")
def small_ct(tmp_path_factory) -> Path:
    """A CT file of 48×64×64 voxels: a water cylinder with a bone rod off the centre toward left and head."""
    import nibabel

    z, y, x = np.meshgrid(np.arange(48), np.arange(64), np.arange(64), indexing="ij")
    hu = np.full((48, 64, 64), -1000, dtype=np.int16)
    hu[(y - 31.5) ** 2 + (x - 31.5) ** 2 < 24**2] = 20
    hu[((y - 40) ** 2 + (x - 44) ** 2 < 4**2) & (z > 24)] = 900
    # Stored as (x, y, z) with a RAS affine: x and y are turned from LPS.
    affine = np.diag([-4.0, -4.0, 4.0, 1.0])
    affine[:3, 3] = [126.0, 126.0, -94.0]
    path = tmp_path_factory.mktemp("ct") / "small.nii.gz"
    nibabel.save(nibabel.Nifti1Image(hu.transpose(2, 1, 0), affine), path)
    return path


@pytest.fixture(scope="session")
def wait_for():
    """Wait until a condition holds: returns whether it did in time."""

    def wait(condition, seconds=60.0) -> bool:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            if condition():
                return True
            time.sleep(0.005)
        return False

    return wait


@pytest.fixture
def exams(tmp_path) -> Path:
    return tmp_path / "exams"


def screened(room) -> None:
    """Answer the question before the first exposure, where it is asked."""
    control = room.status()["dose"]["control"]
    if control is not None and control["screening"]["blocks"]:
        room.command("screening_answer", {"answer": "no", "by": "Test"})


@pytest.fixture
def room(small_ct, exams):
    """The real room, the small CT on its table."""
    opened = open_room(RoomSetup(str(small_ct), matrix=512), exams, seed=3)
    yield opened
    opened.close()


@pytest.fixture(scope="session")
def expose(wait_for):
    """Hold the pedal of a room for some pulses, and wait until the last image is held."""

    def press(room, pulses=3, **args) -> None:
        screened(room)
        before = room.status()["pulses"]["delivered"]
        room.command("pedal", {"down": True, **args})
        assert wait_for(lambda: room.status()["pulses"]["delivered"] >= before + pulses)
        room.command("pedal", {"down": False})
        assert wait_for(lambda: room.status()["state"] == "HOLD")

    return press


def leftovers(folder: Path) -> list[str]:
    return sorted(os.listdir(folder))
