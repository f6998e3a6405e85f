"""Hold the pedal for minutes and watch what grows: the real room, 512², 30 pulses a second, headless Chromium.

    python bench/soak_page.py --minutes 10 [--patient anna] [--matrix 512] [--rate 30] [--json FILE]

Every minute: pictures painted a second, latency from sent to painted (p50, p95 of the last 120 pictures, from the
server), heap of the page after a garbage collection, DOM nodes and listeners, memory of the server's process. The last
line says how far the second half lies from the first. Nothing may grow: exit code 1 if the heap or the nodes do by more
than the stated allowance, or the latency drifts.
"""

import argparse
import json
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import sync_playwright

from fluoroscope.app.serving import open_room
from fluoroscope.app.setup import RoomSetup
from fluoroscope.monitor.server import MonitorServer

FLAGS = [
    "--no-sandbox", "--disable-quic", "--disable-background-networking",
    "--use-angle=swiftshader", "--enable-unsafe-swiftshader",
]  # fmt: skip
HEAP_ALLOWANCE_MB = 3.0
NODES_ALLOWANCE = 200
LATENCY_ALLOWANCE_MS = 10.0
PRESS_S = 55.0
"""A press is let go before its minute is over, so that runs are written and listed as in use."""


def resident_mb() -> float:
    """Return the memory of this process that lies in RAM, MB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


@contextmanager
def seat(server: MonitorServer, width: int, height: int) -> Iterator[tuple[Any, Any]]:
    """Open the operator's page; give it and its debugger."""
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
        page = browser.new_page(viewport={"width": width, "height": height})
        page.goto(server.url)
        page.get_by_text("READY").first.wait_for(timeout=60_000)
        debugger = page.context.new_cdp_session(page)
        debugger.send("Performance.enable")
        yield page, debugger
        browser.close()


def measured(server: MonitorServer, debugger: Any, minute: int) -> dict[str, float]:
    """Return what a minute ends with."""
    debugger.send("HeapProfiler.collectGarbage")
    told = {one["name"]: one["value"] for one in debugger.send("Performance.getMetrics")["metrics"]}
    live = server.statistics()["pages"][0]["channels"]["live"]
    return {
        "minute": minute,
        "painted_fps": live["painted_fps"],
        "p50_ms": live["p50_ms"],
        "p95_ms": live["p95_ms"],
        "heap_mb": told["JSHeapUsedSize"] / 1e6,
        "nodes": told["Nodes"],
        "listeners": told["JSEventListeners"],
        "server_mb": resident_mb(),
    }


def soak(arguments: argparse.Namespace, scratch: Path) -> list[dict[str, float]]:
    """Hold the pedal, minute after minute."""
    room = open_room(RoomSetup(patient=arguments.patient, matrix=arguments.matrix), scratch)
    room.command("set_technique", {"pulse_rate_hz": arguments.rate})
    server = MonitorServer(room, port=0)
    server.start()
    rows: list[dict[str, float]] = []
    try:
        with seat(server, 1280, 800) as (page, debugger):
            for minute in range(1, arguments.minutes + 1):
                end = time.monotonic() + 60.0
                page.keyboard.down("Space")
                page.wait_for_timeout(PRESS_S * 1000.0)
                rows.append(measured(server, debugger, minute))
                page.keyboard.up("Space")
                page.wait_for_timeout(max(0.0, end - time.monotonic()) * 1000.0)
                say("  ".join(f"{name} {value:.6g}" for name, value in rows[-1].items()))
            pulses = room.status()["pulses"]
            say(f"pulses given {pulses['delivered']}, late and not given {pulses['dropped']}")
    finally:
        server.stop()
        room.close()
    return rows


def drift(rows: list[dict[str, float]]) -> dict[str, float]:
    """Return median of the second half minus that of the first (the first minute warms up and is left out)."""
    kept = rows[1:] if len(rows) > 3 else rows
    half = max(1, len(kept) // 2)
    return {
        name: statistics.median(row[name] for row in kept[-half:]) - statistics.median(row[name] for row in kept[:half])
        for name in rows[0]
        if name != "minute"
    }


def say(text: str) -> None:
    """Write a line at once."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def main() -> int:
    """Run as a script."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=int, default=10)
    parser.add_argument("--patient", default="anna")
    parser.add_argument("--matrix", type=int, default=512)
    parser.add_argument("--rate", type=float, default=30.0)
    parser.add_argument("--json", type=Path, help="also write the rows here")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        rows = soak(arguments, Path(scratch))
    moved = drift(rows)
    say("second half − first half:  " + "  ".join(f"{name} {value:+.4g}" for name, value in moved.items()))
    if arguments.json is not None:
        arguments.json.write_text(json.dumps({"rows": rows, "drift": moved}, indent=1) + "\n")
    grows = (
        moved["heap_mb"] > HEAP_ALLOWANCE_MB
        or moved["nodes"] > NODES_ALLOWANCE
        or moved["p50_ms"] > LATENCY_ALLOWANCE_MS
    )
    return 1 if grows else 0


if __name__ == "__main__":
    sys.exit(main())
