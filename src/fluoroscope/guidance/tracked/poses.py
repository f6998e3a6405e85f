"""Poses over time: the sender's clock brought to ours, and the pose at a moment between two that were told."""

from bisect import bisect_left
from collections import deque

import numpy as np
from numpy.typing import NDArray

from fluoroscope.geometry.rigid import Matrix

__all__ = ["ClockAlignment", "PoseTrack", "interpolated"]

_WINDOW_S = 30
_JUMP_NS = 10**9
_PARALLEL = 1.0 - 1e-9


class ClockAlignment:
    """Brings the sender's times to our monotonic clock by the quickest message of the last 30 s.

    A message takes a least time and a changing rest; received − sent is smallest for one without the rest. What is left
    is a constant latency (`latency`), with the jitter of network and system gone, and a slow drift of the clocks
    followed. A sender that gives no time, or whose clock jumps by more than a second, starts anew.
    """

    def __init__(self) -> None:
        self._least: deque[tuple[int, int]] = deque(maxlen=_WINDOW_S)

    @property
    def offset_ns(self) -> int | None:
        """Our monotonic time minus the sender's; None before the first message with a time."""
        return min((offset for _, offset in self._least), default=None)

    def moment(self, sent_ns: int, received_ns: int) -> int:
        """Return when the sender meant, in our monotonic time, ns; never after its arrival.

        Parameters
        ----------
        sent_ns
            By the sender's clock; 0 when he did not say.
        received_ns
            By our monotonic clock.
        """
        if sent_ns <= 0:
            return received_ns
        offset, second = received_ns - sent_ns, received_ns // 10**9
        known = self.offset_ns
        if known is not None and abs(offset - known) > _JUMP_NS:
            self._least.clear()
        if self._least and self._least[-1][0] == second:
            self._least[-1] = (second, min(offset, self._least[-1][1]))
        else:
            while self._least and self._least[0][0] <= second - _WINDOW_S:
                self._least.popleft()
            self._least.append((second, offset))
        return sent_ns + min(one for _, one in self._least)


class PoseTrack:
    """The last poses of one tool, in order of time.

    Parameters
    ----------
    keep
        How many.
    longest_gap_s
        Between poses further apart nothing is interpolated: the tool may have been anywhere.
    """

    def __init__(self, keep: int = 512, longest_gap_s: float = 0.25) -> None:
        if keep < 2:
            raise ValueError(f"a track keeps at least 2 poses, got {keep}")
        self._keep, self._gap_ns = keep, longest_gap_s * 1e9
        self._times: list[int] = []
        self._poses: list[Matrix] = []

    def __len__(self) -> int:
        """Return how many poses are kept."""
        return len(self._times)

    @property
    def newest_ns(self) -> int | None:
        """Time of the newest pose; None when there is none."""
        return self._times[-1] if self._times else None

    @property
    def newest(self) -> Matrix | None:
        """The newest pose."""
        return self._poses[-1] if self._poses else None

    def add(self, at_ns: int, pose: Matrix) -> bool:
        """Take a rigid (4, 4) of a moment; False, and nothing taken, when it is not newer than the newest."""
        if self._times and at_ns <= self._times[-1]:
            return False
        self._times.append(at_ns)
        self._poses.append(pose)
        if len(self._times) > self._keep:
            del self._times[0], self._poses[0]
        return True

    def clear(self) -> None:
        """Forget all."""
        self._times.clear()
        self._poses.clear()

    def at(self, at_ns: int) -> Matrix | None:
        """Return the pose at a moment between two that are kept; None outside, or in a gap too long."""
        after = bisect_left(self._times, at_ns)
        if after < len(self._times) and self._times[after] == at_ns:
            return self._poses[after]
        if after in (0, len(self._times)):
            return None
        begin_ns, end_ns = self._times[after - 1], self._times[after]
        if end_ns - begin_ns > self._gap_ns:
            return None
        return interpolated(self._poses[after - 1], self._poses[after], (at_ns - begin_ns) / (end_ns - begin_ns))

    def points(self, point_mm: NDArray[np.float64]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Return times (n,) and places (n, 3) of a point fixed in the tool."""
        places = [pose[:3, :3] @ point_mm + pose[:3, 3] for pose in self._poses]
        return np.array(self._times, dtype=np.int64), np.array(places).reshape(-1, 3)


def interpolated(first: Matrix, second: Matrix, share: float) -> Matrix:
    """Return the rigid (4, 4) between two: places on a line, turns about one axis at constant speed (slerp).

    Parameters
    ----------
    first, second
        Rigid.
    share
        0 gives ``first``, 1 ``second``.
    """
    begin, end = _quaternion(first[:3, :3]), _quaternion(second[:3, :3])
    cosine = float(begin @ end)
    if cosine < 0.0:
        end, cosine = -end, -cosine
    if cosine > _PARALLEL:
        mixed = (1.0 - share) * begin + share * end
    else:
        angle = np.arccos(cosine)
        mixed = (np.sin((1.0 - share) * angle) * begin + np.sin(share * angle) * end) / np.sin(angle)
    between = np.eye(4)
    between[:3, :3] = _turn(mixed / np.linalg.norm(mixed))
    between[:3, 3] = (1.0 - share) * first[:3, 3] + share * second[:3, 3]
    return between


def _quaternion(turn: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the unit quaternion (x, y, z, w) of a rotation (3, 3), by its largest part (Shepperd)."""
    trace = float(np.trace(turn))
    squares = np.append(2.0 * np.diag(turn) - trace, trace)
    largest = int(np.argmax(squares))
    if largest == 3:
        parts = np.array([turn[2, 1] - turn[1, 2], turn[0, 2] - turn[2, 0], turn[1, 0] - turn[0, 1], 1.0 + trace])
    else:
        i, j, k = largest, (largest + 1) % 3, (largest + 2) % 3
        parts = np.empty(4)
        parts[i] = 1.0 + 2.0 * turn[i, i] - trace
        parts[j], parts[k] = turn[j, i] + turn[i, j], turn[k, i] + turn[i, k]
        parts[3] = turn[k, j] - turn[j, k]
    return np.asarray(parts / np.linalg.norm(parts), dtype=np.float64)


def _turn(quaternion: NDArray[np.float64]) -> NDArray[np.float64]:
    x, y, z, w = quaternion
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    )
