"""What the examples and the README print is true."""

import os
import re
import subprocess
import sys
from pathlib import Path

import nibabel
import numpy as np

ROOT = Path(__file__).resolve().parents[2]


def test_two_views_find_the_marker():
    result = subprocess.run(
        [sys.executable, ROOT / "examples" / "two_views.py"], capture_output=True, text=True, check=True, env=os.environ
    )
    error_mm = float(re.search(r"error: ([\d.]+) mm", result.stdout).group(1))
    assert error_mm < 0.1


def test_the_readmes_python_runs(tmp_path, monkeypatch):
    code = re.search(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL).group(1)
    values = np.full((20, 24, 28), -1000, dtype=np.int16)
    values[6:14, 8:16, 9:19] = 300
    nibabel.save(nibabel.Nifti1Image(values, np.diag([3.0, 3.0, 3.0, 1.0])), tmp_path / "ct.nii.gz")
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    exec(code, names)
    lines = names["line_integrals"]
    assert lines.shape == (1, 512, 512)
    # The denser block in the middle: less negative than the air beside it.
    assert lines[0, 256, 256] > lines[0, 256, 180]
