import numpy as np
import pytest
from scipy.interpolate import CubicSpline as Peer

from fluoroscope.beam.spline import CubicSpline


@pytest.mark.parametrize("count", [4, 5, 38])
def test_the_spline_is_that_of_scipy(count: int) -> None:
    rng = np.random.default_rng(count)
    nodes = np.cumsum(rng.uniform(0.05, 2.0, count))
    values = rng.normal(0.0, 3.0, count)
    places = np.linspace(nodes[0] - 0.5, nodes[-1] + 0.5, 401).reshape(-1, 1)
    ours, peer = CubicSpline.through(nodes, values), Peer(nodes, values)
    size = np.abs(peer(places)).max()
    np.testing.assert_allclose(ours(places), peer(places), rtol=0.0, atol=1e-11 * size)
    np.testing.assert_allclose(ours.coefficients, peer.c, rtol=1e-8, atol=1e-9 * np.abs(peer.c).max())
    np.testing.assert_allclose(ours(nodes), values, rtol=0.0, atol=1e-11 * size)


def test_a_spline_through_a_cubic_is_the_cubic() -> None:
    nodes = np.array([0.0, 0.7, 1.1, 3.0, 4.2])
    spline = CubicSpline.through(nodes, 2.0 * nodes**3 - nodes + 5.0)
    places = np.linspace(-1.0, 6.0, 50)
    np.testing.assert_allclose(spline(places), 2.0 * places**3 - places + 5.0, rtol=1e-12, atol=1e-10)


@pytest.mark.parametrize(
    ("nodes", "values"),
    [([0, 1, 2], [0, 1, 2]), ([0, 1, 1, 2], [0, 1, 2, 3]), ([0, 1, 2, 3], [0, 1, 2])],
    ids=["too few", "not ascending", "a value missing"],
)
def test_what_is_no_table_is_refused(nodes: list[float], values: list[float]) -> None:
    with pytest.raises(ValueError, match="four or more ascending nodes"):
        CubicSpline.through(nodes, values)
