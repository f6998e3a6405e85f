"""Programs others wrote, as functions: what they say of our files, never by exit code alone."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

_PYTHONS = Path(
    os.environ.get("FLUOROSCOPE_PEERS")
    or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "fluoroscope-peers"
)
"""Where scripts/install_peer_pythons.sh puts programs with environments of their own."""


def _stranger(name: str) -> Path | None:
    """Return the interpreter that has package ``name``; None when it is not there."""
    python = _PYTHONS / name / "bin" / "python"
    return python if any((_PYTHONS / name).glob(f"lib/python3*/site-packages/{name}")) else None


if _stranger("pyskindose") is not None:
    os.environ.setdefault("FLUOROSCOPE_PYSKINDOSE_PYTHON", str(_stranger("pyskindose")))


_PIXELMED_JAR = "/usr/share/java/pixelmed.jar"
# Java 17 refuses the validator's style sheets without these.
_XPATH_LIMITS = [f"-Djdk.xml.xpath{name}=0" for name in ("TotalOpLimit", "ExprGrpLimit", "ExprOpLimit")]


@dataclass(frozen=True)
class Verdict:
    """Lines a validator printed."""

    errors: list[str]
    warnings: list[str]
    text: str


@pytest.fixture(scope="session")
def run_peer(peer_program):
    """Give a way to run a peer: ``run_peer("dcmdump", "+L", path)``."""

    def run(name, *arguments, seconds=120):
        command = [peer_program(name), *map(str, arguments)]
        return subprocess.run(command, capture_output=True, timeout=seconds, check=False)

    return run


@pytest.fixture(scope="session")
def dciodvfy(run_peer):
    """Give dciodvfy's verdict of a file: its exit code may be 0 in spite of errors, so its lines are read."""

    def judge(path):
        text = run_peer("dciodvfy", "-new", path).stderr.decode("utf-8", "replace")
        lines = text.splitlines()
        assert any(not line.startswith(("Error", "Warning")) and line for line in lines), f"no IOD named: {text}"
        return Verdict(
            [line for line in lines if line.startswith("Error")],
            [line for line in lines if line.startswith("Warning")],
            text,
        )

    return judge


@pytest.fixture(scope="session")
def pixelmed(run_peer):
    """Give PixelMed's verdict of a structured report; it must have come to its end."""

    def judge(path):
        arguments = [*_XPATH_LIMITS, "-cp", _PIXELMED_JAR, "com.pixelmed.validate.DicomSRValidator", path]
        done = run_peer("java", *arguments, seconds=240)
        text = (done.stdout + done.stderr).decode("utf-8", "replace")
        assert "IOD validation complete" in text, text
        lines = text.splitlines()
        return Verdict(
            [line for line in lines if line.startswith("Error")],
            [line for line in lines if line.startswith("Warning")],
            text,
        )

    return judge


@pytest.fixture(scope="session")
def through_orthanc(peer_program):
    """Give a way through Orthanc and back: ``through_orthanc(paths, folder) -> {uid: path}``.

    Orthanc binds to every address whatever it is told, so it and its clients run in a network namespace of
    their own, where nothing but loopback exists.
    """

    def send(paths, folder: Path):
        script = Path(__file__).with_name("orthanc_session.py")
        unshare = [peer_program("unshare"), "--net"] + ([] if os.geteuid() == 0 else ["--map-root-user"])
        command = [*unshare, sys.executable, str(script), peer_program("Orthanc"), peer_program("storescu")]
        command += [peer_program("ip"), str(folder), *map(str, paths)]
        done = subprocess.run(command, capture_output=True, timeout=180, check=False, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        return {uid: Path(path) for uid, path in json.loads(done.stdout).items()}

    return send


@pytest.fixture(scope="session")
def run_stranger():
    """Give a way to run a script of this folder where a foreign package lives: what it tells as JSON.

    ``run_stranger("openrem", "openrem_session.py", argument …)``.
    """

    def run(name, script, *arguments, seconds=900):
        python = _stranger(name)
        if python is None:
            message = f"peer {name} is missing: run scripts/install_peer_pythons.sh"
            if os.environ.get("CI") == "true":
                pytest.fail(message, pytrace=False)
            pytest.skip(message)
        command = [str(python), str(Path(__file__).with_name(script)), *map(str, arguments)]
        kept = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONWARNINGS")}
        done = subprocess.run(command, capture_output=True, timeout=seconds, check=False, text=True, env=kept)
        told = [line.removeprefix("told ") for line in done.stdout.splitlines() if line.startswith("told ")]
        assert done.returncode == 0, done.stderr[-2000:]
        assert len(told) == 1, done.stdout[-2000:]
        return json.loads(told[0])

    return run
