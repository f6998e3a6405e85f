"""Opening the registry: where it is, its tables made or brought up to date, and its faults in one line each."""

import contextlib
import os
import sqlite3
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, inspect, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DataError, DBAPIError, IntegrityError, NoSuchModuleError
from sqlalchemy.orm import Session

from fluoroscope.patient.folders import data_folder

__all__ = ["HEAD", "Registry", "RegistryError", "check_where", "default_url", "standing", "utc_now"]

HEAD = "r0004"
"""The newest migration: a registry that stands there needs no Alembic, which is slow to load."""

_ASK_AGAIN_S = 0.01
_MADE_UTC_FORMAT = "%Y%m%d-%H%M%S"
_WRITES = "fluoroscope_writes"
_POSTGRES_LOCK = 0x466C756F726F  # any number that is ours: writers of one registry take turns on it
_ADVICE = (
    ("locked", "another program has been writing for {wait:g} s; wait for it or end it, then try again"),
    ("lock timeout", "another program has been writing for {wait:g} s; wait for it or end it, then try again"),
    ("disk is full", "no space left on the disk; free some and try again, what was kept before stays"),
    ("No space left", "no space left on the server's disk; free some and try again, what was kept before stays"),
    ("not a database", "the file is no registry; name another, or restore it from a backup"),
    ("malformed", "the file is damaged; restore it from a backup"),
    ("readonly", "it may not be written to; change the rights of the file and its folder"),
    ("unable to open", "it cannot be opened; check that the folder exists and may be written to"),
    ("connection to server", "the server does not answer; start it, or check host, port and user of the address"),
    ("disk I/O error", "the disk cannot be read or written; check it and its space, what was kept before stays"),
)


class RegistryError(ValueError):
    """The registry cannot do what was asked; the message is one line: what, where, what to do."""


def default_url() -> str:
    """Return where the registry is: ``FLUOROSCOPE_REGISTRY``, else a file in the data folder."""
    return os.environ.get("FLUOROSCOPE_REGISTRY") or str(data_folder() / "registry.sqlite")


def utc_now() -> datetime:
    """Return the time as the registry keeps it: UTC, without a zone."""
    return datetime.now(UTC).replace(tzinfo=None)


def check_where(where: str | Path | None = None) -> None:
    """Raise `RegistryError` when ``where`` (the default when absent) names no place for a registry; opens nothing."""
    _url(default_url() if where is None else str(where))


def standing(where: str | Path | None = None) -> str | Path | None:
    """Return ``where``, refused when it names a file that is not there: a slip of the pen must not look like no dose.

    Without a name, and none in ``FLUOROSCOPE_REGISTRY``, it is the data folder's own, which is made when it is missing.

    Raises
    ------
    RegistryError
        The file is not there, or ``where`` names no place for a registry.
    """
    named = where if where is not None else os.environ.get("FLUOROSCOPE_REGISTRY") or None
    if named is not None:
        url = _url(str(named))
        if _is_file(url) and not Path(url.database or "").exists():
            raise RegistryError(f"registry {url.database}: no such file; check the name, or make it:  "
                                "fluoroscope dose import FOLDER --registry FILE")  # fmt: skip
    return where


class Registry:
    """The registry, open. Safe from several threads; several programs may have it open at once.

    Parameters
    ----------
    where
        A file (SQLite), or a URL: ``sqlite:///file`` or ``postgresql://user@host/database``; the default when absent.
    wait_s
        How long to wait while another program writes.

    Raises
    ------
    RegistryError
        It cannot be opened or reached, is no registry, or was made by a newer version of the program.
    """

    def __init__(self, where: str | Path | None = None, *, wait_s: float = 30.0) -> None:
        url = _url(default_url() if where is None else str(where))
        self.shown = url.database or "memory" if _is_file(url) else _shown(url)
        self._wait_s = wait_s
        if _is_file(url):
            self.path: Path | None = Path(url.database or "")
            with self._told():
                self.path.parent.mkdir(parents=True, exist_ok=True)
        else:
            self.path = None
        self._engine = _engine(url, wait_s)
        try:
            with self._told():
                self._bring_up_to_date()
        except BaseException:
            self._engine.dispose()
            raise

    def close(self) -> None:
        """Let go of it."""
        self._engine.dispose()

    def __enter__(self) -> "Registry":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def is_file(self) -> bool:
        """Whether it is an SQLite file, not a server's database."""
        return self.path is not None

    @contextlib.contextmanager
    def reading(self) -> Iterator[Session]:
        """Give a session that sees one state of the registry and changes nothing."""
        with self._told(), self._engine.connect() as connection, Session(connection) as session:
            yield session

    @contextlib.contextmanager
    def writing(self) -> Iterator[Session]:
        """Give a session whose changes are all kept at the end, or none of them.

        Raises
        ------
        RegistryError
            Another program wrote for longer than ``wait_s``, or there is no space left.
        """
        with self._told(), self._engine.connect() as connection:
            connection = connection.execution_options(**{_WRITES: True})
            with connection.begin(), Session(connection, join_transaction_mode="rollback_only") as session:
                yield session
                session.commit()

    def forget_pages(self) -> None:
        """Take what was deleted out of the file's log too; a program that is reading delays it to the next write."""
        if self.is_file:
            with self._told(), contextlib.closing(sqlite3.connect(str(self.path), timeout=self._wait_s)) as file:
                file.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except (IntegrityError, DataError):
            raise  # of one row, not of the registry: who wrote it knows what to do
        except DBAPIError as fault:
            words = " ".join(str(fault.orig).split())
            advice = next((advice for key, advice in _ADVICE if key in words), "check the database and try again")
            said = advice.format(wait=self._wait_s)
            reason = "" if any(key in words for key, _ in _ADVICE) else f" ({words[:200]})"
            raise RegistryError(f"registry {self.shown}: {said}{reason}") from fault
        except OSError as fault:
            raise RegistryError(
                f"registry {self.shown}: {fault.strerror or fault}; set FLUOROSCOPE_HOME or name another file"
            ) from fault

    def _bring_up_to_date(self) -> None:
        with self._engine.connect() as connection:
            if _version(connection) == HEAD:
                return
        with self._engine.connect() as connection:
            connection = connection.execution_options(**{_WRITES: True})
            with connection.begin():
                standing = _version(connection)  # another program may have been quicker
                if standing == HEAD:
                    return
                self._refuse_foreign(connection, standing)
                if standing is not None and self.path is not None:
                    _back_up(self.path, standing)
                _migrate(connection)

    def _refuse_foreign(self, connection: Connection, standing: str | None) -> None:
        from fluoroscope.registry.steps import known_steps

        if standing is None and inspect(connection).get_table_names():
            raise RegistryError(f"registry {self.shown}: the database holds tables of something else; name another")
        if standing is not None and standing not in known_steps():
            raise RegistryError(
                f"registry {self.shown}: made by a newer version of this program (step {standing}, {HEAD} is known); "
                "install that version, nothing was changed"
            )


def _url(where: str) -> URL:
    if not where.strip():
        # An empty name is SQLite's word for a database that is gone when it is closed.
        raise RegistryError("registry: its name is empty; name a file, or leave --registry out")
    if "://" not in where:
        return URL.create("sqlite", database=where)
    try:
        url = make_url(where)
    except ArgumentError as fault:
        raise RegistryError(
            "registry: the URL cannot be read; write sqlite:///FILE or postgresql://USER@HOST/DATABASE"
        ) from fault
    if url.get_backend_name() == "postgresql":
        return url.set(drivername="postgresql+psycopg")
    if url.get_backend_name() != "sqlite" or not url.database or url.database == ":memory:":
        raise RegistryError(
            f"registry {url.render_as_string(hide_password=True)}: not known; write a file, sqlite:///FILE or "
            "postgresql://USER@HOST/DATABASE"
        )
    return url


def _shown(url: URL) -> str:
    return url.set(drivername="postgresql").render_as_string(hide_password=True).replace("%2F", "/")


def _is_file(url: URL) -> bool:
    return url.get_backend_name() == "sqlite"


def _engine(url: URL, wait_s: float) -> Engine:
    try:
        if not _is_file(url):
            return _server_engine(url, wait_s)
    except NoSuchModuleError as fault:
        raise RegistryError(f"registry {url.get_backend_name()}: this database is not known") from fault
    engine = create_engine(url, connect_args={"timeout": wait_s, "check_same_thread": False})

    @event.listens_for(engine, "connect")
    def _prepare(connection: sqlite3.Connection, _: Any) -> None:
        connection.isolation_level = None  # else the driver decides when a transaction begins
        _write_ahead(connection, wait_s)
        for pragma in ("foreign_keys = ON", "synchronous = FULL", "secure_delete = ON"):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        # A reader that turns into a writer cannot wait for another: who will write says so at once.
        writes = connection.get_execution_options().get(_WRITES, False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


def _write_ahead(connection: sqlite3.Connection, wait_s: float) -> None:
    """Turn the file's log on. SQLite itself waits for no other program here, who may be making the same file."""
    until = time.monotonic() + wait_s
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as fault:
            if "locked" not in str(fault) or time.monotonic() > until:
                raise
            time.sleep(_ASK_AGAIN_S)


def _server_engine(url: URL, wait_s: float) -> Engine:
    options = f"-c lock_timeout={round(1000 * wait_s)} -c timezone=UTC"
    engine = create_engine(
        url,
        isolation_level="REPEATABLE READ",
        pool_pre_ping=True,
        connect_args={"connect_timeout": 10, "options": options},
    )

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        if connection.get_execution_options().get(_WRITES, False):
            # Writers take turns, as in the file: none meets a row that another is about to add.
            connection.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL READ COMMITTED")
            connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_POSTGRES_LOCK})")

    return engine


def _version(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()


def _migrate(connection: Connection) -> None:
    from fluoroscope.registry.steps import run_steps

    run_steps(connection)


def _back_up(path: Path, standing: str) -> Path:
    """Copy a registry before its tables are changed: ``registry.sqlite.r0001-20261126-101500.backup``."""
    copy = path.with_name(f"{path.name}.{standing}-{datetime.now(UTC):{_MADE_UTC_FORMAT}}.backup")
    partial = copy.with_name(f".{copy.name}.partial")
    with contextlib.closing(sqlite3.connect(path)) as source, contextlib.closing(sqlite3.connect(partial)) as target:
        source.backup(target)
    partial.replace(copy)
    return copy
