"""From standing to lying: the drawn spine may lean over its pelvis; on a table pelvis and chest rest at one height."""

from dataclasses import replace

import numpy as np

from fluoroscope.patient.anatomy.bone import Bone, Canal, Skeleton

__all__ = ["laid_down"]


def laid_down(skeleton: Skeleton) -> tuple[Skeleton, float]:
    """Turn a skeleton about the left-right axis through the origin until its highest vertebra is level with S1.

    Returns
    -------
    The turned skeleton, and by how many degrees it leaned forward before. Nothing but the posture changes: slope
    falls and tilt rises by the turn, incidence and lordosis stay.
    """
    highest = max(skeleton.frames.values(), key=lambda frame: float(frame[2, 3]))
    along = highest[:3, 3] - skeleton.frames["sacrum"][:3, 3]
    # Rounded, so that the last bits of a machine's tangent do not reach the voxels.
    lean_deg = round(float(np.degrees(np.arctan2(-along[1], along[2]))), 2)
    cosine, sine = np.round([np.cos(np.radians(lean_deg)), np.sin(np.radians(lean_deg))], 12)
    turn = np.eye(4)
    turn[1:3, 1:3] = [[cosine, sine], [-sine, cosine]]
    bones = tuple(
        Bone(
            bone.name,
            tuple(replace(one, world_from_solid=turn @ one.world_from_solid) for one in bone.solids),
            bone.frame,
        )
        for bone in skeleton.bones
    )
    canal = Canal(
        skeleton.canal.centers_mm @ turn[:3, :3].T, skeleton.canal.half_width_mm, skeleton.canal.half_depth_mm
    )
    landmarks = {}
    for name, one in skeleton.landmarks.items():
        x, y, z = (float(value) for value in turn[:3, :3] @ np.array(one.position_mm))
        landmarks[name] = replace(one, position_mm=(x, y, z))
    joints = tuple(replace(one, world_from_disc=turn @ one.world_from_disc) for one in skeleton.joints)
    frames = {name: turn @ frame for name, frame in skeleton.frames.items()}
    return Skeleton(bones, frames, joints, canal, landmarks), lean_deg
