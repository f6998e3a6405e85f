"""What the live loop says of itself: a frozen snapshot."""

from dataclasses import dataclass

from fluoroscope.acquisition.event import IrradiationEvent
from fluoroscope.acquisition.protocols import SourceInfo
from fluoroscope.dose.ledger import DoseStatus
from fluoroscope.live.states import LiveState
from fluoroscope.live.subscription import SubscriptionStatus

__all__ = ["LiveStatus"]


@dataclass(frozen=True, slots=True)
class LiveStatus:
    """The live loop at one moment.

    Attributes
    ----------
    now_ns
        Monotonic time of the snapshot, ns.
    state, reason
        Where the loop is; a sentence for the operator in FAULT, else "".
    x_ray_on
        Whether pulses come: False from the release on, while the last picture is still made.
    source
        What the pictures come from.
    event_number, event_uid
        The press that is on, or the last one; 0 and "" before the first.
    pulses, dropped_pulses
        Of that press: delivered, and skipped because the one before was late.
    pulses_in_exam, dropped_in_exam
        The same for all presses.
    newest_uid, newest_age_s
        The newest picture, and the time since its pulse, s: beyond a pulse period while EXPOSING it is
        stale. None before the first.
    chain_ms
        Median time of the image chain over the last 30 pictures, ms; None before the first.
    latency_ms
        Median time from the pulse being due to its picture being published, ms; None before the first.
    window
        Display window of the run, centre and width in pixel values.
    dose
        The exam's dose.
    events
        Irradiation events of the exam, in order.
    subscribers
        How each keeps up.
    """

    now_ns: int
    state: LiveState
    reason: str
    x_ray_on: bool
    source: SourceInfo
    event_number: int
    event_uid: str
    pulses: int
    dropped_pulses: int
    pulses_in_exam: int
    dropped_in_exam: int
    newest_uid: str | None
    newest_age_s: float | None
    chain_ms: float | None
    latency_ms: float | None
    window: tuple[float, float]
    dose: DoseStatus
    events: tuple[IrradiationEvent, ...]
    subscribers: tuple[SubscriptionStatus, ...]
