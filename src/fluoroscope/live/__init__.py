"""The live loop: pedal, states, journal, recording, and how pictures reach those who want them.

One thread produces; the state leaves only as a frozen `LiveStatus`. Subscribers are LOSSLESS (never drop; a
full queue is a FAULT) or LATEST (old pictures are skipped and counted).
"""

from fluoroscope.live.journal import (
    Journal,
    JournalError,
    JournalReading,
    RecoveredExam,
    journal_in_use,
    read_journal,
    recover_exam,
)
from fluoroscope.live.loop import LiveLoop, LoopSettings
from fluoroscope.live.spool import EventRecorder, Spool, SpoolWriter
from fluoroscope.live.states import LiveState, StateError
from fluoroscope.live.status import LiveStatus
from fluoroscope.live.subscription import (
    EventEnded,
    LivePicture,
    PictureKind,
    Policy,
    Subscription,
    SubscriptionStatus,
)

__all__ = [
    "EventEnded",
    "EventRecorder",
    "Journal",
    "JournalError",
    "JournalReading",
    "LiveLoop",
    "LivePicture",
    "LiveState",
    "LiveStatus",
    "LoopSettings",
    "PictureKind",
    "Policy",
    "RecoveredExam",
    "Spool",
    "SpoolWriter",
    "StateError",
    "Subscription",
    "SubscriptionStatus",
    "journal_in_use",
    "read_journal",
    "recover_exam",
]
