"""Intervertebral discs: annulus and nucleus between two bodies, bulging and holding gas when worn."""

from collections.abc import Mapping

import numba
import numpy as np

from fluoroscope.patient.anatomy.soft import DOOR, Grain, box_origin, chain, noise_at, shape_box, texture, textured
from fluoroscope.patient.anatomy.solids import Canvas
from fluoroscope.patient.anatomy.structures import structure
from fluoroscope.patient.parts import DiscJoint

__all__ = ["disc_box", "disc_structure", "paint_disc"]


def disc_structure(joint: DiscJoint) -> str:
    """Return the structure's name, "disc_L3_L4"."""
    return f"disc_{joint.name}"


def disc_box(canvas: Canvas, joint: DiscJoint):  # type: ignore[no-untyped-def]
    """Return slices of the voxels a disc can reach."""
    return shape_box(canvas, chain(joint.world_from_disc[:3, 3], 0.62 * max(joint.width_mm, joint.depth_mm)), 2.0)


def paint_disc(canvas: Canvas, noise: Grain, joint: DiscJoint, vacuum: float, kept: Mapping[str, bool]) -> None:
    """Paint a disc a little into the endplates, which are painted over it.

    Parameters
    ----------
    canvas, noise
        Where, and mottle.
    joint
        Place and sizes.
    vacuum
        Share of the disc that is gas, 0 to 1.
    kept
        Structures a disc may press aside; it is not painted over what lies in the canal.
    """
    box = disc_box(canvas, joint)
    over = np.ones(256, dtype=np.bool_)
    for name, pressed in kept.items():
        over[structure(name).label] = pressed
    over[0] = False
    bulge = 1.0 + 0.05 * joint.degeneration
    sizes = [joint.width_mm * 0.5 * bulge, joint.depth_mm * 0.5 * bulge, joint.anterior_mm, joint.posterior_mm]
    how = np.round([*sizes, vacuum, float(structure(disc_structure(joint)).label)], 4)
    rows = np.stack([texture(name).row() for name in ("annulus", "nucleus", "gas")])
    disc_from_world = np.round(np.linalg.inv(joint.world_from_disc), 9)
    hu, labels = canvas.hu[box], canvas.labels[box]
    _paint_disc(hu, labels, box_origin(canvas, box), canvas.pitch_mm, disc_from_world, how, rows, noise, over)


@numba.njit(**DOOR)
def _paint_disc(hu, labels, first, pitch, m, how, rows, noise, over):  # type: ignore[no-untyped-def]
    for i in range(hu.shape[0]):
        wz = first[2] + i * pitch
        for j in range(hu.shape[1]):
            wy = first[1] + j * pitch
            for k in range(hu.shape[2]):
                if not over[labels[i, j, k]]:
                    continue
                wx = first[0] + k * pitch
                x = m[0, 0] * wx + m[0, 1] * wy + m[0, 2] * wz + m[0, 3]
                y = m[1, 0] * wx + m[1, 1] * wy + m[1, 2] * wz + m[1, 3]
                z = m[2, 0] * wx + m[2, 1] * wy + m[2, 2] * wz + m[2, 3]
                u, v = x / how[0], y / how[1]
                half = 0.5 * (how[2] + (how[3] - how[2]) * 0.5 * (1.0 + v))
                flat = abs(z) - half - 3.0
                if flat > pitch or u * u + v * v > 1.9:
                    continue
                # A flattened outline: the fourth root of the sum of fourth powers, mixed with a circle's.
                round_out, square = np.sqrt(u * u + v * v), np.sqrt(np.sqrt(u * u * u * u + v * v * v * v))
                rho = 0.6 * round_out + 0.4 * square
                d = max((rho - 1.0) * how[1], flat)
                cover = min(1.0, max(0.0, 0.5 - d / pitch))
                if cover <= 0.0:
                    continue
                value = textured(rows[0], noise, wx, wy, wz)
                core = min(1.0, max(0.0, (0.68 - rho) * 5.0))
                value += core * (textured(rows[1], noise, wx, wy, wz) - value)
                if how[4] > 0.0:
                    # Clefts: thin lenses in the middle of the height.
                    lens = (0.5 * how[4] + 0.25) * max(0.0, 0.85 - rho) * half
                    cleft = abs(z + 0.8 * noise_at(noise, x * 0.2, y * 0.2, 1.0)) - lens
                    cleft -= 0.6 * noise_at(noise, x * 0.25 + 7.0, y * 0.25, z * 0.3)
                    gas = min(1.0, max(0.0, 0.5 - cleft / pitch)) if rho < 0.85 else 0.0
                    value += gas * (textured(rows[2], noise, wx, wy, wz) - value)
                hu[i, j, k] += cover * (value - hu[i, j, k])
                if cover > 0.5:
                    labels[i, j, k] = int(how[5])
