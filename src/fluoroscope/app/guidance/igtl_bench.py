"""How fast pictures go to an OpenIGTLink peer on this computer."""

import threading
import time
from typing import Any

import numpy as np

from fluoroscope.acquisition.clock import PulseTimer, SystemClock
from fluoroscope.sources.openigtlink import Arrived, Image, LinkAddress, LinkClient, LinkServer, LinkState, Transform

__all__ = ["link_rows"]

RATE_HZ = 30.0
Row = dict[str, Any]


def link_rows(pixels: int = 1024, seconds: float = 3.0) -> list[Row]:
    """Return how many of the pictures and poses of a 30 Hz stream arrive, and how late, at a peer that checks them."""
    rng = np.random.default_rng(1)
    pictures = [rng.integers(0, 65535, (pixels, pixels)).astype(np.uint16) for _ in range(4)]
    late_ms: list[float] = []
    poses = threading.Event()

    def take(arrived: Arrived) -> None:
        if isinstance(arrived.content, Image):
            late_ms.append((time.time_ns() - arrived.sent_ns) / 1e6)
        else:
            poses.set()

    server = LinkServer(port=0)
    client = LinkClient(LinkAddress(server.host, server.port), take)
    try:
        if not client.wait_for(LinkState.CONNECTED, 10.0):
            raise RuntimeError(f"OpenIGTLink: {client.reason}")
        while not server.has_peers:
            time.sleep(0.01)
        offered, spent_s = _stream(server, pictures, seconds)
        poses.wait(2.0)
        dropped = server.status().dropped
    finally:
        client.close()
        server.close()
    size = f"{pixels}² uint16, {RATE_HZ:g} Hz, {seconds:g} s"
    stages = "encode, CRC-64, loopback, check and decode in the same process"
    quick = [float(np.quantile(late_ms, share)) for share in (0.05, 0.5, 0.95)] if late_ms else [0.0, 0.0, 0.0]
    common = {"size": size, "stages": stages}
    return [
        {
            "id": f"igtl.arrived.{pixels}",
            "what": f"OpenIGTLink pictures arrived over offered, {dropped} messages dropped",
            **common,
            "value": len(late_ms) / offered,
            "unit": "1",
            "spread": None,
        },
        {
            "id": f"igtl.late.{pixels}",
            "what": "OpenIGTLink, offered to decoded by the peer",
            **common,
            "value": quick[1],
            "unit": "ms",
            "spread": [quick[0], quick[2]],
        },
        {
            "id": f"igtl.processor.{pixels}",
            "what": "OpenIGTLink, processor time of both ends for a picture",
            **common,
            "value": 1000.0 * spent_s / offered,
            "unit": "ms",
            "spread": None,
        },
    ]


def _stream(server: LinkServer, pictures: list[Any], seconds: float) -> tuple[int, float]:
    """Offer pictures and poses at the rate; return how many pictures, and the processor time spent, s."""
    timer, never = PulseTimer(RATE_HZ, SystemClock()), threading.Event()
    began_s, until_s, offered = time.process_time(), time.monotonic() + seconds, 0
    while time.monotonic() < until_s:
        timer.next(never)
        server.publish("SourceToEquipment", Transform(np.eye(4)), time.time_ns())
        server.publish("Fluoroscopy", Image(pictures[offered % len(pictures)]), time.time_ns())
        offered += 1
    time.sleep(0.2)
    return offered, time.process_time() - began_s
