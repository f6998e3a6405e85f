"""Fifty random procedures, 0 to 60 presses each: programs others wrote read the totals we wrote.

OpenREM and PySkinDose run as strangers, in environments of their own. OpenREM's columns for kerma and KAP of an event
keep 10 digits behind the point (0.1 nGy, 1 µGy·cm²), its totals more, fluoroscopy time 2; that is the tolerance below.
"""

import pydicom
import pytest

from fluoroscope.dicom.dose_objects import read_dose_object

pytestmark = [pytest.mark.req("REQ-READ-002", "REQ-REC-001"), pytest.mark.timeout(1800)]

THEIR_DIGIT = 1e-10
"""Last digit of OpenREM's columns, Gy and Gy·m²."""


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
def totals(procedures):
    """Give the written reports by Study Instance UID, each with its presses and the totals pydicom reads."""
    return {one.study_uid: (one.report, one.events, totals_of(one.report)) for one in procedures}


def test_pydicom_and_our_reader_find_what_went_in(totals):
    assert {len(events) for _, events, _ in totals.values()} >= {0, 60}
    for path, events, told in totals.values():
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


def test_pyskindose_reads_equal_sums(totals, run_stranger):
    chosen = {str(path): told for path, events, told in totals.values() if events}
    found = run_stranger("pyskindose", "pyskindose_totals.py", *chosen)
    assert set(found) == set(chosen)
    for path, told in chosen.items():
        assert found[path]["events"] == told["events"]
        assert found[path]["event_kerma"] == pytest.approx(told["event_kerma"], rel=1e-9)
        assert found[path]["event_kap"] == pytest.approx(told["event_kap"], rel=1e-9)


def test_openrem_keeps_equal_totals(totals, run_stranger, tmp_path):
    found = run_stranger("openrem", "openrem_session.py", tmp_path, *(path for path, _, _ in totals.values()))
    assert set(found) == set(totals)
    for uid, (_, events, told) in totals.items():
        assert found[uid]["events"] == len(events)
        rounding = 0.5 * THEIR_DIGIT * max(len(events), 1)
        for name in ("kap", "kerma", "event_kap", "event_kerma"):
            assert (found[uid][name] or 0.0) == pytest.approx(told[name], rel=1e-6, abs=rounding), (uid, name)
        assert (found[uid]["fluoro_time"] or 0.0) == pytest.approx(told["fluoro_time"], abs=0.0051)
