"""The kernel that paints a solid into voxels: soft edges, a shell thinner than a voxel, trabeculae, lesions.

Its compiled form is kept by this file's date: change or touch it when `distances` changes.
"""

import numba
import numpy as np

from fluoroscope.patient.anatomy.distances import join, noise, roughness, shape_distance, take_away, within

__all__ = ["paint_solid"]

CONDENSED_HU, CONDENSED_MM = 300.0, 1.8
"""Spongiosa is denser toward its shell: by how much at the shell, and within what depth it falls to 1/e; assumed, set
by eye against radiographs."""
SHELL_VARIES = 0.45
"""Part by which the thickness of a shell varies from place to place; assumed."""


@numba.njit(**within)
def _shell(shape, y, z, usual):  # type: ignore[no-untyped-def]
    """Return the thickness of the rind of a shape: endplates and rims of a body are thicker than its walls."""
    if shape[23] <= 0.0:
        return usual
    if shape[0] != 5.0:
        return shape[23]
    top = 0.25 * (shape[5] + shape[6]) - 0.5 * (shape[5] - shape[6]) / (shape[3] + shape[4]) * y
    t = min(1.0, max(0.0, 5.0 * abs(z) / top - 3.7))
    return shape[23] * (0.45 + 0.55 * t)


@numba.njit(cache=True, nogil=True, error_model="numpy")
def paint_solid(  # type: ignore[no-untyped-def]
    start, stop, hu, labels, first, pitch, solid_from_canvas, shapes, holes, boxes, lesions, how
):
    """Paint into planes ``start`` to ``stop`` of a box of a canvas.

    ``how``: HU inside, of the shell, thickness of the shell, joint, cut, label, size of the texture in HU and mm,
    roughness in mm and its phase.
    """
    m = solid_from_canvas
    inside_hu, shell_hu, joint, cut = how[0], how[1], how[3], how[4]
    near = np.empty(shapes.shape[0], np.int64)
    for i in range(start, stop):
        cz = first[2] + i * pitch
        for j in range(hu.shape[1]):
            cy = first[1] + j * pitch
            count = 0
            left, right = 1e9, -1e9
            for n in range(shapes.shape[0]):
                if boxes[n, 1] <= cy <= boxes[n, 4] and boxes[n, 2] <= cz <= boxes[n, 5]:
                    near[count] = n
                    count += 1
                    left, right = min(left, boxes[n, 0]), max(right, boxes[n, 3])
            if count == 0:
                continue
            begin = max(0, int(np.floor((left - first[0]) / pitch)))
            for k in range(begin, min(hu.shape[2], int(np.ceil((right - first[0]) / pitch)) + 1)):
                cx = first[0] + k * pitch
                x = m[0, 0] * cx + m[0, 1] * cy + m[0, 2] * cz + m[0, 3]
                y = m[1, 0] * cx + m[1, 1] * cy + m[1, 2] * cz + m[1, 3]
                z = m[2, 0] * cx + m[2, 1] * cy + m[2, 2] * cz + m[2, 3]
                d, nearest, shell = 1e9, 1e9, 0.0
                for c in range(count):
                    n = near[c]
                    if cx < boxes[n, 0] or cx > boxes[n, 3]:
                        continue
                    e = shape_distance(shapes[n], x, y, z)
                    if e < nearest:
                        nearest = e
                        shell = _shell(shapes[n], y, z, how[2])
                    d = join(d, e, shapes[n, 22] if shapes[n, 22] > 0.0 else joint)
                if d > pitch + how[8]:
                    continue
                rough = roughness(x, y, z, how[8], how[9])
                d = take_away(d + rough, holes, x, y, z, cut, rough)
                cover = min(1.0, max(0.0, 0.5 - d / pitch))
                if cover <= 0.0:
                    continue
                value = inside_hu
                if how[6] > 0.0:
                    fine, coarse = how[7], 3.5 * how[7]
                    # Trabeculae stand in columns along z: across them the beam finds streaks, not grains.
                    value += how[6] * noise(x / fine, y / fine, z / (5.0 * fine))
                    value += 0.8 * how[6] * noise(x / coarse, y / coarse, z / (1.6 * coarse))
                if shell > 0.0:
                    shell *= 1.0 + SHELL_VARIES * noise(x / 5.0 + 31.0, y / 5.0, z / 5.0)
                    value += CONDENSED_HU * np.exp(min(0.0, d + shell) / CONDENSED_MM)
                    core = min(1.0, max(0.0, 0.5 - (d + shell) / pitch))
                    value = shell_hu + core * (value - shell_hu)
                for n in range(lesions.shape[0]):
                    dx, dy, dz = x - lesions[n, 0], y - lesions[n, 1], z - lesions[n, 2]
                    # A rim as ragged as the noise: lesions have no drawn edge.
                    ragged = 0.25 * lesions[n, 3] * noise(0.3 * x + 7.0, 0.3 * y, 0.3 * z)
                    t = 0.5 + (lesions[n, 3] + ragged - np.sqrt(dx * dx + dy * dy + dz * dz)) / lesions[n, 5]
                    t = min(1.0, max(0.0, t))
                    value += t * (lesions[n, 4] - value)
                hu[i, j, k] += cover * (value - hu[i, j, k])
                if how[5] > 0.0 and cover > 0.5:
                    labels[i, j, k] = int(how[5])
