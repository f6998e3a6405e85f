"""The projector: line integrals through voxel bodies and instruments, the geometry of an X-ray picture.

What goes in is `patient`'s volumes and scenes and `geometry`'s cone beam; what comes out is value·mm (for a
`BasisVolume`: mm of water and mm of bone) along the ray to every pixel centre. What a photon or a detector makes of it
is the business of the rooms above.

The field is trilinear between voxel centres and falls to zero over the one voxel beyond the outermost centres. Two
backends share this definition: ``fast`` (shear-warp Joseph in 16-bit whole numbers, see docs/explanations/projector.md)
and ``reference`` (a plain march in double precision). What the fast kernel cannot do right it hands to a march, and
what no kernel can do it refuses.
"""

from fluoroscope.projector.integrals import Backend, ProjectionRefusedError, project
from fluoroscope.projector.prepared import PreparedVolume, prepare
from fluoroscope.projector.scene import SceneProjector, project_scene
from fluoroscope.projector.simd import vector_level

__all__ = [
    "Backend",
    "PreparedVolume",
    "ProjectionRefusedError",
    "SceneProjector",
    "prepare",
    "project",
    "project_scene",
    "vector_level",
]
