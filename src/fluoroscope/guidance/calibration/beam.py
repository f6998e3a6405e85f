"""The beam of one picture of a bead phantom, or the pose of one with a fiducial."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fluoroscope.geometry.pose import BeamAxes, CArmPose, angles_from_axes, wrap_deg
from fluoroscope.geometry.projection import ProjectionGeometry
from fluoroscope.guidance.calibration.beads import Bead, find_beads
from fluoroscope.guidance.calibration.identify import identify, nearest_pairs
from fluoroscope.guidance.calibration.phantom import BeadPhantom
from fluoroscope.guidance.calibration.solving import Beam, BeamFit, fit_beam, linear_beam, pixels_of
from fluoroscope.guidance.view import XRayView

__all__ = ["CalibratedBeam", "CalibrationError", "calibrate_beam", "pose_from_fiducial"]

Float = NDArray[np.float64]
Index = NDArray[np.int64]
FEWEST_BEADS, FEWEST_FIDUCIAL = 12, 6
GOOD_PX = 0.3
"""Reprojection error (RMS) of a good calibration (`reference/guidance.md` §4.4)."""
POOR_PX = 1.0
"""Beyond it the spots are not those beads, or the picture is distorted."""
OUTLIER_PX = 3.0
TRIM, LEAST_TRIM_PX = 4.0, 0.1
"""Spots farther from their bead than this many medians are left out, but none nearer than this."""


class CalibrationError(ValueError):
    """A picture that calibrates nothing; one line: what, and what to do."""


@dataclass(frozen=True, slots=True)
class CalibratedBeam:
    """A beam in the frame of the phantom, which is the equipment frame when the phantom lies as its marks say.

    Attributes
    ----------
    geometry
        The projection, its principal point where it was found.
    pose
        The same as a C-arm, apart from ``detector_offset_mm``: the isocentre is the point of the central ray nearest
        to the phantom's origin.
    principal_px
        (row, column) where the central ray meets the detector.
    detector_offset_mm
        From there to the middle of the detector along (rows, columns).
    rms_px
        Of the beads' pixels.
    beads_found, beads_used
        Spots in the picture, and those of them that are beads of the phantom.
    sigma
        1 σ by name: source_mm (3,), turn_deg (3,) about the phantom's axes, source_to_detector_mm, principal_px (2,);
        None for what was not fitted.
    pairs
        (bead, row, column) of those used.
    good
        Whether the RMS is at most 0.3 px.
    """

    geometry: ProjectionGeometry
    pose: CArmPose
    principal_px: tuple[float, float]
    detector_offset_mm: tuple[float, float]
    rms_px: float
    beads_found: int
    beads_used: int
    sigma: dict[str, Any]
    pairs: Float
    good: bool

    def against(self, nominal: CArmPose) -> dict[str, float]:
        """Return by how much the C-arm differs from what it says, by name: angles, distances, isocentre."""
        moved = np.asarray(self.pose.isocenter_mm) - nominal.isocenter_mm
        return {
            "primary_deg": wrap_deg(self.pose.primary_deg - nominal.primary_deg),
            "secondary_deg": self.pose.secondary_deg - nominal.secondary_deg,
            "detector_rotation_deg": wrap_deg(self.pose.detector_rotation_deg - nominal.detector_rotation_deg),
            "source_to_isocenter_mm": self.pose.source_to_isocenter_mm - nominal.source_to_isocenter_mm,
            "source_to_detector_mm": self.pose.source_to_detector_mm - nominal.source_to_detector_mm,
            "isocenter_x_mm": float(moved[0]), "isocenter_y_mm": float(moved[1]), "isocenter_z_mm": float(moved[2]),
        }  # fmt: skip


def calibrate_beam(view: XRayView, phantom: BeadPhantom) -> CalibratedBeam:
    """Return source, detector and principal point from one picture of a phantom.

    Parameters
    ----------
    view
        The picture; its geometry is what the C-arm says, and the phantom lies on the isocentre to some 3 cm and 15°.
    phantom
        12 or more beads that do not lie in a plane.

    Raises
    ------
    CalibrationError
        Too few beads, beads in a plane, or spots that do not fit the phantom.
    """
    if phantom.flat:
        raise CalibrationError(f"phantom {phantom.name}: its beads lie in a plane, which leaves the distance to the"
                               " detector open: use beads in space, or correct distortion with it only")  # fmt: skip
    if len(phantom.beads_mm) < FEWEST_BEADS:
        raise CalibrationError(f"phantom {phantom.name}: has {len(phantom.beads_mm)} beads, a calibration needs"
                               f" {FEWEST_BEADS}; with fewer give --fiducial for the pose alone")  # fmt: skip
    return _solved(view, phantom, fewest=FEWEST_BEADS, intrinsics=True)


def pose_from_fiducial(view: XRayView, fiducial: BeadPhantom) -> CalibratedBeam:
    """Return the pose of one picture by a fiducial, source to detector and principal point taken as the view says.

    Raises
    ------
    CalibrationError
        As `calibrate_beam`; six beads are enough.
    """
    return _solved(view, fiducial, fewest=FEWEST_FIDUCIAL, intrinsics=False)


def _solved(view: XRayView, phantom: BeadPhantom, *, fewest: int, intrinsics: bool) -> CalibratedBeam:
    beads = find_beads(view, _radii_px(view.geometry, phantom))
    spots = np.array([one.pixel for one in beads]).reshape(-1, 2)
    if len(spots) < fewest:
        raise CalibrationError(f"only {len(spots)} round spots of the beads' size are in the picture, {fewest} are"
                               " needed: bring the whole phantom into the field, out of other metal")  # fmt: skip
    beam, assigned = identify(spots, phantom.beads_mm, view.geometry)
    assigned = _of_one_size(assigned, beads, phantom, beam)
    beam, fit, pairs = _fitted(beam, spots, assigned, phantom.beads_mm, intrinsics=intrinsics, fewest=fewest)
    bead, pixels = phantom.beads_mm[pairs[:, 0].astype(int)], pairs[:, 1:]
    away = pixels_of(beam, bead) - pixels
    rms = float(np.sqrt((away**2).sum(axis=1).mean()))
    if len(pairs) < fewest or rms > POOR_PX:
        raise CalibrationError(f"{len(spots)} spots, only {len(pairs)} fit the beads of {phantom.name} ({rms:.2f}"
                               " px RMS): is it this phantom, laid on the isocentre as its marks say to 15 deg; does"
                               " the picture need its distortion corrected?")  # fmt: skip
    spread = bead - bead.mean(axis=0)
    if intrinsics and float(np.linalg.svd(spread, compute_uv=False)[-1]) / np.sqrt(len(bead)) < 5.0:
        raise CalibrationError("the beads seen lie nearly in a plane: bring more of the phantom into the field")
    return _told(beam, fit, view, pairs, rms, len(spots), intrinsics=intrinsics)


def _fitted(
    beam: Beam, spots: Float, assigned: Index, beads_mm: Float, *, intrinsics: bool, fewest: int
) -> tuple[Beam, BeamFit, Float]:
    """Return beam, fit and (bead, row, column), assigning anew with each better beam and dropping outliers."""
    fit = BeamFit(beam, np.zeros((0, 0)))
    for within in (OUTLIER_PX, OUTLIER_PX, 1.5, 1.5, 1.5):
        used = assigned >= 0
        if int(used.sum()) < fewest:
            break
        points, pixels = beads_mm[assigned[used]], spots[used]
        linear = linear_beam(points, pixels) if intrinsics else None
        fits = [fit_beam(points, pixels, one, intrinsics=intrinsics) for one in (beam, linear) if one is not None]
        fit = min(fits, key=lambda one: float(((pixels_of(one.beam, points) - pixels) ** 2).sum()))
        beam = fit.beam
        away = np.linalg.norm(pixels_of(beam, points) - pixels, axis=1)
        # Two beads that overlap make one spot beside both: it stands out of the others.
        usual = max(TRIM * float(np.median(away)), LEAST_TRIM_PX)
        assigned = nearest_pairs(spots, pixels_of(beam, beads_mm), min(within, usual))
    used = assigned >= 0
    pairs = np.concatenate([assigned[used, None].astype(np.float64), spots[used]], axis=1)
    return beam, fit, pairs


def _of_one_size(assigned: Index, beads: tuple[Bead, ...], phantom: BeadPhantom, beam: Beam) -> Index:
    """Leave out spots whose size is not that of their bead: two beads in one line, or something else."""
    kept = assigned.copy()
    for number, bead in enumerate(beads):
        if assigned[number] < 0:
            continue
        depth = float((phantom.beads_mm[assigned[number]] - beam.source_mm) @ beam.axes[2])
        expected = 0.5 * float(phantom.diameters_mm[assigned[number]]) * beam.focal_px / max(depth, 1.0)
        if not 0.8 <= bead.radius_px / expected <= 1.25:
            kept[number] = -1
    return kept


def _radii_px(geometry: ProjectionGeometry, phantom: BeadPhantom) -> list[float]:
    depth = max(float(geometry.pixel_from_world[2, 3]), 1.0)
    px_per_mm = geometry.source_to_detector_mm / geometry.grid.pitch_mm / depth
    return [0.5 * float(one) * px_per_mm for one in np.unique(phantom.diameters_mm)]


def _told(
    beam: Beam, fit: BeamFit, view: XRayView, pairs: Float, rms: float, found: int, *, intrinsics: bool
) -> CalibratedBeam:
    grid = view.geometry.grid
    v, u, d = beam.axes
    primary, secondary, roll = angles_from_axes(BeamAxes(d=d, u=u, v=v))
    to_origin = float(-beam.source_mm @ d)
    isocenter = beam.source_mm + to_origin * d
    to_detector = beam.focal_px * grid.pitch_mm
    if not 0.0 < to_origin < to_detector:
        raise CalibrationError("the phantom comes out behind the detector: the distances the picture tells are wrong")
    pose = CArmPose(primary, secondary, to_origin, to_detector, (float(isocenter[0]), float(isocenter[1]),
                    float(isocenter[2])), roll)  # fmt: skip
    middle = np.array([(grid.rows - 1) / 2.0, (grid.columns - 1) / 2.0])
    offset = (middle - beam.principal_px) * grid.pitch_mm
    # Two numbers a bead less those fitted; the RMS is of both.
    free = max(2 * len(pairs) - len(fit.covariance), 1)
    sigmas = np.sqrt(np.maximum(np.diag(fit.covariance), 0.0) * (rms**2 * len(pairs) / free))
    sigma: dict[str, Any] = {
        "turn_deg": np.rad2deg(sigmas[:3]).tolist(), "source_mm": sigmas[3:6].tolist(),
        "source_to_detector_mm": float(sigmas[6] * grid.pitch_mm) if intrinsics else None,
        "principal_px": sigmas[7:9].tolist() if intrinsics else None,
    }  # fmt: skip
    principal = (float(beam.principal_px[0]), float(beam.principal_px[1]))
    return CalibratedBeam(beam.geometry(grid), pose, principal, (float(offset[0]), float(offset[1])), rms, found,
                          len(pairs), sigma, pairs, rms <= GOOD_PX)  # fmt: skip
