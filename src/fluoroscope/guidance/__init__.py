"""Where the needle has to go, and where it is: registration, level labels, needle detection, planning.

Everything here works on an `XRayView`: one picture in nepers of attenuation and the cone beam it was taken with. The
world of that beam is the equipment frame (origin at the isocentre, axes of a head-first supine patient's LPS), so what
registration finds is ``equipment_from_ct``. Ground truth is never seen here: `evaluation` compares.
"""

from fluoroscope.guidance.view import XRayView, attenuation_of, view_of

__all__ = ["XRayView", "attenuation_of", "view_of"]
