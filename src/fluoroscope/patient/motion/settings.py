"""How a patient moves by himself and how his spine answers: the numbers, each with its source."""

from dataclasses import dataclass

__all__ = ["MotionSettings"]


@dataclass(frozen=True, slots=True)
class MotionSettings:
    """What a patient's movement depends on.

    Attributes
    ----------
    breathing_period_s, breathing_mm
        Mean length of a breath and way of the diaphragm in it: 10.3 ± 4.0 mm on 4D CT (Xi et al. 2009,
        doi:10.5732/cjc.009.10193), at least 9 to 10 mm on ultrasound of 210 adults (Boussuges et al., Chest 2009),
        12 ± 7 mm (Davies et al. 1994, doi:10.1259/0007-1285-67-803-1096; unverified); 17 breaths a minute on 4D CT of
        62 patients (doi:10.1186/1748-717X-8-248), fewer at rest.
        0 mm for no breathing.
    breathing_variation
        Half-width of the spread of single breaths' period and depth, 0 to 0.5.
    heart_rate_hz, pulse_mm
        Aortic pulsation: rate, and shift of its wall (1.9 mm between systole and diastole in
        603 aneurysms, doi:10.1016/j.ejvs.2011.09.025; a healthy aorta's unverified).
    peristalsis_mm
        Greatest slow shift of bowel loops in each direction; unverified.
    friction
        Friction under the lower body over its weight: about 0.5 on one piece of table, near 0 on a split one
        (guidance §3, unverified).
    lower_body_n
        Weight of what has to slide; about half the body's.
    pull_angle_deg
        How far the pull is above the table's plane: it flexes, so that discs open behind more than in front. At
        25° the front does not open at all, as on CT under traction (Sari et al., Physiother Theory Pract 2005;21:3-11:
        posterior height up, anterior unchanged); the angle itself is assumed.
    """

    breathing_period_s: float = 4.0
    breathing_mm: float = 12.0
    breathing_variation: float = 0.12
    heart_rate_hz: float = 1.15
    pulse_mm: float = 1.0
    peristalsis_mm: float = 2.5
    friction: float = 0.0
    lower_body_n: float = 350.0
    pull_angle_deg: float = 15.0

    def __post_init__(self) -> None:
        ranges = {
            "breathing_period_s": (1.0, 20.0),
            "breathing_mm": (0.0, 60.0),
            "breathing_variation": (0.0, 0.5),
            "heart_rate_hz": (0.3, 4.0),
            "pulse_mm": (0.0, 5.0),
            "peristalsis_mm": (0.0, 20.0),
            "friction": (0.0, 1.0),
            "lower_body_n": (0.0, 2000.0),
            "pull_angle_deg": (0.0, 25.0),
        }
        for name, (low, high) in ranges.items():
            value = getattr(self, name)
            if not low <= value <= high:
                raise ValueError(f"{name} must be {low:g} to {high:g}, got {value}")

    @classmethod
    def still(cls) -> "MotionSettings":
        """Return settings of a patient of whom nothing moves unless told."""
        return cls(breathing_mm=0.0, pulse_mm=0.0, peristalsis_mm=0.0)
