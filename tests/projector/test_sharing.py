"""Loops shared among the cores: every part once, and safe from several threads whatever pool numba finds."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fluoroscope
from fluoroscope.patient.threads import spread
from fluoroscope.projector.sharing import argument, carray, cores, pointer_to, shared

# A module of its own for the child: two threads project, lay out and march at once, again and again.
_TWO_THREADS = """
import sys
from concurrent.futures import ThreadPoolExecutor
import numba
import numpy as np
from fluoroscope.geometry.grid import DetectorGrid
from fluoroscope.geometry.pose import CArmPose
from fluoroscope.geometry.projection import projection_geometry
from fluoroscope.patient.volume import Volume
from fluoroscope.projector import prepare, project

affine = np.eye(4)
affine[:3, 3] = -12.0
volume = Volume(np.random.default_rng(1).integers(0, 900, (24, 24, 24)).astype(np.int16), affine)
grid = DetectorGrid(64, 64, 1.0)
poses = [CArmPose(10.0 * n, 5.0, source_to_isocenter_mm=600.0, source_to_detector_mm=1000.0) for n in range(4)]
views = [projection_geometry(pose, grid) for pose in poses]

def pictures(_):
    ready = prepare(volume)
    fast = [project(ready, view) for view in views for _ in range(25)]
    return np.stack([*fast, project(volume, views[0], backend="reference")])

alone = pictures(0)
with ThreadPoolExecutor(2) as pool:
    together = list(pool.map(pictures, range(4)))
assert all(np.array_equal(alone, one) for one in together)
print(numba.threading_layer())
"""


@shared()
def _mark(part, arguments):
    marks = carray(pointer_to(argument(arguments, 0), np.int64), (argument(arguments, 1),))
    marks[part] += part + 1


@settings(deadline=None, max_examples=20)
@given(parts=st.integers(0, 200))
def test_every_part_of_a_shared_loop_runs_once(parts):
    marks = np.zeros(200, np.int64)
    _mark.run(parts, marks, marks.size)
    assert np.array_equal(marks[:parts], np.arange(1, parts + 1))
    assert not marks[parts:].any()


@given(count=st.integers(0, 50))
def test_spread_work_covers_everything_once(count):
    seen = []
    spread(lambda start, stop, out: out.append((start, stop)), count, seen)
    assert len(seen) <= max(1, cores())
    assert sorted(n for start, stop in seen for n in range(start, stop)) == list(range(count))


def test_what_goes_wrong_in_spread_work_is_raised():
    def fail(start, stop):
        raise ValueError(f"{start} to {stop}")

    with pytest.raises(ValueError, match="0 to"):
        spread(fail, 4)


@pytest.mark.parametrize("layer", ["workqueue", "default"])
def test_two_threads_render_at_once_on_any_pool_of_threads(layer):
    child = subprocess.run(
        [sys.executable, "-c", _TWO_THREADS],
        env={**os.environ, "NUMBA_THREADING_LAYER": layer, "NUMBA_NUM_THREADS": "2"},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert child.returncode == 0, child.stderr[-2000:]
    assert layer in ("default", child.stdout.strip())


@pytest.mark.parametrize("room", ["projector", "detector.kernels", "projector.reference", "projector.shapes"])
def test_threads_that_wait_sleep_whichever_room_comes_first(room):
    environment = {name: value for name, value in os.environ.items() if name != "OMP_WAIT_POLICY"}
    code = f"import os, fluoroscope.{room}; print(os.environ['OMP_WAIT_POLICY'])"
    child = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True, timeout=120
    )
    assert child.stdout.strip() == "passive"


def test_numbas_own_pool_is_entered_in_the_projector_only():
    # Elsewhere it would end the process on systems without OpenMP, when two threads meet in it.
    package = Path(fluoroscope.__file__).parent
    found = {str(file.relative_to(package)) for file in package.rglob("*.py") if "parallel=True" in file.read_text()}
    assert found == {str(Path("projector", "sharing.py")), str(Path("projector", "reference.py"))}
