"""Line integrals of voxels: exact sums, both backends, every dominant axis, and what is refused."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fluoroscope.geometry.grid import DetectorGrid
from fluoroscope.geometry.pose import CArmPose
from fluoroscope.geometry.projection import ProjectionGeometry, project_points, projection_geometry
from fluoroscope.geometry.rigid import inverse, rotation, translation
from fluoroscope.patient.volume import BasisVolume, Volume
from fluoroscope.projector import ProjectionRefusedError, prepare, project, vector_level
from fluoroscope.projector.simd import available_levels


def affine_for(shape, spacing_mm, turn=None):
    """Index axes to z, y, x, the volume's centre at the origin, then turned."""
    affine = np.zeros((4, 4))
    affine[2, 0], affine[1, 1], affine[0, 2] = spacing_mm
    affine[3, 3] = 1.0
    affine[:3, 3] = -affine[:3, :3] @ ((np.asarray(shape) - 1.0) / 2.0)
    return affine if turn is None else turn @ affine


def smooth_volume(shape=(44, 40, 48), spacing_mm=(1.6, 1.5, 1.5), seed=0, turn=None, signed=False):
    """Soft blobs with zero around them: a field the grid of slopes resolves."""
    rng = np.random.default_rng(seed)
    axes = np.meshgrid(*(np.linspace(-1.0, 1.0, n) for n in shape), indexing="ij")
    field = np.zeros(shape)
    for _ in range(12):
        middle, width = rng.uniform(-0.4, 0.4, 3), rng.uniform(0.12, 0.3)
        square = sum((axis - m) ** 2 for axis, m in zip(axes, middle, strict=True))
        field += (
            rng.uniform(200.0, 900.0)
            * np.exp(-square / (2.0 * width**2))
            * (-1.0 if signed and rng.random() < 0.5 else 1.0)
        )
    field *= np.clip(1.0 - sum(axis**2 for axis in axes) / 0.85, 0.0, None) ** 2
    return Volume(field.astype(np.int16), affine_for(shape, spacing_mm, turn))


def view(primary_deg=0.0, secondary_deg=0.0, rows=60, columns=70, pitch_mm=2.2, roll_deg=0.0, **changes):
    values = {"source_to_isocenter_mm": 600.0, "source_to_detector_mm": 1020.0, **changes}
    pose = CArmPose(primary_deg, secondary_deg, detector_rotation_deg=roll_deg, **values)
    return projection_geometry(pose, DetectorGrid(rows, columns, pitch_mm))


def difference(one, two):
    one, two = np.asarray(one, np.float64), np.asarray(two, np.float64)
    return np.sqrt(np.mean((one - two) ** 2) / np.mean(two**2))


@pytest.fixture(scope="module")
def ready():
    return prepare(smooth_volume())


POSES = [
    (0, 0, 0), (30, 15, 0), (44, -10, 5), (50, 20, -20), (90, 0, 0), (-90, 25, 90), (180, -30, 0), (-135, 5, 45),
    (10, 70, 0), (0, -90, 30), (45, 35, 10),
]  # fmt: skip


@pytest.mark.parametrize("pose", POSES)
def test_fast_equals_reference_in_every_direction(ready, pose):
    """Few slices: their interpolation ripple does not average out as in a CT, so the finest grid is compared."""
    geometry = view(pose[0], pose[1], roll_deg=pose[2])
    exact = project(ready, geometry, backend="reference")
    assert difference(project(ready, geometry, pitch=0.1), exact) < 2.5e-3
    assert difference(project(ready, geometry), exact) < 6e-3


def test_finer_slope_grid_comes_closer_to_the_reference(ready):
    geometry = view(33.0, 14.0)
    exact = project(ready, geometry, backend="reference")
    assert difference(project(ready, geometry, pitch=0.3), exact) < 0.6 * difference(project(ready, geometry), exact)


@pytest.mark.parametrize("level", available_levels())
@pytest.mark.parametrize("pose", [(12, 8, 0), (70, -20, 33), (47, 30, -60)])
def test_every_vector_level_gives_the_same(ready, level, pose):
    geometry = view(pose[0], pose[1], rows=93, columns=101, pitch_mm=1.4, roll_deg=pose[2])
    plain = project(ready, geometry, level="plain")
    assert np.abs(project(ready, geometry, level=level) - plain).max() <= 2e-5 * plain.max()


def test_level_comes_from_the_environment_and_is_checked(monkeypatch):
    monkeypatch.setenv("FLUOROSCOPE_VECTOR_LEVEL", "plain")
    assert vector_level() == "plain"
    with pytest.raises(ValueError, match="vector level 'sse9'"):
        vector_level("sse9")


def test_coarse_detector_and_steep_roll_use_the_same_numbers(ready):
    """Pixels wider than a register of slopes take the plain path: the values are those of the fine picture."""
    coarse = view(20.0, 10.0, rows=7, columns=9, pitch_mm=22.0, roll_deg=77.0)
    fine = view(20.0, 10.0, rows=61, columns=81, pitch_mm=2.2, roll_deg=77.0)
    assert np.allclose(project(ready, coarse)[0], project(ready, fine)[0, ::10, ::10], rtol=1e-4, atol=1.0)


@pytest.mark.parametrize(("primary", "secondary", "axis"), [(0, 0, 1), (90, 0, 2), (0, 90, 0)])
@pytest.mark.parametrize("backend", ["fast", "reference"])
def test_a_ray_down_an_axis_adds_up_the_voxels(primary, secondary, axis, backend):
    """Also at the faces: a border voxel counts whole. The source is far away, the ray nearly parallel."""
    rng = np.random.default_rng(5)
    values = rng.integers(1, 3000, (9, 10, 11)).astype(np.int16)
    volume = Volume(values, affine_for(values.shape, (2.0, 3.0, 1.5)))
    geometry = view(primary, secondary, 1, 1, 1.0, source_to_isocenter_mm=1e5, source_to_detector_mm=2e5)
    middle = [slice(n // 2, n // 2 + 1) if n % 2 else slice(n // 2 - 1, n // 2 + 1) for n in values.shape]
    middle[axis] = slice(None)
    lines = values[tuple(middle)].sum(axis=axis).mean()
    assert project(volume, geometry, backend=backend)[0, 0, 0] == pytest.approx(
        lines * volume.spacing_mm[axis], rel=2e-3
    )


def test_uniform_block_gives_the_length_of_the_ray():
    """Through the middle of a block the integral is value · spacing · count / cos: exact for a plane of rays."""
    volume = Volume(np.full((40, 30, 40), 1000, np.int16), affine_for((40, 30, 40), (2.0, 2.0, 2.0)))
    geometry = view(0.0, 0.0, 31, 31, 2.0)
    rays = np.stack([*np.meshgrid(np.arange(31.0), np.arange(31.0), indexing="ij"), np.ones((31, 31))], -1)
    direction = rays @ geometry.direction_from_pixel.T
    expected = 1000.0 * 30 * 2.0 * np.linalg.norm(direction, axis=-1)
    for backend in ("fast", "reference"):
        assert np.allclose(project(volume, geometry, backend=backend)[0], expected, rtol=3e-5)


def test_a_bright_spot_lands_where_the_matrix_says():
    at = np.meshgrid(np.arange(31) - 20, np.arange(33) - 12, np.arange(35) - 24, indexing="ij")
    values = (3000.0 * np.exp(-sum(a * a for a in at) / (2.0 * 1.8**2))).astype(np.int16)
    volume = Volume(values, affine_for(values.shape, (2.0, 2.0, 2.0)))
    geometry = view(25.0, -15.0, 200, 220, 0.7, roll_deg=12.0)
    picture = project(volume, geometry)[0].astype(np.float64)
    row, column = project_points(geometry, (volume.world_from_index @ [20, 12, 24, 1])[:3])
    r, c = np.mgrid[0:200, 0:220]
    assert (picture * r).sum() / picture.sum() == pytest.approx(row, abs=0.05)
    assert (picture * c).sum() / picture.sum() == pytest.approx(column, abs=0.05)


def test_moving_the_body_is_moving_the_c_arm_the_other_way(ready):
    moved = translation([5.0, -3.0, 8.0]) @ rotation([1.0, 2.0, 3.0], 17.0)
    geometry = view(10.0, 5.0)
    back = ProjectionGeometry(
        geometry.pixel_from_world @ moved, inverse(moved)[:3, :3] @ geometry.source_mm + inverse(moved)[:3, 3],
        geometry.source_to_detector_mm, geometry.grid,
    )  # fmt: skip
    assert np.allclose(project(ready, geometry, world_from_body=moved), project(ready, back), atol=0.5)


@pytest.mark.req("REQ-PROJ-002")
def test_turned_and_anisotropic_volumes():
    turn = rotation([0.3, -1.0, 0.4], 38.0)
    volume = smooth_volume((22, 56, 50), (4.5, 1.1, 1.3), seed=3, turn=turn)
    for primary, secondary in [(0, 0), (55, 20), (90, -40)]:
        geometry = view(primary, secondary, roll_deg=9.0)
        exact = project(volume, geometry, backend="reference")
        assert difference(project(volume, geometry, pitch=0.1), exact) < 4e-3


@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 20, 22), (20, 1, 22), (22, 20, 1), (2, 3, 2)])
def test_thin_and_tiny_volumes(shape):
    """The reference in small steps is the truth; kinks of single voxels are sharper than the slope grid."""
    rng = np.random.default_rng(1)
    volume = Volume(rng.integers(500, 1500, shape).astype(np.int16), affine_for(shape, (3.0, 3.0, 3.0)))
    geometry = view(20.0, 12.0, 90, 90, 0.9)
    exact = project(volume, geometry, backend="reference")
    assert difference(project(volume, geometry, pitch=0.1), exact) < 0.08
    assert project(volume, geometry).sum() == pytest.approx(exact.sum(), rel=0.05)


@pytest.mark.parametrize("grid", [(1, 1, 400.0), (1, 50, 2.0), (50, 1, 2.0), (3, 3, 500.0), (17, 130, 0.05)])
def test_odd_detectors(ready, grid):
    geometry = view(15.0, -8.0, *grid)
    fast, exact = project(ready, geometry, pitch=0.1), project(ready, geometry, backend="reference")
    assert np.allclose(fast, exact, atol=3e-3 * max(float(exact.max()), 1.0))


def test_rays_that_miss_are_zero(ready):
    geometry = view(0.0, 0.0, isocenter_mm=(900.0, 0.0, 0.0))
    assert not project(ready, geometry).any()
    assert not project(ready, view(0.0, 0.0, isocenter_mm=(0.0, 2000.0, 0.0))).any()
    assert not project(Volume(np.zeros((4, 5, 6), np.int16), np.eye(4)), view()).any()


@pytest.mark.req("REQ-PROJ-002")
@pytest.mark.parametrize("changes", [
    {"isocenter_mm": (0.0, -600.0, 0.0)},
    {"source_to_isocenter_mm": 20.0, "source_to_detector_mm": 300.0},
    {"source_to_isocenter_mm": 600.0, "source_to_detector_mm": 605.0},
    {"source_to_isocenter_mm": 33.0, "source_to_detector_mm": 90.0},
])  # fmt: skip
def test_source_or_detector_inside_the_body_is_right(ready, changes):
    geometry = view(7.0, 4.0, 40, 40, 2.0, **changes)
    exact = project(ready, geometry, backend="reference")
    assert np.allclose(project(ready, geometry, pitch=0.1), exact, atol=3e-3 * max(float(exact.max()), 1.0))


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.floats(-180, 180), st.floats(-90, 90), st.floats(-180, 180), st.floats(60, 900), st.floats(10, 700),
    st.tuples(*[st.floats(-60, 60)] * 3),
)  # fmt: skip
def test_never_wrong(ready, primary, secondary, roll, near_mm, beyond_mm, isocenter):
    """Whatever the pose, also with source or detector within the body, the fast backend equals the reference."""
    geometry = view(
        primary, secondary, 24, 28, 6.0, roll, source_to_isocenter_mm=near_mm,
        source_to_detector_mm=near_mm + beyond_mm, isocenter_mm=isocenter,
    )  # fmt: skip
    fast, exact = project(ready, geometry, pitch=0.2), project(ready, geometry, backend="reference")
    assert np.abs(fast - exact).max() <= 0.01 * max(float(exact.max()), 5000.0)


@pytest.mark.req("REQ-PROJ-002")
def test_degenerate_geometry_and_pitch_are_refused(ready):
    good = view()
    flat = ProjectionGeometry(good.pixel_from_world * [[1.0], [0.0], [1.0]], good.source_mm, 1020.0, good.grid)
    with pytest.raises(ProjectionRefusedError, match="no inverse"):
        project(ready, flat)
    broken = ProjectionGeometry(good.pixel_from_world * np.nan, good.source_mm, 1020.0, good.grid)
    with pytest.raises(ProjectionRefusedError, match="finite"):
        project(ready, broken)
    with pytest.raises(ProjectionRefusedError, match="pitch"):
        project(ready, good, pitch=1.5)
    with pytest.raises(ProjectionRefusedError, match="rigid"):
        project(ready, good, world_from_body=2.0 * np.eye(4))
    with pytest.raises(ProjectionRefusedError, match="backend"):
        project(ready, good, backend="gpu")
    with pytest.raises(ValueError, match="C-contiguous"):
        project(ready, good, out=np.zeros((1, 60, 70)))


def test_basis_volume_gives_millimetres_of_both_materials():
    water, bone = smooth_volume(seed=1), smooth_volume(seed=2)
    basis = BasisVolume(water.values, bone.values, water.world_from_index)
    geometry = view(28.0, -9.0)
    both = project(basis, geometry, pitch=0.1)
    assert both.shape == (2, 60, 70)
    assert np.allclose(both[0], 0.001 * project(water, geometry, pitch=0.1)[0], rtol=2e-3, atol=0.05)
    assert np.allclose(both[1], 0.001 * project(bone, geometry, pitch=0.1)[0], rtol=2e-3, atol=0.05)
    assert difference(both, project(basis, geometry, backend="reference")) < 6e-3


def test_out_is_written_and_results_do_not_depend_on_what_it_held(ready):
    geometry = view(3.0, 2.0)
    out = np.full((1, 60, 70), 1e9, np.float32)
    assert project(ready, geometry, out=out) is out
    assert np.array_equal(out, project(ready, geometry))
