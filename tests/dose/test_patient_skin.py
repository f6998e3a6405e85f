"""The patient's own skin: where it is known, which skin hides which, what a CT does not show."""

import numpy as np
import pytest

from fluoroscope.dose.patient_skin import patient_skin
from fluoroscope.dose.skin_dose import SkinBeam, SkinDose
from fluoroscope.dose.skin_factors import BeamQuality
from fluoroscope.patient.volume import Volume

pytestmark = pytest.mark.req("REQ-SKIN-002")

QUALITY = BeamQuality.given(80.0, 4.68, 1.03, 1.0)


def ct(body, shape=(60, 100, 160), pitch=(5.0, 3.0, 3.0), outside=-1000):
    """A CT about the origin whose body is where ``body(x, y, z)`` says, LPS mm."""
    affine = np.zeros((4, 4))
    affine[2, 0], affine[1, 1], affine[0, 2], affine[3, 3] = *pitch, 1.0
    affine[:3, 3] = [-(n - 1) / 2.0 * p for n, p in zip(shape[::-1], pitch[::-1], strict=True)]
    index = np.indices(shape).reshape(3, -1)
    x, y, z = (affine[:3, :3] @ index + affine[:3, 3:]).reshape(3, *shape)
    return Volume(np.where(body(x, y, z), 30, outside).astype(np.int16), affine)


def ellipse(x, y, z):
    return (x / 170.0) ** 2 + (y / 110.0) ** 2 <= 1.0


def beam(source, toward, side=100.0, kerma=10.0):
    """A square field of ``side`` at 600 mm from ``source`` (LPS), aimed at ``toward``."""
    source = np.asarray(source, dtype=float)
    d = (np.asarray(toward) - source) / np.linalg.norm(np.asarray(toward) - source)
    u = np.cross(d, [0.0, 0.0, 1.0])
    u /= np.linalg.norm(u)
    return SkinBeam(source, d, u, np.cross(u, d), (side / 2.0,) * 4, kerma, 600.0, QUALITY)


def test_the_skin_of_an_elliptic_body_is_where_it_is():
    skin = patient_skin(ct(ellipse), "ellipse")
    x, y, _ = skin.phantom.centers.T
    out = np.sqrt((x / 170.0) ** 2 + (y / 110.0) ** 2)
    assert np.abs(out - 1.0).max() * 110.0 < 3.0  # a voxel
    # Ramanujan's perimeter of an ellipse of 170 and 110 mm; the ends of the CT are half a slice short.
    assert skin.phantom.areas_mm2.sum() == pytest.approx(889.8 * 290.0, rel=0.04)
    assert (np.einsum("ij,ij->i", skin.phantom.normals, skin.phantom.centers * [1.0, 1.0, 0.0]) > 0.0).all()
    assert not skin.cut
    assert skin.phantom.own


def test_columns_go_from_the_back_over_the_patients_left_and_rows_from_the_head():
    phantom = patient_skin(ct(ellipse), "ellipse").phantom
    centers = phantom.centers.reshape(*phantom.shape, 3)
    columns = phantom.shape[1]
    assert centers[0, 0, 2] > centers[-1, 0, 2]
    assert centers[5, 0, 1] > 90.0
    assert centers[5, columns // 4, 0] > 140.0
    assert centers[5, columns // 2, 1] < -90.0
    assert centers[5, 3 * columns // 4, 0] < -140.0


def test_the_number_of_cells_is_kept():
    volume = ct(ellipse)
    few, many = (patient_skin(volume, "ellipse", most) for most in (3_000, 12_000))
    assert few.phantom.areas_mm2.size <= 3_000 < many.phantom.areas_mm2.size <= 12_000
    assert few.phantom.areas_mm2.sum() == pytest.approx(many.phantom.areas_mm2.sum(), rel=0.02)


def test_the_table_under_the_body_is_no_skin():
    def lying(x, y, z):
        return ellipse(x, y, z) | ((np.abs(x) < 200.0) & (y > 122.0) & (y < 128.0))

    skin = patient_skin(ct(lying), "lying")
    assert skin.phantom.centers[:, 1].max() < 115.0


def test_a_body_wider_than_the_field_of_view_is_said_to_be_cut():
    assert patient_skin(ct(lambda x, y, z: (x / 260.0) ** 2 + (y / 110.0) ** 2 <= 1.0), "wide").cut


def test_air_has_no_skin():
    with pytest.raises(ValueError, match="no body"):
        patient_skin(ct(lambda x, y, z: np.zeros_like(x, dtype=bool)), "air")


def test_only_the_skin_where_the_beam_enters_gets_dose():
    phantom = patient_skin(ct(ellipse), "ellipse").phantom
    skin = SkinDose(phantom)
    assert skin.add(beam((0.0, 600.0, 0.0), (0.0, 0.0, 0.0))) == pytest.approx(1.0, abs=1e-3)
    hit = skin.dose_mgy > 0.0
    assert phantom.centers[hit, 1].min() > 80.0
    assert skin.peak_position_mm[1] > 100.0


def with_arms(x, y, z):
    arms = ((np.abs(x) - 165.0) / 40.0) ** 2 + (y / 40.0) ** 2 <= 1.0
    return ((x / 100.0) ** 2 + (y / 90.0) ** 2 <= 1.0) | arms


def test_an_arm_keeps_the_skin_behind_it_from_a_lateral_beam():
    phantom = patient_skin(ct(with_arms), "arms").phantom
    lateral, oblique = SkinDose(phantom), SkinDose(phantom)
    lateral.add(beam((700.0, 0.0, 0.0), (0.0, 0.0, 0.0), side=50.0))
    hit = phantom.centers[lateral.dose_mgy > 0.0]
    assert len(hit) > 50
    assert hit[:, 0].min() > 150.0  # all of it on the arm
    # From the front and side the beam enters the arm first, and the trunk only where the arm does not stand before it.
    oblique.add(beam((500.0, -500.0, 0.0), (60.0, -60.0, 0.0), side=120.0))
    lit = oblique.dose_mgy > 0.0
    seen = phantom.centers[lit]
    behind = (np.abs(seen[:, 0] - 95.0) < 12.0) & (np.abs(seen[:, 1]) < 15.0)
    assert lit.sum() > 50
    assert not behind.any()


def test_hidden_skin_is_what_straight_lines_to_the_source_say():
    volume = ct(with_arms)
    phantom = patient_skin(volume, "arms").phantom
    source = np.array([550.0, -450.0, 40.0])
    skin = SkinDose(phantom)
    skin.add(beam(source, (0.0, 0.0, 0.0), side=500.0))
    rays = source - phantom.centers
    distance = np.linalg.norm(rays, axis=1)
    facing = np.einsum("ij,ij->i", rays, phantom.normals) / distance
    # The truth from the CT itself: how much body lies between a cell, 20 mm off it, and the source.
    steps = 20.0 + np.arange(0.0, 500.0, 3.0)
    through = np.zeros(len(rays))
    for along in steps:
        x, y, _ = (phantom.centers + rays / distance[:, None] * along).T
        through += 3.0 * with_arms(x, y, 0.0)
    # Between arm and trunk cells bridge a gap that is not drawn: only cells on skin are looked at.
    under, over = phantom.centers - 6.0 * phantom.normals, phantom.centers + 6.0 * phantom.normals
    real = with_arms(*under.T) & ~with_arms(*over.T) & (facing > 0.2)
    clear, hidden = real & (through == 0.0), real & (through > 40.0)
    lit = skin.dose_mgy > 0.0
    assert clear.sum() > 500
    assert hidden.sum() > 100
    assert lit[clear].mean() > 0.97
    assert lit[hidden].mean() < 0.03
