"""A clock that only moves when told to, or when somebody waits on it."""

import threading
from datetime import UTC, datetime, timedelta


class ManualClock:
    """Waiting moves the time on at once, so a run of minutes takes no time; `advance` makes things late."""

    def __init__(self) -> None:
        self.now_ns = 1_000_000_000
        self.on_wait = None

    def monotonic_ns(self) -> int:
        return self.now_ns

    def utc_now(self) -> datetime:
        return datetime(2026, 1, 1, tzinfo=UTC) + timedelta(microseconds=self.now_ns / 1000)

    def advance(self, milliseconds: float) -> None:
        self.now_ns += round(milliseconds * 1e6)

    def wait_until(self, due_ns: int, wake: threading.Event) -> bool:
        if self.on_wait is not None:
            self.on_wait(due_ns)
        if wake.is_set():
            return False
        self.now_ns = max(self.now_ns, due_ns)
        return True
