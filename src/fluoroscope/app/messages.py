"""Messages to the operator that stay on the page until they are acknowledged."""

import threading
from collections.abc import Iterable

from fluoroscope.app.exam import Exam
from fluoroscope.monitor.control import RefusedError

__all__ = ["Messages"]


class Messages:
    """The messages of a room, in the order they were said. Safe for several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: list[dict[str, str]] = []
        self._count = 0

    def tell(self, level: str, text: str) -> None:
        """Say something; ``level`` is "info", "warning" or "stop"."""
        with self._lock:
            self._count += 1
            self._kept.append({"id": f"m{self._count}", "level": level, "text": text})

    def take_from(self, exam: Exam) -> None:
        """Say what an exam has to say."""
        self.take(exam.take_messages())

    def take(self, said: Iterable[tuple[str, str]]) -> None:
        """Say what somebody has left: (level, text)."""
        for level, text in said:
            self.tell(level, text)

    def acknowledge(self, name: str) -> None:
        """Take a message away.

        Raises
        ------
        RefusedError
            When it is gone already.
        """
        with self._lock:
            left = [message for message in self._kept if message["id"] != name]
            if len(left) == len(self._kept):
                raise RefusedError(f"message {name} is gone")
            self._kept = left

    def told(self, fault: str = "") -> list[dict[str, str]]:
        """Return the messages, JSON-ready; a fault comes first and is acknowledged as "fault"."""
        with self._lock:
            messages = [dict(message) for message in self._kept]
        return [{"id": "fault", "level": "stop", "text": fault}, *messages] if fault else messages

    def untold(self) -> list[str]:
        """Return what the operator must still be told when the room is closed."""
        with self._lock:
            return [message["text"] for message in self._kept if message["level"] == "stop"]
