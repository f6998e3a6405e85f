"""A registry in a file, and one on a PostgreSQL server that the test run starts itself."""

import os
import pwd
import shutil
import subprocess
import tempfile
from datetime import date, datetime
from pathlib import Path

import pytest

from fluoroscope.registry import Registry
from fluoroscope.registry.reports import Person, Report, ReportEvent, Totals


class Server:
    """A PostgreSQL server on a socket of its own; as root it runs as ``postgres``, which it insists on."""

    def __init__(self):
        programs = Path(max(Path("/usr/lib/postgresql").glob("*/bin/initdb"))).parent
        self._programs = programs
        self.folder = Path(tempfile.mkdtemp(prefix="pg-"))
        self._count = 0
        self._as = []
        if os.geteuid() == 0:
            user = pwd.getpwnam("postgres")
            os.chown(self.folder, user.pw_uid, user.pw_gid)
            self._as = ["runuser", "-u", "postgres", "--"]
        data = self.folder / "data"
        self._run("initdb", "-D", data, "-U", "fluoroscope", "-A", "trust", "-E", "UTF8", "--no-sync")
        self.up()

    def _run(self, program, *arguments):
        command = [*self._as, str(self._programs / program), *map(str, arguments)]
        subprocess.run(command, check=True, capture_output=True, cwd="/")

    def up(self):
        """Start it."""
        options = f"-k {self.folder} -c listen_addresses='' -c fsync=off -c max_connections=20"
        data, log = self.folder / "data", self.folder / "log"
        self._run("pg_ctl", "-D", data, "-w", "-l", log, "-o", options, "start")

    def down(self):
        """Take it away for a while; what it holds stays."""
        self._run("pg_ctl", "-D", self.folder / "data", "-m", "fast", "-w", "stop")

    def new_database(self):
        """Make an empty database and return its URL."""
        self._count += 1
        name = f"registry{self._count}"
        self._run("createdb", "-h", self.folder, "-U", "fluoroscope", name)
        return f"postgresql://fluoroscope@/{name}?host={self.folder}"

    def stop(self):
        self._run("pg_ctl", "-D", self.folder / "data", "-m", "immediate", "stop")
        shutil.rmtree(self.folder, ignore_errors=True)


@pytest.fixture(scope="session")
def postgres():
    server = Server()
    yield server
    server.stop()


BOTH = ["sqlite", pytest.param("postgresql", marks=pytest.mark.peer("postgresql"))]


@pytest.fixture(params=BOTH)
def registry_url(request, tmp_path):
    """Where an empty registry can be: a file, then a database."""
    if request.param == "sqlite":
        return str(tmp_path / "registry.sqlite")
    return request.getfixturevalue("postgres").new_database()


@pytest.fixture
def registry(registry_url):
    with Registry(registry_url) as opened:
        yield opened


@pytest.fixture(scope="session")
def make_report():
    """Give a factory of reports: ``make_report("1.2.3", kerma=[1.0, 2.0], …)``, one event for each kerma."""

    def make(sop_uid="1.2.3", kerma=(1.0, 2.0), first_event=1, with_uids=True, header=None, **changes):
        events = tuple(
            ReportEvent(
                number,
                uid=f"9.{first_event + number - 1}" if with_uids else "",
                kind="fluoroscopy",
                started=f"202611221000{first_event + number - 1:02d}",
                air_kerma_mgy=value,
                kap_gy_cm2=0.25 * value,
                duration_s=2.0 * value,
            )
            for number, value in enumerate(kerma, start=1)
        )
        summed = Totals(sum(kerma), 0.25 * sum(kerma), 2.0 * sum(kerma)) if kerma else Totals()
        values = {
            "sop_uid": sop_uid,
            "kind": "fluoroscopy",
            "person": Person("P-1", "", "Doe^Jane", date(1970, 5, 1), "F"),
            "study_uid": "2.25.77",
            "started": datetime(2026, 11, 22, 10, 0),
            "procedure": "Lumbar epidural",
            "manufacturer": "Maker",
            "model": "C-arm",
            "scope": "Study",
            "reference_point": "15 cm from the isocentre toward the source",
            "header": summed if header is None else header,
            "summed": summed,
            "events": events,
        }
        return Report(**{**values, **changes})

    return make
