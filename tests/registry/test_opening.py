"""Opening: made, brought up to date, backed up, refused; faults in one line, nothing lost."""

import contextlib
import sqlite3
import threading

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import create_engine, text

from fluoroscope.registry import Registry, RegistryError
from fluoroscope.registry.history import patient_history
from fluoroscope.registry.keeping import keep_all, keep_reports
from fluoroscope.registry.opening import HEAD
from fluoroscope.registry.people import find_patients
from fluoroscope.registry.steps import known_steps, newest_step, run_steps
from fluoroscope.registry.tables import Base

pytestmark = pytest.mark.req("REQ-REG-010")


def test_migrations_make_exactly_the_tables_of_the_code(registry):
    with registry.reading() as session:
        assert compare_metadata(MigrationContext.configure(session.connection()), Base.metadata) == []
    assert newest_step() == HEAD
    assert HEAD in known_steps()


def older(path):
    """Make a registry as an earlier version left it."""
    engine = create_engine(f"sqlite:///{path}")
    with engine.begin() as connection:
        run_steps(connection, "r0001")
        connection.execute(
            text(
                "INSERT INTO patients (patient_id, issuer, twin, name, sex, added_utc) VALUES (:id, '', 0, '', '', :at)"
            ),
            {"id": "old", "at": "2026-11-01 10:00:00.000000"},
        )
    engine.dispose()


def test_older_file_is_backed_up_and_brought_up_to_date(tmp_path):
    path = tmp_path / "registry.sqlite"
    older(path)
    with Registry(path) as registry:
        assert [one.patient_id for one in find_patients(registry)] == ["old"]
    (backup,) = tmp_path.glob("*.backup")
    with contextlib.closing(sqlite3.connect(backup)) as file:
        assert file.execute("SELECT version_num FROM alembic_version").fetchone() == ("r0001",)
        assert file.execute("SELECT patient_id FROM patients").fetchone() == ("old",)


def test_newer_registry_is_refused_and_left_as_it_is(registry_url, make_report):
    with Registry(registry_url) as registry:
        keep_reports(registry, [make_report()])
        with registry.writing() as session:
            session.execute(text("UPDATE alembic_version SET version_num = 'r9999'"))
    with pytest.raises(RegistryError, match="made by a newer version"):
        Registry(registry_url)


def test_file_of_something_else_is_refused(tmp_path):
    other = tmp_path / "other.sqlite"
    with contextlib.closing(sqlite3.connect(other)) as file:
        file.execute("CREATE TABLE recipes (name)")
        file.commit()
    with pytest.raises(RegistryError, match="tables of something else"):
        Registry(other)
    noise = tmp_path / "noise.sqlite"
    noise.write_bytes(b"not a database at all" * 100)
    with pytest.raises(RegistryError, match="is no registry"):
        Registry(noise)
    assert noise.read_bytes() == b"not a database at all" * 100


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("mysql://x/y", "not known"),
        ("nonsense://x", "not known"),
        ("sqlite://", "not known"),
        ("postgresql://nobody:secret@127.0.0.1:1/none", "the server does not answer"),
    ],
)
def test_url_that_cannot_be_is_one_line_without_the_password(url, said):
    with pytest.raises(RegistryError, match=said) as refused:
        Registry(url)
    assert "\n" not in str(refused.value)
    assert "secret" not in str(refused.value)


def test_folder_that_cannot_be_made_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RegistryError, match="FLUOROSCOPE_HOME"):
        Registry(tmp_path / "file" / "registry.sqlite")


def test_many_open_and_write_at_once_and_nothing_is_lost(registry_url, make_report):
    """The room closes exams while an import goes on: neither waits for ever, nothing is lost or doubled."""
    faults = []

    def write(writer):
        try:
            with Registry(registry_url) as registry:
                for number in range(10):
                    own = make_report(f"1.{writer}.{number}", study_uid=f"2.{writer}.{number}", first_event=10 * writer)
                    keep_reports(registry, [own, make_report(f"7.{number}", study_uid=f"7.{number}")])
        except ValueError as fault:
            faults.append(fault)

    writers = [threading.Thread(target=write, args=(number,)) for number in (1, 2, 3)]
    for one in writers:
        one.start()
    for one in writers:
        one.join()
    assert faults == []
    with Registry(registry_url) as registry:
        (patient,) = find_patients(registry)
        assert patient.exams == 40


def test_registry_in_use_is_one_line_and_nothing_changes(registry_url, make_report):
    with Registry(registry_url) as holder, Registry(registry_url, wait_s=0.05) as waiting:
        with holder.writing(), pytest.raises(RegistryError, match="another program has been writing"):
            keep_reports(waiting, [make_report()])
        assert find_patients(waiting) == []
        keep_reports(waiting, [make_report()])
        assert len(find_patients(holder)) == 1


def test_reader_sees_the_last_whole_state_while_another_writes(registry_url, make_report):
    with Registry(registry_url) as writer, Registry(registry_url, wait_s=0.05) as reader:
        keep_reports(writer, [make_report()])
        with writer.writing() as session:
            session.execute(text("UPDATE patients SET name = 'half done'"))
            assert patient_history(reader, "P-1").patient.name == "Doe^Jane"


def test_full_disk_is_one_line_and_what_was_kept_stays(tmp_path, make_report):
    path = tmp_path / "registry.sqlite"
    with Registry(path) as registry:
        keep_reports(registry, [make_report()])
        with registry.reading() as session:
            pages = session.execute(text("PRAGMA page_count")).scalar()
            # SQLite answers a full file as it does a full disk.
            session.execute(text(f"PRAGMA max_page_count = {pages + 2}"))
        many = [make_report(f"3.{n}", study_uid=f"4.{n}", kerma=[1.0] * 20) for n in range(200)]
        with pytest.raises(RegistryError, match="no space left on the disk"):
            keep_reports(registry, many)
    with Registry(path) as registry:
        assert [one.exams for one in find_patients(registry)] == [1]
        assert {one.outcome for one in keep_reports(registry, many)} == {"new"}


def test_error_inside_a_transaction_changes_nothing(registry, make_report):
    def fail_after_keeping():
        with registry.writing() as session:
            keep_all(session, [make_report()])
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_after_keeping()
    assert find_patients(registry) == []


@pytest.mark.parametrize("held", ["BEGIN IMMEDIATE", "BEGIN EXCLUSIVE"])
def test_a_new_file_that_another_program_holds_for_a_moment_is_waited_for(tmp_path, held):
    """Two programs that make the registry at once: SQLite does not wait by itself to turn a file's log on."""
    path = tmp_path / "new.sqlite"
    with contextlib.closing(sqlite3.connect(path, isolation_level=None, check_same_thread=False)) as other:
        other.execute(held)
        other.execute("CREATE TABLE passing (number)")
        letting_go = threading.Timer(0.3, other.execute, ["ROLLBACK"])
        letting_go.start()
        with Registry(path) as registry, registry.reading() as session:
            assert session.scalars(text("SELECT count(*) FROM patients")).one() == 0
        letting_go.join()
