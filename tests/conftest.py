"""What all tests share: the real data, the programs others wrote, and what to do when either is missing."""

import glob
import importlib.util
import os
import shutil
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

# The system's own programs first: pynetdicom installs scripts of the same names as dcmtk's.
_SEARCH_PATH = os.pathsep.join(["/usr/bin", "/usr/sbin", "/usr/local/bin", os.environ.get("PATH", "")])


# Debian keeps the server's programs out of the search path, a folder for each version.
POSTGRES_PROGRAM = max(glob.glob("/usr/lib/postgresql/*/bin/initdb"), default="/usr/lib/postgresql/bin/initdb")


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
    "postgresql": Peer("apt-get install postgresql", file=POSTGRES_PROGRAM),
    "unshare": Peer("apt-get install util-linux", program="unshare"),
    "ip": Peer("apt-get install iproute2", program="ip"),
    "dcmtk": Peer("apt-get install dcmtk", program="dcmdjpls"),
    "gdcm": Peer("apt-get install libgdcm-tools", program="gdcminfo"),
    "openigtlink": Peer("apt-get install libopenigtlink-dev", file="/usr/include/openigtlink/igtlClientSocket.h"),
    "g++": Peer("apt-get install g++", program="g++"),
    "chromium": Peer("apt-get install chromium", program="chromium"),
    "pynetdicom": Peer("pip install pynetdicom", module="pynetdicom"),
    "uv": Peer("pip install uv", module="uv"),
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


@pytest.fixture(scope="session")
def make_event():
    """Give a factory of irradiation events: ``make_event(number, pulses=…, pulse_rate_hz=…, …)``."""
    from fluoroscope.acquisition.event import IrradiationEvent
    from fluoroscope.acquisition.frame import Collimation
    from fluoroscope.beam.technique import Technique
    from fluoroscope.geometry.pose import CArmPose
    from fluoroscope.geometry.table import TablePose

    def make(number=1, pulses=10, pulse_rate_hz=7.5, **changes):
        started = datetime(2026, 11, 22, 10, 0, 0, 123456, UTC) + timedelta(seconds=10 * number)
        pose = CArmPose(20.0, 5.0, 750.0, 1200.0)
        values = {
            "uid": f"2.25.{1000 + number}",
            "number": number,
            "started": started,
            "ended": started + timedelta(seconds=pulses / pulse_rate_hz),
            "pulses": pulses,
            "dropped_pulses": 0,
            "pulse_rate_hz": pulse_rate_hz,
            "pedal_time_s": pulses / pulse_rate_hz,
            "beam_on_time_s": pulses * 0.008,
            "air_kerma_mgy": 0.0123456789 * pulses,
            "kap_gy_cm2": 0.00456789123 * pulses,
            "mean_tube_voltage_kv": 70.1234567,
            "mean_tube_current_ma": 3.21,
            "mean_pulse_width_ms": 8.0,
            "first_pose": pose,
            "last_pose": pose,
            "table": TablePose(10.0, -20.0, 30.0),
            "technique": Technique(70.0, 3.0, 8.0, pulse_rate_hz),
            "collimation": Collimation(9.0, 9.0, 6.0, 6.0),
        }
        return IrradiationEvent(**{**values, **changes})

    return make


@pytest.fixture(scope="session")
def make_exam():
    """Give a factory of exam identities: ``make_exam(position=…, …)``."""
    from fluoroscope.records.identity import Equipment, ExamIdentity, PatientIdentity

    def make(**changes):
        values = {
            "study_uid": "2.25.77",
            "started": datetime(2026, 11, 22, 10, 0, tzinfo=UTC),
            "patient": PatientIdentity("Yamada^Tarou=山田^太郎=やまだ^たろう", "P-1"),
            "equipment": Equipment("Virtual C-arm", "0.1.0"),
        }
        return ExamIdentity(**{**values, **changes})

    return make


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
