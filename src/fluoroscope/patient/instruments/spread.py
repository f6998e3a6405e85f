"""How far it is through tissue: arrival of a front that starts at a point, and how far a volume fills it."""

import numba
import numpy as np
from numpy.typing import NDArray

__all__ = ["arrival", "filled_to"]

Float = NDArray[np.float64]


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _sift_up(keys, items, at):  # type: ignore[no-untyped-def]
    key, item = keys[at], items[at]
    while at > 0:
        above = (at - 1) // 2
        if keys[above] <= key:
            break
        keys[at], items[at] = keys[above], items[above]
        at = above
    keys[at], items[at] = key, item


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _sift_down(keys, items, size):  # type: ignore[no-untyped-def]
    at = 0
    key, item = keys[0], items[0]
    while True:
        below = 2 * at + 1
        if below >= size:
            break
        if below + 1 < size and keys[below + 1] < keys[below]:
            below += 1
        if keys[below] >= key:
            break
        keys[at], items[at] = keys[below], items[below]
        at = below
    keys[at], items[at] = key, item


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _update(times, done, a, b, c, slowness, spacing, parts, steps):  # type: ignore[no-untyped-def]
    """Solve the upwind quadratic of one voxel from the neighbours that are done."""
    count = 0
    for axis in range(3):
        low, high = np.inf, np.inf
        if axis == 0:
            if a > 0 and done[a - 1, b, c]:
                low = times[a - 1, b, c]
            if a < times.shape[0] - 1 and done[a + 1, b, c]:
                high = times[a + 1, b, c]
        elif axis == 1:
            if b > 0 and done[a, b - 1, c]:
                low = times[a, b - 1, c]
            if b < times.shape[1] - 1 and done[a, b + 1, c]:
                high = times[a, b + 1, c]
        else:
            if c > 0 and done[a, b, c - 1]:
                low = times[a, b, c - 1]
            if c < times.shape[2] - 1 and done[a, b, c + 1]:
                high = times[a, b, c + 1]
        least = min(low, high)
        if least < np.inf:
            at = count
            while at > 0 and parts[at - 1] > least:
                parts[at], steps[at] = parts[at - 1], steps[at - 1]
                at -= 1
            parts[at], steps[at] = least, spacing[axis]
            count += 1
    best = parts[0] + slowness * steps[0]
    qa, qb, qc = 0.0, 0.0, -slowness * slowness
    for n in range(count):
        if n > 0 and best <= parts[n]:
            break
        inverse = 1.0 / (steps[n] * steps[n])
        qa += inverse
        qb += parts[n] * inverse
        qc += parts[n] * parts[n] * inverse
        discriminant = qb * qb - qa * qc
        if discriminant >= 0.0:
            best = (qb + np.sqrt(discriminant)) / qa
    return best


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _march(cost, spacing, seeds, seed_times, room, enough):  # type: ignore[no-untyped-def]
    """First-order fast marching: |∇T| = cost, upwind; a voxel of no room is a wall."""
    n0, n1, n2 = cost.shape
    stride0, stride1 = n1 * n2, n2
    open_count = 0
    for i in range(n0):
        for j in range(n1):
            for k in range(n2):
                if room[i, j, k] > 0.0:
                    open_count += 1
    keys = np.empty(6 * open_count + len(seeds) + 8, np.float32)
    items = np.empty(len(keys), np.int64)
    times = np.full(cost.shape, np.inf, np.float32)
    done = np.zeros(cost.shape, np.bool_)
    size = 0
    for n in range(len(seeds)):
        i, j, k = seeds[n]
        if room[i, j, k] > 0.0:
            times[i, j, k] = seed_times[n]
            keys[size], items[size] = seed_times[n], i * stride0 + j * stride1 + k
            _sift_up(keys, items, size)
            size += 1
    inside = 0.0
    parts = np.empty(3)
    steps = np.empty(3)
    while size > 0 and inside < enough:
        key, item = keys[0], items[0]
        size -= 1
        keys[0], items[0] = keys[size], items[size]
        _sift_down(keys, items, size)
        i, j, k = item // stride0, (item % stride0) // stride1, item % stride1
        if done[i, j, k] or key > times[i, j, k]:
            continue
        done[i, j, k] = True
        inside += room[i, j, k]
        for side in range(6):
            step = 1 if side % 2 else -1
            a = i + step if side < 2 else i
            b = j + step if 2 <= side < 4 else j
            c = k + step if side >= 4 else k
            if a < 0 or b < 0 or c < 0 or a >= n0 or b >= n1 or c >= n2:
                continue
            if done[a, b, c] or room[a, b, c] <= 0.0:
                continue
            best = _update(times, done, a, b, c, cost[a, b, c], spacing, parts, steps)
            if best < times[a, b, c]:
                times[a, b, c] = best
                keys[size], items[size] = best, a * stride0 + b * stride1 + c
                _sift_up(keys, items, size)
                size += 1
    for i in range(n0):
        for j in range(n1):
            for k in range(n2):
                if not done[i, j, k]:
                    times[i, j, k] = np.inf
    return times


def arrival(
    cost: NDArray[np.float32], room: NDArray[np.float32], spacing_mm: Float, start: Float, enough: float
) -> NDArray[np.float32]:
    """Return how far each voxel is from a point through tissue, by fast marching (Sethian 1996, doi:10.1073/pnas.93.4.1591).

    Parameters
    ----------
    cost
        (n0, n1, n2) at least 1: how many mm of easy way a mm counts for.
    room
        (n0, n1, n2) share of the voxel that can be filled; 0 is a wall.
    spacing_mm
        (3,).
    start
        (3,) index of the point, not rounded; the nearest open voxels within 4 mm begin.
    enough
        Stop when the voxels reached hold this sum of ``room``.

    Returns
    -------
    float32 (n0, n1, n2), mm; infinite where it does not reach.
    """  # noqa: E501
    reach = np.ceil(4.0 / spacing_mm).astype(int)
    middle = np.rint(start).astype(int)
    low, high = np.maximum(middle - reach, 0), np.minimum(middle + reach + 1, cost.shape)
    grid = np.stack(np.meshgrid(*(np.arange(a, b) for a, b in zip(low, high, strict=True)), indexing="ij"), -1)
    around = grid.reshape(-1, 3)
    away = np.linalg.norm((around - start) * spacing_mm, axis=1)
    free = (room[tuple(around.T)] > 0.0) & (away <= 4.0)
    if not free.any():
        return np.full(cost.shape, np.inf, np.float32)
    near = free & (away <= away[free].min() + 1.5 * float(spacing_mm.max()))
    seeds = around[near].astype(np.int64)
    times = (away[near] * cost[tuple(seeds.T)]).astype(np.float32)
    result: NDArray[np.float32] = _march(cost, spacing_mm, seeds, times, room, float(enough))
    return result


@numba.njit(cache=True, nogil=True, error_model="numpy")
def filled_to(order, room, edge, wanted):  # type: ignore[no-untyped-def]
    """Return how full each voxel is, ``room · clip((level − order)/edge, 0, 1)`` with their sum as wanted.

    All are full when there is not room enough.
    """
    total, low, high = 0.0, np.inf, -np.inf
    for n in range(order.size):
        total += room[n]
        low, high = min(low, order[n]), max(high, order[n])
    low, high = low + 1e-3 * edge, high + edge
    full = total <= wanted
    while not full and high - low > 1e-3:
        level = 0.5 * (low + high)
        held = 0.0
        for n in range(order.size):
            share = level - order[n]
            if share > 0.0:
                held += room[n] * min(share / edge, 1.0)
        if held < wanted:
            low = level
        else:
            high = level
    shares = np.empty(order.size)
    for n in range(order.size):
        shares[n] = room[n] * min(max((high - order[n]) / edge, 0.0), 1.0)
    return shares
