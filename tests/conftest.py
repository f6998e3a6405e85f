"""What all tests share: the real data, the programs others wrote, and what to do when either is missing."""

import importlib.util
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest

# The system's own programs first: pynetdicom installs scripts of the same names as dcmtk's.
_SEARCH_PATH = os.pathsep.join(["/usr/bin", "/usr/sbin", "/usr/local/bin", os.environ.get("PATH", "")])


@dataclass(frozen=True)
class Peer:
    """A program or Python package somebody else wrote, and where to get it."""

    get: str
    program: str | None = None
    module: str | None = None
    file: str | None = None

    def missing(self) -> bool:
        if self.program is not None and shutil.which(self.program, path=_SEARCH_PATH) is None:
            return True
        if self.file is not None and not Path(self.file).is_file():
            return True
        return self.module is not None and importlib.util.find_spec(self.module) is None


PEERS = {
    "dciodvfy": Peer("apt-get install dicom3tools", program="dciodvfy"),
    "pixelmed": Peer("apt-get install pixelmed-apps", program="java", file="/usr/share/java/pixelmed.jar"),
    "orthanc": Peer("apt-get install --no-install-recommends orthanc", program="Orthanc"),
    "unshare": Peer("apt-get install util-linux", program="unshare"),
    "dcmtk": Peer("apt-get install dcmtk", program="dcmdjpls"),
    "gdcm": Peer("apt-get install libgdcm-tools", program="gdcminfo"),
    "chromium": Peer("apt-get install chromium", program="chromium"),
    "pynetdicom": Peer("pip install pynetdicom", module="pynetdicom"),
    "spekpy": Peer("pip install spekpy", module="spekpy"),
    "itk-rtk": Peer("pip install itk-rtk", module="itk"),
    "SimpleITK": Peer("pip install SimpleITK", module="SimpleITK"),
}


def peer_program(name: str) -> str:
    """Return the full path of a program; the system's, not a Python script of the same name."""
    found = shutil.which(name, path=_SEARCH_PATH)
    if found is None:
        raise FileNotFoundError(f"program {name} is not installed")
    return found


@pytest.fixture(scope="session", name="peer_program")
def _peer_program():
    """Give `peer_program`, the way to the system's own program of a name."""
    return peer_program


def _data_folder() -> Path | None:
    named = os.environ.get("FLUOROSCOPE_TEST_DATA")
    return Path(named) if named and Path(named).is_dir() else None


@pytest.fixture(scope="session")
def data_folder() -> Path:
    """Give the read-only folder of real test data; the test is skipped when there is none."""
    folder = _data_folder()
    if folder is None:
        pytest.skip("real test data: FLUOROSCOPE_TEST_DATA names no folder")
    return folder


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip by name what is missing; under CI a missing peer is a failure."""
    if item.get_closest_marker("data") is not None and _data_folder() is None:
        pytest.skip("real test data: FLUOROSCOPE_TEST_DATA names no folder")
    for marker in item.iter_markers("peer"):
        for name in marker.args:
            peer = PEERS.get(name, Peer(f"install {name}", program=name))
            if not peer.missing():
                continue
            message = f"peer {name} is missing: {peer.get}"
            if os.environ.get("CI") == "true":
                pytest.fail(message, pytrace=False)
            pytest.skip(message)
