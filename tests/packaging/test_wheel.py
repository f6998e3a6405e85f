"""What is given to others: source archive and wheel; the wheel alone, without Node or sources, opens the room."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]
CHROMIUM_FLAGS = ["--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]
pytestmark = pytest.mark.peer("uv")


@dataclass(frozen=True)
class Built:
    """The two archives, and what is in them (paths inside the source archive without its top folder)."""

    sdist: Path
    wheel: Path
    in_sdist: frozenset[str]
    in_wheel: frozenset[str]


def run(*words, **settings):
    done = subprocess.run([*map(str, words)], capture_output=True, text=True, timeout=240, check=False, **settings)
    assert done.returncode == 0, f"{words}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def uv_program():
    import uv

    return uv.find_uv_bin()


@pytest.fixture(scope="module")
def built(tmp_path_factory, uv_program) -> Built:
    """Build the source archive, and the wheel from nothing but that archive."""
    out = tmp_path_factory.mktemp("dist")
    settings = {"UV_SYSTEM_CERTS": "1", **os.environ}
    run(uv_program, "build", "--quiet", "--python", sys.executable, "--out-dir", out, ROOT, env=settings)
    (sdist,), (wheel,) = out.glob("*.tar.gz"), out.glob("*.whl")
    with tarfile.open(sdist) as archive:
        in_sdist = frozenset(name.split("/", 1)[1] for name in archive.getnames())
    with zipfile.ZipFile(wheel) as archive:
        in_wheel = frozenset(archive.namelist())
    return Built(sdist, wheel, in_sdist, in_wheel)


@pytest.fixture(scope="module")
def installed(built, tmp_path_factory, uv_program) -> Path:
    """Install the wheel and the locked requirements into an empty environment; return its folder of programs."""
    folder = tmp_path_factory.mktemp("installed") / "venv"
    settings = {"UV_SYSTEM_CERTS": "1", "UV_LINK_MODE": "copy", **os.environ}
    python = folder / "bin" / "python"
    run(uv_program, "venv", "--quiet", "--python", sys.executable, folder, env=settings)
    install = [uv_program, "pip", "install", "--quiet", "--python", python]
    run(*install, "--require-hashes", "-r", ROOT / "requirements" / "core.txt", env=settings)
    run(*install, "--no-deps", "--no-index", built.wheel, env=settings)
    run(uv_program, "pip", "check", "--quiet", "--python", python, env=settings)
    yield folder / "bin"
    shutil.rmtree(folder)  # Half a gigabyte each time.


def test_the_wheel_holds_the_page_the_licence_and_the_types(built):
    assert "fluoroscope/py.typed" in built.in_wheel
    assert "fluoroscope/monitor/static/index.html" in built.in_wheel
    # The page bundles libraries of others: their licences go with it.
    assert "fluoroscope/monitor/static/licences.txt" in built.in_wheel
    assert {Path(name).suffix for name in built.in_wheel if "/static/assets/" in name} == {".js", ".css"}
    (licence,) = (name for name in built.in_wheel if name.endswith(".dist-info/licenses/LICENSE"))
    with zipfile.ZipFile(built.wheel) as archive:
        assert archive.read(licence) == (ROOT / "LICENSE").read_bytes()
    sources = (path for path in (ROOT / "src").rglob("*") if path.suffix in (".py", ".toml", ".csv", ".npz"))
    assert {path.relative_to(ROOT / "src").as_posix() for path in sources} <= built.in_wheel
    assert all(name.startswith(("fluoroscope/", "fluoroscope-")) for name in built.in_wheel)
    assert built.wheel.stat().st_size < 5e6


def test_the_source_archive_holds_the_sources_and_nothing_built(built):
    assert {
        "pyproject.toml",
        "LICENSE",
        "README.md",
        "scripts/build_page.py",
        "web/package-lock.json",
    } <= built.in_sdist
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout: what is a source is not known")
    listed = run("git", "-C", ROOT, "ls-files", "--cached", "--others", "--exclude-standard").splitlines()
    assert built.in_sdist - set(listed) == {"PKG-INFO"}


@pytest.mark.browser
@pytest.mark.peer("chromium")
def test_the_installed_wheel_opens_the_room_and_x_ray_is_seen(installed, tmp_path, peer_program):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    alone = {"PATH": str(installed), "HOME": str(tmp_path), "FLUOROSCOPE_HOME": str(tmp_path / "data")}
    assert shutil.which("node", path=alone["PATH"]) is None
    settings = {"env": alone, "cwd": elsewhere}
    place = run(installed / "python", "-c", "import fluoroscope; print(fluoroscope.__file__)", **settings)
    assert Path(place.strip()).is_relative_to(installed.parent)
    assert run(installed / "fluoroscope", "--version", **settings).startswith("fluoroscope 0")
    process = subprocess.Popen(
        [installed / "fluoroscope", "run", "--no-open", "--port", "0", "--matrix", "512"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        **settings,
    )
    try:
        said = []
        for line in process.stdout:
            said.append(line)
            if "the room is open: " in line:
                break
        assert "the room is open: " in said[-1], "".join(said)
        pixels = expose_and_hold(said[-1].split("the room is open: ")[1].strip(), peer_program("chromium"))
        process.send_signal(signal.SIGINT)
        said.append(process.stdout.read())
        assert process.wait(60) == 0, "".join(said)
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
    assert "closed" in said[-1]
    assert "Traceback" not in "".join(said)
    # A picture with a patient in it has many greys.
    assert pixels.size == 512 * 512
    assert np.unique(pixels).size > 500
    exams = json.loads(run(installed / "fluoroscope", "exams", "list", "--json", **settings))
    assert [exam["runs"] for exam in exams["exams"]] in ([1], [2], [3], [4])


def expose_and_hold(url, chromium):
    """Hold the pedal until pulses were painted, let go; return the pixels of the held image."""
    from playwright.sync_api import TimeoutError as TooLong
    from playwright.sync_api import expect, sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=CHROMIUM_FLAGS)
        page = browser.new_page(viewport={"width": 1280, "height": 800})
        said = []
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.goto(url)
        page.goto(f"{url.split('?', 1)[0]}?probe")
        expect(page.locator(".state")).to_have_text("READY")
        # A computer busy with other work may miss the heartbeat for 700 ms, which ends X-ray: then press again.
        for attempt in range(4):
            page.keyboard.down("Space")
            with contextlib.suppress(*([TooLong] if attempt < 3 else [])):
                page.wait_for_function(
                    "() => { const probe = window.fluoroscopeProbe;"
                    " return probe.kind('live') === 'live' && probe.index('live') >= 3; }",
                    timeout=15_000,
                )
                break
            page.keyboard.up("Space")
        page.keyboard.up("Space")
        expect(page.locator(".state")).to_have_text("HOLD")
        page.wait_for_function("() => window.fluoroscopeProbe.kind('live') === 'hold'")
        pixels = np.array(page.evaluate("window.fluoroscopeProbe.pixels('live')"), dtype=np.uint16)
        browser.close()
    assert said == []
    return pixels
