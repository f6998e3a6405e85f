r"""The states of the live loop and what leads from one to another, as a literal table.

::

             start            press                    release, end of clip
    IDLE ───────────▶ READY ─────────▶ EXPOSING ───────────────────────────▶ HOLD
      ▲                 ▲  ◀─────────────  │ ▲      (READY when no picture)   │ │
      │                 │                  │ └─────────── press ──────────────┘ │
      │ close           │ acknowledge      │ failure                    failure │
      │ (not while      │                  ▼                                    │
      └─ EXPOSING)      └────────────── FAULT ◀────────────────────────────────┘
"""

from enum import Enum

__all__ = ["TRANSITIONS", "LiveState", "StateError", "Trigger", "next_state"]


class LiveState(Enum):
    """Where the live loop is."""

    IDLE = "IDLE"
    READY = "READY"
    EXPOSING = "EXPOSING"
    HOLD = "HOLD"
    FAULT = "FAULT"


class Trigger(Enum):
    """What happened."""

    START = "start"
    PRESS = "press"
    END = "end of the exposure"
    END_EMPTY = "end of the exposure without a picture"
    CLEAR = "clear"
    FAIL = "failure"
    ACKNOWLEDGE = "acknowledge"
    CLOSE = "close"


TRANSITIONS: dict[tuple[LiveState, Trigger], LiveState] = {
    (LiveState.IDLE, Trigger.START): LiveState.READY,
    (LiveState.READY, Trigger.PRESS): LiveState.EXPOSING,
    (LiveState.HOLD, Trigger.PRESS): LiveState.EXPOSING,
    (LiveState.EXPOSING, Trigger.END): LiveState.HOLD,
    (LiveState.EXPOSING, Trigger.END_EMPTY): LiveState.READY,
    (LiveState.HOLD, Trigger.CLEAR): LiveState.READY,
    (LiveState.READY, Trigger.CLEAR): LiveState.READY,
    (LiveState.READY, Trigger.FAIL): LiveState.FAULT,
    (LiveState.EXPOSING, Trigger.FAIL): LiveState.FAULT,
    (LiveState.HOLD, Trigger.FAIL): LiveState.FAULT,
    (LiveState.FAULT, Trigger.FAIL): LiveState.FAULT,
    (LiveState.FAULT, Trigger.END): LiveState.FAULT,
    (LiveState.FAULT, Trigger.END_EMPTY): LiveState.FAULT,
    (LiveState.FAULT, Trigger.ACKNOWLEDGE): LiveState.READY,
    (LiveState.IDLE, Trigger.CLOSE): LiveState.IDLE,
    (LiveState.READY, Trigger.CLOSE): LiveState.IDLE,
    (LiveState.HOLD, Trigger.CLOSE): LiveState.IDLE,
    (LiveState.FAULT, Trigger.CLOSE): LiveState.IDLE,
}
"""What is not in the table does not happen."""


class StateError(ValueError):
    """Something was asked that the present state does not allow; the message says what to do."""


_ADVICE = {
    LiveState.IDLE: "start the loop first",
    LiveState.READY: "nothing is on",
    LiveState.EXPOSING: "release the pedal first",
    LiveState.HOLD: "nothing is on",
    LiveState.FAULT: "acknowledge the fault first",
}


def next_state(state: LiveState, trigger: Trigger) -> LiveState:
    """Return the state that ``trigger`` leads to.

    Raises
    ------
    StateError
        When ``trigger`` is not allowed in ``state``.
    """
    following = TRANSITIONS.get((state, trigger))
    if following is None:
        raise StateError(f"{trigger.value} is not possible in {state.value}: {_ADVICE[state]}")
    return following
