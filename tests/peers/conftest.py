"""Programs others wrote, as functions: what they say of our files, never by exit code alone."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from fluoroscope.acquisition.event import BeamPlace
from fluoroscope.acquisition.frame import Collimation
from fluoroscope.beam.technique import PULSE_RATES_HZ, Filtration, RadiationMode, Technique
from fluoroscope.geometry.carm import C_ARMS
from fluoroscope.geometry.pose import CArmPose
from fluoroscope.geometry.table import PatientPosition, TablePose
from fluoroscope.records.contents import DoseCalibration, DoseEvent, DoseImage
from fluoroscope.records.identity import Anatomy, Equipment, PatientAngles
from fluoroscope.records.patient_dose import BodyModel, OrganEstimate, PatientDose, write_patient_dose
from fluoroscope.records.rdsr import DoseReport, ReportState, dose_report_series
from fluoroscope.records.report_subject import ReportSource, subject_of_exam

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


def angles(rng):
    return PatientAngles(float(rng.uniform(-180, 180)), float(rng.uniform(-90, 90)))


def a_pose(rng):
    isocenter = tuple(float(v) for v in rng.uniform(-200, 200, 3))
    return CArmPose(float(rng.uniform(-180, 180)), float(rng.uniform(-60, 60)), 750.0, float(rng.uniform(950, 1250)),
                    isocenter_mm=isocenter)  # fmt: skip


def a_table(rng):
    return TablePose(*(float(v) for v in rng.uniform(-15, 15, 6)))


def an_event(rng, make_event, number):
    mode = RadiationMode.ACQUISITION if rng.random() < 0.3 else RadiationMode.FLUOROSCOPY
    filtration = Filtration(float(rng.uniform(0, 8)), float(rng.choice([0.0, 0.1, 0.3, 0.9])))
    rate = float(rng.choice(PULSE_RATES_HZ))
    technique = Technique(float(rng.uniform(40, 125)), float(rng.uniform(0.5, 400)), 8.0, rate, filtration, mode)
    known = rng.random() < 0.8
    first = a_pose(rng) if rng.random() < 0.9 else None
    last = a_pose(rng) if first and rng.random() < 0.5 else first
    table = a_table(rng) if rng.random() < 0.7 else None
    shares = rng.dirichlet(np.ones(int(rng.integers(2, 9)))) if last is not first else []
    path = tuple(BeamPlace(float(share), a_pose(rng), a_table(rng) if table else None) for share in shares)
    return make_event(
        number,
        pulses=int(rng.integers(1, 5000)),
        pulse_rate_hz=rate,
        air_kerma_mgy=float(10 ** rng.uniform(-6, 4)),
        kap_gy_cm2=float(10 ** rng.uniform(-6, 3)),
        mean_tube_voltage_kv=technique.tube_voltage_kv if known else None,
        mean_tube_current_ma=technique.tube_current_ma if known else None,
        mean_pulse_width_ms=8.0 if known else None,
        technique=technique,
        table=table,
        collimation=Collimation(*(float(v) for v in rng.uniform(1, 150, 4))) if rng.random() < 0.8 else None,
        first_pose=first,
        last_pose=last,
        path=path,
    )


def a_calibration(rng):
    if rng.random() < 0.4:
        return None
    if rng.random() < 0.5:
        return DoseCalibration(float(rng.uniform(0.5, 2.0)), "a physicist, May 2026")
    when = datetime(2026, 5, 1, tzinfo=UTC)
    return DoseCalibration(float(rng.uniform(0.5, 2.0)), "a physicist", when, float(rng.uniform(0, 100)), "Physics")


def a_dose(rng, events):
    peak, share = float(10 ** rng.uniform(-4, 4)), float(rng.random())
    if rng.random() < 0.3:
        return PatientDose(peak, 0.3 * peak, 4.0 * peak, False, BodyModel("plane", "no body"), through_table=False)
    cells = rng.random((int(rng.integers(2, 40)), int(rng.integers(2, 40))))
    body = BodyModel(*((("patient", "own skin"), ("adult", "an adult", 170.0, 80.0))[int(rng.integers(2))]))
    known = rng.random() < 0.5
    return PatientDose(
        peak, 0.55 * peak, 1.45 * peak, True, body, (1.0, -2.0, 3.0), "front", share, cells / cells.max() * peak,
        4.2 if known else None, 1.3 if known else None, known, (("copper", 0.0, 0.3),) if known else (),
        tuple(one.event.uid for one in events[:1]), 0.5 if known else None, "a paper" if known else "",
        (OrganEstimate("Liver", 0.2), OrganEstimate("Uterus", 0.1)) if known else (), ("a remark",),
    )  # fmt: skip


class Procedure(NamedTuple):
    """One random procedure: what was written, and what went in."""

    report: Path
    record: Path
    events: list
    study_uid: str


def a_dose_event(rng, make_event, number):
    event = an_event(rng, make_event, number)
    if rng.random() < 0.2:
        return DoseEvent(event)
    return DoseEvent(event, angles(rng), angles(rng), tuple(angles(rng) for _ in event.path))


@pytest.fixture(scope="session")
def procedures(tmp_path_factory, make_event, make_exam):
    """Give fifty random procedures: none, sixty, or up to seven presses, of every C-arm, with their patient dose."""
    folder, made, models = tmp_path_factory.mktemp("procedures"), [], sorted(C_ARMS)
    for seed in range(50):
        rng = np.random.default_rng(seed)
        exam = make_exam(
            study_uid=f"2.25.{7000 + seed}",
            equipment=Equipment(f"Virtual {models[seed % len(models)]}", "0.1.0"),
            position=list(PatientPosition)[int(rng.integers(len(PatientPosition)))],
            anatomy=list(Anatomy)[int(rng.integers(len(Anatomy)))],
            therapeutic=bool(rng.random() < 0.5),
            operator="Doe^Jane" if rng.random() < 0.5 else "",
        )
        presses = (0, 60)[seed] if seed < 2 else int(rng.integers(8))
        events = [a_dose_event(rng, make_event, 100 * seed + number) for number in range(1, presses + 1)]
        images = {e.event.uid: [DoseImage("2.25.5", f"2.25.{10 * n}")] for n, e in enumerate(events) if n % 2}
        state = list(ReportState)[int(rng.integers(3))]
        report, record = folder / f"dose-{seed}.dcm", folder / f"patient-{seed}.dcm"
        ended = exam.started + timedelta(minutes=5)
        uid = DoseReport(exam, a_calibration(rng)).write(report, events, ended=ended, state=state, images=images)
        uids = tuple(one.event.uid for one in events)
        source = ReportSource(exam.study_uid, dose_report_series(exam), uid, uids)
        write_patient_dose(record, subject_of_exam(exam), source, a_dose(rng, events), ended)
        made.append(Procedure(report, record, events, exam.study_uid))
    return made
