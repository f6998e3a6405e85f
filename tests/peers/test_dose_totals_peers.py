"""Fifty random procedures, 0 to 60 presses each: programs others wrote read the totals we wrote.

OpenREM and PySkinDose run as strangers, in environments of their own. OpenREM's columns for kerma and KAP of an event
keep 10 digits behind the point (0.1 nGy, 1 µGy·cm²), its totals more, fluoroscopy time 2; that is the tolerance below.
"""

from datetime import timedelta

import numpy as np
import pydicom
import pytest

from fluoroscope.acquisition.frame import Collimation
from fluoroscope.beam.technique import PULSE_RATES_HZ, Filtration, RadiationMode, Technique
from fluoroscope.dicom.dose_objects import read_dose_object
from fluoroscope.geometry.carm import C_ARMS
from fluoroscope.geometry.pose import CArmPose
from fluoroscope.geometry.table import PatientPosition, TablePose
from fluoroscope.records.contents import DoseEvent
from fluoroscope.records.identity import Anatomy, Equipment, PatientAngles
from fluoroscope.records.rdsr import write_rdsr

pytestmark = [pytest.mark.req("REQ-READ-002", "REQ-REC-001"), pytest.mark.timeout(1800)]

COUNT = 50
THEIR_DIGIT = 1e-10
"""Last digit of OpenREM's columns, Gy and Gy·m²."""


def a_press(rng, make_event, number, model):
    low, high = model.source_to_detector_range_mm
    distance = float(rng.uniform(low, high))
    angle = float(rng.uniform(-90, 90))
    pose = CArmPose(angle, float(rng.uniform(-40, 40)), float(min(700.0, 0.6 * distance)), distance)
    mode = RadiationMode.ACQUISITION if rng.random() < 0.25 else RadiationMode.FLUOROSCOPY
    rate = float(rng.choice(PULSE_RATES_HZ))
    filtration = Filtration(3.1, float(rng.choice([0.0, 0.1, 0.3])))
    technique = Technique(float(rng.uniform(45, 120)), float(rng.uniform(0.5, 60)), 8.0, rate, filtration, mode)
    kerma = float(10 ** rng.uniform(-4, 2))
    turned = PatientAngles(angle, float(rng.uniform(-40, 40)))
    event = make_event(
        number,
        pulses=int(rng.integers(1, 900)),
        pulse_rate_hz=rate,
        air_kerma_mgy=kerma,
        kap_gy_cm2=kerma * float(rng.uniform(0.02, 0.4)),
        mean_tube_voltage_kv=technique.tube_voltage_kv,
        mean_tube_current_ma=technique.tube_current_ma,
        technique=technique,
        first_pose=pose,
        last_pose=pose,
        table=TablePose(*(float(value) for value in rng.uniform(-150, 150, 3))),
        collimation=Collimation(*(float(value) for value in rng.uniform(20, 140, 4))),
    )
    return DoseEvent(event, turned, turned)


def totals_of(path):
    """Return the written totals by pydicom, to the digit: Gy and Gy·m²."""
    items = pydicom.dcmread(path).ContentSequence

    def numbers(parent, code):
        return [float(one.MeasuredValueSequence[0].NumericValue) for item in items
                if item.ConceptNameCodeSequence[0].CodeValue == parent
                for one in item.ContentSequence if one.ConceptNameCodeSequence[0].CodeValue == code]  # fmt: skip

    return {
        "kap": sum(numbers("113702", "113722")),
        "kerma": sum(numbers("113702", "113725")),
        "fluoro_time": sum(numbers("113702", "113730")),
        "events": len(numbers("113706", "113738")),
        "event_kap": sum(numbers("113706", "122130")),
        "event_kerma": sum(numbers("113706", "113738")),
    }


@pytest.fixture(scope="module")
def procedures(tmp_path_factory, make_event, make_exam):
    """Give the written reports by Study Instance UID, each with its presses and the totals pydicom reads."""
    folder, made = tmp_path_factory.mktemp("procedures"), {}
    models = sorted(C_ARMS)
    for seed in range(COUNT):
        rng = np.random.default_rng(1000 + seed)
        name = models[seed % len(models)]
        exam = make_exam(
            study_uid=f"2.25.{910_000 + seed}",
            equipment=Equipment(f"Virtual {name}", "0.1.0"),
            position=list(PatientPosition)[int(rng.integers(len(PatientPosition)))],
            anatomy=list(Anatomy)[int(rng.integers(len(Anatomy)))],
            therapeutic=bool(rng.random() < 0.5),
        )
        presses = (0, 60)[seed] if seed < 2 else int(61 * rng.random() ** 12)
        first = 100 * seed
        events = [a_press(rng, make_event, first + n, C_ARMS[name]) for n in range(1, presses + 1)]
        path = folder / f"dose-{seed}.dcm"
        write_rdsr(path, exam, events, ended=exam.started + timedelta(minutes=30), complete=bool(rng.random() < 0.8))
        made[exam.study_uid] = path, events, totals_of(path)
    return made


def test_pydicom_and_our_reader_find_what_went_in(procedures):
    assert {len(events) for _, events, _ in procedures.values()} >= {0, 60}
    for path, events, told in procedures.values():
        kap, kerma = sum(e.event.kap_gy_cm2 for e in events), sum(e.event.air_kerma_mgy for e in events)
        assert told["events"] == len(events)
        # Written to 12 digits of Gy·m² and 10 of Gy.
        assert 1e4 * told["kap"] == pytest.approx(kap, rel=1e-6, abs=0.5e-8 * len(events))
        assert 1e3 * told["kerma"] == pytest.approx(kerma, rel=1e-6, abs=0.5e-7 * len(events))
        assert (told["event_kap"], told["event_kerma"]) == pytest.approx((told["kap"], told["kerma"]), rel=1e-12)
        found = read_dose_object(path)
        assert len(found.events) == len(events)
        for totals in (found.total, found.summed) if events else (found.total,):
            assert totals.kap_gy_cm2 == pytest.approx(1e4 * told["kap"], rel=1e-12)
            assert totals.air_kerma_mgy == pytest.approx(1e3 * told["kerma"], rel=1e-12)


def test_pyskindose_reads_equal_sums(procedures, run_stranger):
    chosen = {str(path): told for path, events, told in procedures.values() if events}
    found = run_stranger("pyskindose", "pyskindose_totals.py", *chosen)
    assert set(found) == set(chosen)
    for path, told in chosen.items():
        assert found[path]["events"] == told["events"]
        assert found[path]["event_kerma"] == pytest.approx(told["event_kerma"], rel=1e-9)
        assert found[path]["event_kap"] == pytest.approx(told["event_kap"], rel=1e-9)


def test_openrem_keeps_equal_totals(procedures, run_stranger, tmp_path):
    found = run_stranger("openrem", "openrem_session.py", tmp_path, *(path for path, _, _ in procedures.values()))
    assert set(found) == set(procedures)
    for uid, (_, events, told) in procedures.items():
        assert found[uid]["events"] == len(events)
        rounding = 0.5 * THEIR_DIGIT * max(len(events), 1)
        for name in ("kap", "kerma", "event_kap", "event_kerma"):
            assert (found[uid][name] or 0.0) == pytest.approx(told[name], rel=1e-6, abs=rounding), (uid, name)
        assert (found[uid]["fluoro_time"] or 0.0) == pytest.approx(told["fluoro_time"], abs=0.0051)
