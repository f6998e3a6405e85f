"""The registry on the command line, and for the room."""

import json

import pytest

from fluoroscope.app.dose.history import exam_rows, history_rows
from fluoroscope.app.dose.memory import DoseMemory
from fluoroscope.app.dose.told_exposures import TOLD_FOLDER, ToldExposures
from fluoroscope.cli import main
from fluoroscope.records.contents import DoseEvent
from fluoroscope.records.exam_store import ExamFolder
from fluoroscope.records.identity import PatientIdentity
from fluoroscope.registry import Registry
from fluoroscope.registry.counting import ExamDose
from fluoroscope.registry.history import Cumulative, ExamHistory, PatientHistory
from fluoroscope.registry.keeping import Estimates
from fluoroscope.registry.outside import ToldExposure, add_outside
from fluoroscope.registry.people import PatientFacts

KEYS = {"known", "patient_id", "exams", "since", "cumulative", "last", "outside", "unknown", "lines"}


@pytest.fixture
def run(monkeypatch, tmp_path, capsys):
    """Give the command line on a registry of the test's own: its exit code, what it printed and what it said."""
    monkeypatch.setenv("FLUOROSCOPE_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("FLUOROSCOPE_REGISTRY", raising=False)

    def call(*words):
        monkeypatch.setattr("sys.argv", ["fluoroscope", "dose", *map(str, words)])
        with pytest.raises(SystemExit) as left:
            main()
        printed = capsys.readouterr()
        return left.value.code, printed.out, printed.err

    return call


@pytest.fixture
def closed_exam(tmp_path, make_event, make_exam):
    """Give a function that records an exam of two presses and closes it."""

    def make(number=1, **changes):
        identity = make_exam(study_uid=f"2.25.{400 + number}", **changes)
        folder = ExamFolder.create(tmp_path / "home" / "exams", identity, {})
        for press in (1, 2):
            event = make_event(press, uid=f"2.25.{number}00{press}")
            folder.add_event(DoseEvent(event))
        folder.close(event.ended)
        return folder.folder

    return make


@pytest.mark.req("REQ-REG-011")
def test_import_and_history_on_the_command_line(run, closed_exam, tmp_path):
    closed_exam()
    code, out, _ = run("import", tmp_path / "home" / "exams", "--json")
    assert (code, json.loads(out)["new"]) == (0, 1)
    code, out, _ = run("history", "P-1", "--json")
    facts = json.loads(out)
    assert code == 0
    assert facts.keys() >= KEYS
    assert facts["exams"] == 1
    assert facts["cumulative"]["kap_gy_cm2"] == pytest.approx(2 * 0.0456789123, abs=1e-6)
    assert facts["last"]["events"] == 2
    code, out, _ = run("history", "--json")
    assert [one["patient_id"] for one in json.loads(out)["patients"]] == ["P-1"]
    assert "Yamada" in run("history")[1]
    assert "0.0914 Gy·cm²" in run("history", "P-1")[1].replace("\n", " ")


@pytest.mark.req("REQ-REG-011")
def test_bad_input_is_one_line_and_exit_code_2(run, tmp_path):
    (tmp_path / "noise").write_bytes(b"noise" * 1000)
    (tmp_path / "nothing").mkdir()
    for words in (
        ("history", "nobody"),
        ("import", tmp_path / "nowhere"),
        ("history", "--registry", tmp_path / "noise"),
        ("history", "--registry", ""),
        ("import", tmp_path / "nothing", "--registry", ""),
        ("import", tmp_path / "nothing"),
        ("import", tmp_path / "noise"),
        ("outside", "add", "P-1", "--kind", "CT", "--when", "soon"),
        ("outside", "add", "", "--kind", "CT"),
        ("outside", "add", "  ", "--kind", "CT"),
        ("correct", "nobody", "name", "x", "--why", "y", "--by", "z"),
        ("merge", "a", "b", "--why", "y"),
        ("merge", "a", "b"),
        ("merge", "a", "--why", "y"),
        ("merge",),
        ("merge", "--undo", "7", "--why", "y"),
        ("correct", "1.2.3", "procedure_key", "appendectomy", "--why", "y"),
        ("erase", "nobody", "--why", "y", "--yes"),
        ("export", "--anonymise", "--dates", "never"),
        ("export", "--dates", "shift"),
        ("export", "--key", tmp_path / "secret"),
    ):
        code, out, err = run(*words)
        assert (code, out) == (2, ""), words
        assert err.startswith("error: ")
        assert err.count("\n") == 1


@pytest.mark.req("REQ-REG-011")
def test_one_file_that_contradicts_the_registry_is_refused(run, closed_exam, tmp_path):
    report = closed_exam() / "dose.dcm"
    assert run("import", report)[0] == 0
    other = tmp_path / "other.dcm"
    other.write_bytes(report.read_bytes().replace(b"P-1", b"P-2"))
    code, out, err = run("import", other)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert "other.dcm: the same object is in the registry under another patient" in err
    assert run("import", other)[0] == 2


@pytest.mark.req("REQ-REG-011")
def test_a_registry_that_is_not_there_is_not_read_as_an_empty_one(run, tmp_path, monkeypatch):
    typo = tmp_path / "typo.sqlite"
    for words in (
        ("history",),
        ("history", "P-1"),
        ("outside", "list", "P-1"),
        ("outside", "confirm", "1", "--why", "y"),
        ("outside", "remove", "1", "--why", "y"),
        ("correct", "P-1"),
        ("merge", "--list"),
        ("export",),
        ("erase", "P-1", "--why", "y", "--yes"),
    ):
        for name in (typo, f"sqlite:///{typo}"):
            code, out, err = run(*words, "--registry", name)
            assert (code, out, err.count("\n")) == (2, "", 1), words
            assert f"{typo}: no such file" in err
    monkeypatch.setenv("FLUOROSCOPE_REGISTRY", str(typo))
    assert run("history")[0] == 2
    assert not typo.exists()
    monkeypatch.delenv("FLUOROSCOPE_REGISTRY")
    code, out, _ = run("history")
    assert (code, "there is nothing yet" in out) == (0, True)
    assert json.loads(run("history", "--json")[1]) == {"patients": []}


@pytest.mark.req("REQ-REG-011")
def test_told_corrected_merged_exported_erased_on_the_command_line(run, closed_exam, tmp_path):
    closed_exam()
    run("import", tmp_path / "home" / "exams")
    assert json.loads(run("outside", "add", "P-1", "--kind", "CT", "--when", "2019", "--json")[1])["id"] == 1
    assert run("outside", "confirm", "1", "--why", "letter")[:2] == (0, "exposure 1 is confirmed\n")
    assert json.loads(run("outside", "list", "P-1", "--json")[1])["outside"][0]["confirmed"]
    assert run("correct", "P-1", "sex", "F", "--why", "asked", "--by", "Ann")[0] == 0
    changes = json.loads(run("correct", "P-1", "--json")[1])["changes"]
    assert {one["field"] for one in changes} == {"sex", "confirmed"}
    assert run("outside", "add", "P-2", "--kind", "CT")[0] == 0
    assert run("outside", "add", "P-2", "--kind", "CT")[0] == 0
    assert run("outside", "remove", "3", "--why", "twice")[:2] == (0, "exposure 3 is taken back\n")
    assert run("merge", "P-1", "P-2", "--why", "one person")[0] == 0
    assert run("merge", "--undo", "1", "--why", "two persons") == (0, "P-2 and P-1 are apart again\n", "")
    assert run("merge", "--undo", "1", "--why", "again")[0] == 2
    assert json.loads(run("merge", "P-1", "P-2", "--why", "one after all", "--json")[1]) == {"merge": 2}
    first, second = json.loads(run("merge", "--list", "--json")[1])["merges"]
    assert (first["undone_why"], second["undone_utc"], second["joined"]) == ("two persons", None, ["P-2"])
    assert "two persons" in run("merge", "--list")[1]
    named = run("export")[1].splitlines()
    assert named[0].startswith("patient,issuer,name")
    assert "P-1" in named[1]
    hidden = run("export", "--anonymise")[1]
    assert hidden == run("export", "--anonymise")[1]
    assert "P-1" not in hidden
    assert json.loads(run("erase", "P-1", "--why", "asked", "--yes", "--json")[1])["outside"] == 3
    assert run("history", "P-1")[0] == 2


@pytest.mark.req("REQ-REG-007", "REQ-REG-011")
def test_what_was_told_and_is_not_in_the_registry_yet_is_said(run, closed_exam, tmp_path):
    closed_exam()
    run("import", tmp_path / "home" / "exams")
    told = ToldExposures(tmp_path / "home" / "exams" / TOLD_FOLDER)
    seen = {"kind": "CT", "body_part": "abdomen", "place": "Köln", "when": "2019", "confirmed": False}
    uid = told.add(PatientIdentity("Doe^Jane", "P-1"), seen, "Ann")
    told.add(PatientIdentity("Roe^Bo", "P-9"), seen, "Ann")
    (row,) = json.loads(run("history", "P-1", "--json")[1])["told_waiting"]
    assert (row["id"], row["place"], row["told_to"], row["taken_back"]) == (uid, "Köln", "Ann", False)
    assert "told, not in yet" in run("history", "P-1")[1]
    assert "2 exposures that were told wait for the registry" in run("history")[2]
    code, _, err = run("history", "P-9")
    assert (code, err.count("\n"), "1 exposure that was told waits" in err) == (2, 1, True)
    # It came to the registry, and the program was killed before the file went.
    with Registry(tmp_path / "home" / "registry.sqlite") as registry:
        add_outside(registry, "P-1", ToldExposure(**seen), told_to="Ann", told_uid=str(uid))
    assert json.loads(run("history", "P-1", "--json")[1])["told_waiting"] == []
    told.take_back(PatientIdentity("Doe^Jane", "P-1"), uid, "Bo", "another's")
    (row,) = json.loads(run("history", "P-1", "--json")[1])["told_waiting"]
    assert row["taken_back"]
    (told.folder / "7.json").write_text("{")
    assert "7.json" in run("history", "P-1")[2]


@pytest.fixture
def memory(tmp_path):
    opened = DoseMemory(tmp_path / "registry.sqlite")
    yield opened
    opened.close()


@pytest.mark.req("REQ-REG-012")
def test_room_knows_next_time_what_it_kept(memory, closed_exam):
    patient = PatientIdentity("Doe^Jane", "P-1")
    memory.begin(patient)
    assert memory.status()["known"] is False
    folder = closed_exam()
    estimates = Estimates(0.4, "coefficient of a test", 12.5, "skin map")
    assert memory.keep_exam(folder, estimates) == ""
    assert memory.keep_exam(folder) == ""
    told = memory.status()
    assert told.keys() >= KEYS
    assert (told["known"], told["exams"], told["last"]["source"]) == (True, 1, "own run")
    assert (told["cumulative"]["effective_msv"], told["cumulative"]["peak_skin_mgy"]) == (0.4, 12.5)
    assert memory.history("P-1") == told
    assert memory.history("somebody else")["known"] is False


@pytest.mark.req("REQ-REG-012")
def test_exam_that_could_not_be_kept_is_said_and_kept_at_the_next_start(closed_exam, tmp_path):
    blocked = tmp_path / "registry.sqlite"
    blocked.write_bytes(b"no database" * 500)
    memory = DoseMemory(blocked)
    memory.begin(PatientIdentity("Doe^Jane", "P-1"))
    assert "no registry" in memory.status()["error"]
    folder = closed_exam()
    line = memory.keep_exam(folder)
    assert "is taken in at the next start" in line
    assert "\n" not in line
    blocked.unlink()
    assert memory.keep_waiting(folder.parent) == []
    assert memory.history("P-1")["exams"] == 1
    assert memory.keep_waiting(folder.parent) == []
    memory.close()


@pytest.mark.req("REQ-REG-012")
def test_room_goes_on_while_another_program_holds_the_registry(closed_exam, tmp_path, monkeypatch):
    monkeypatch.setattr("fluoroscope.app.dose.memory._ROOM_WAIT_S", 0.05)
    folder = closed_exam()
    with Registry(tmp_path / "registry.sqlite") as holder:
        memory = DoseMemory(tmp_path / "registry.sqlite")
        memory.begin(PatientIdentity("Doe^Jane", "P-1"))
        with holder.writing():
            assert "another program has been writing" in memory.keep_exam(folder)
            assert memory.status()["known"] is False
        assert memory.keep_waiting(folder.parent) == []
        assert memory.history("P-1")["exams"] == 1
        memory.close()


def test_large_doses_are_said_without_an_exponent():
    dose = ExamDose(kap_gy_cm2=1234.5, fluoroscopy_time_s=4000.0, kerma_by_point={"15 cm": 7689.0})
    exam = ExamHistory("2.25.1", None, "", "", "own run", False, dose, None, "", 2345.0, "map", 1)
    sums = Cumulative(1234.5, 4000.0, {"15 cm": 7689.0}, None, 2345.0)
    patient = PatientFacts(1, "P-1", "", "", None, "", 0, (), 1)
    history = PatientHistory(patient, (exam,), (), (), sums, ())
    said = " ".join(words for row in (*history_rows(history), *exam_rows(history)) for words in row)
    assert "e+" not in said
    for words in ("KAP 1230 Gy·cm²", "fluoroscopy 66 min 40 s", "7690 mGy at 15 cm", "of one exam 2340 mGy"):
        assert words in said
