"""What a start must not load: structure, not time. Each asks a new process what it has loaded."""

import json
import subprocess
import sys

import pytest

HEAVY = ("numpy", "numba", "scipy", "pydicom", "sqlalchemy", "alembic", "starlette", "uvicorn", "PIL", "skimage")
"""Of these the command line's words need none."""
LATER = (
    "scipy.special",
    "scipy.interpolate",
    "scipy.ndimage",
    "pydicom",
    "sqlalchemy",
    "alembic",
    "skimage",
    "nibabel",
)
"""Of these the first picture needs none."""


def loaded(code: str, modules: tuple[str, ...]) -> set[str]:
    """Return which of ``modules`` a new process has loaded after ``code``, which may exit."""
    asked = (
        f"import atexit, json, sys\n"
        f"atexit.register(lambda: print(json.dumps([m for m in {modules!r} if m in sys.modules]), file=sys.stderr))\n"
        f"{code}"
    )
    done = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stderr.splitlines()[-1]))


@pytest.mark.req("REQ-START-001")
@pytest.mark.parametrize(
    "words", ["--help", "run --help", "simulate --help", "dose --help", "dose read --help", "exams --help", "--version"]
)
def test_help_loads_nothing_heavy(words: str) -> None:
    code = f"import sys; sys.argv = ['fluoroscope', *{words.split()!r}]\nfrom fluoroscope.cli import main; main()"
    assert loaded(code, HEAVY) == set()
    assert loaded("import numpy", HEAVY) == {"numpy"}, "the question must be able to find something"


@pytest.mark.req("REQ-START-002")
def test_the_code_of_the_room_loads_neither_database_nor_dicom() -> None:
    assert loaded("import fluoroscope.app.serving", LATER) == set()
