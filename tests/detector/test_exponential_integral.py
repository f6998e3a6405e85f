import numpy as np
from scipy.special import expn

from fluoroscope.detector.exponential_integral import exponential_integral_2


def test_the_integral_is_that_of_scipy() -> None:
    x = np.concatenate([[0.0, 1e-12, 1.0, np.nextafter(1.0, 2.0)], np.geomspace(1e-9, 300.0, 4000)]).reshape(2, -1)
    np.testing.assert_allclose(exponential_integral_2(x), expn(2, x), rtol=1e-13, atol=0.0)
