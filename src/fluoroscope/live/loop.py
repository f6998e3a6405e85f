"""The live loop: from the pedal to published pictures, in one producer thread."""

import contextlib
import statistics
import threading
from collections import deque
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from fluoroscope.acquisition.clock import Clock
from fluoroscope.acquisition.event import IrradiationEvent
from fluoroscope.acquisition.frame import Frame, Provenance
from fluoroscope.acquisition.protocols import Exposable, FrameSource, SourceError
from fluoroscope.beam.technique import Technique
from fluoroscope.dose.ledger import KermaLedger
from fluoroscope.imagechain.chain import ImageChain
from fluoroscope.live.irradiation import IrradiationBuilder
from fluoroscope.live.journal import Journal
from fluoroscope.live.run import LoopSettings, Run, sentence
from fluoroscope.live.states import LiveState, StateError, Trigger, next_state
from fluoroscope.live.status import LiveStatus
from fluoroscope.live.subscription import EventEnded, LivePicture, PictureKind, Policy, Subscription

__all__ = ["LiveLoop", "LoopSettings"]

PRESS_PATIENCE_S = 0.25
DIED = "internal error in the live loop: the exposure was ended; restart the program"


class LiveLoop:
    """Takes frames from a source while the pedal is down, through the image chain, to those who subscribed.

    Its states are drawn in `states`, where the table `TRANSITIONS` holds every arrow; anything else raises
    `StateError`. A failure is a source that was lost, a journal or a recording that the disk does not take, a
    LOSSLESS queue that ran full: the exposure ends at once, its dose and pictures so far are kept, and the
    reason stands in the status until acknowledged.

    One thread produces: it takes the frame, counts its dose, writes the journal line, runs the chain,
    publishes. No lock is held meanwhile. All methods may be called from any thread and return at once,
    except `press` right after `release`, which waits for the last picture (at most 0.25 s), `wait_for` and
    `close`.

    Should the thread die of an error nobody foresaw, the exposure ends, the loop stays in FAULT and takes no
    further press. Frames of recorded clips make no dose.

    Parameters
    ----------
    source
        Where frames come from; one that is not `Exposable` plays until its end or until release.
    chain
        Used by this loop alone.
    ledger
        Counts the dose of the exam.
    clock
        Times presses and ages.
    new_uid
        Gives a new irradiation event UID.
    journal
        Open journal of the exam; None keeps none.
    settings
        Ring and windows.
    """

    def __init__(
        self,
        source: FrameSource,
        chain: ImageChain,
        ledger: KermaLedger,
        clock: Clock,
        new_uid: Callable[[], str],
        journal: Journal | None = None,
        settings: LoopSettings | None = None,
    ) -> None:
        self._source, self._chain, self._ledger = source, chain, ledger
        self._clock, self._new_uid = clock, new_uid
        self._journal = journal
        self._settings = settings if settings is not None else LoopSettings()
        self._changed = threading.Condition()
        self._commands = threading.Lock()
        self._state = LiveState.IDLE
        self._reason = ""
        self._run: Run | None = None
        self._waiting: Run | None = None
        self._last_run: tuple[int, str, int, int] = (0, "", 0, 0)
        self._in_exam = [0, 0]
        self._events: list[IrradiationEvent] = []
        self._ring: deque[LivePicture] = deque(maxlen=self._settings.ring_pictures)
        self._subscriptions: tuple[Subscription, ...] = ()
        self._listeners: tuple[Callable[[IrradiationEvent], None], ...] = ()
        self._pulse_listeners: tuple[Callable[[Frame], None], ...] = ()
        self._exam_listeners: tuple[Callable[[], None], ...] = ()
        self._chain_ms: deque[float] = deque(maxlen=30)
        self._latency_ms: deque[float] = deque(maxlen=30)
        self._published_ns = -1
        self._closing = self._died = False
        self._thread: threading.Thread | None = None

    # Commands

    def start(self) -> None:
        """Go from IDLE to READY; raise `StateError` elsewhere."""
        with self._commands:
            if self._closing:
                raise StateError("this loop was closed: make a new one")
            self._apply(Trigger.START)
            self._thread = threading.Thread(target=self._produce, name="live loop", daemon=True)
            self._thread.start()

    def press(self, technique: Technique | Callable[[], Technique]) -> str:
        """Pedal down: begin an exposure and return the UID of its irradiation event.

        Parameters
        ----------
        technique
            The technique, or what gives it at this moment (an exposure control).

        Raises
        ------
        StateError
            When the state does not allow it.
        SourceError
            When the source is lost; the loop is then in FAULT.
        OSError
            When the journal cannot be written; the loop is then in FAULT.
        ValueError
            When the source refuses the technique.
        """
        with self._commands:
            with self._changed:
                # The pedal was let go and comes down again before the last picture is through.
                ending = self._run
                if ending is not None and ending.released_ns is not None:
                    self._changed.wait_for(lambda: self._run is None, PRESS_PATIENCE_S)
                self._may_press()
            chosen = technique() if callable(technique) else technique
            uid = self._new_uid()
            pressed_ns, started = self._clock.monotonic_ns(), self._clock.utc_now()
            number = len(self._events) + 1
            written = False
            try:
                if self._journal is not None:
                    self._journal.press(uid, number, started, pressed_ns, chosen, self._source.info)
                    written = True
                if isinstance(self._source, Exposable):
                    self._source.press(chosen, uid)
                self._begin(uid, number, started, pressed_ns, chosen)
            except (SourceError, OSError, ValueError) as error:
                if written:
                    # The journal must not hold a press without an end.
                    self._guard(lambda journal: journal.irradiation(None, uid, pressed_ns))
                if not isinstance(error, ValueError):
                    self.fault(sentence(error))
                raise
            return uid

    def _may_press(self) -> None:
        if self._died:
            raise StateError(DIED)
        if self._closing:
            raise StateError("press is not possible any more: the loop was closed")
        next_state(self._state, Trigger.PRESS)

    def _begin(self, uid: str, number: int, started: datetime, pressed_ns: int, technique: Technique) -> None:
        try:
            with self._changed:
                # A fault or the end may have come from another thread since the press was allowed.
                self._may_press()
                ledger = self._ledger if self._counts_dose else None
                builder = IrradiationBuilder(uid, number, started, pressed_ns, technique, ledger)
                self._run = self._waiting = Run(uid, number, builder)
                self._state = next_state(self._state, Trigger.PRESS)
                self._changed.notify_all()
        except StateError:
            self._release()
            raise

    def release(self) -> None:
        """Pedal up: no pulse starts after this returns. Does nothing when none is on."""
        with self._commands:
            self._release()

    def stop(self, reason: str = "stop") -> None:
        """End any exposure now and write why, unless the journal was closed; works in every state."""
        self.release()
        journal = self._journal
        if journal is not None and not journal.closed:
            self._guard(lambda journal: journal.note("stop", {"reason": reason}))

    def halt(self, reason: str) -> None:
        """As `stop`, for a pulse listener too: ends the exposure without waiting for a press that waits for it."""
        self._release()
        self.note("stop", {"reason": reason})

    def fault(self, reason: str) -> None:
        """End any exposure and go to FAULT with a sentence for the operator."""
        with self._changed:
            if self._state is LiveState.IDLE:
                return
            if self._state is not LiveState.FAULT:
                self._reason = reason
            self._state = next_state(self._state, Trigger.FAIL)
            self._changed.notify_all()
        self._release()

    def acknowledge(self) -> None:
        """Go from FAULT to READY.

        Raises
        ------
        StateError
            Outside FAULT, while the failed exposure is still ending, or when the loop died.
        """
        with self._commands, self._changed:
            if self._died:
                raise StateError(DIED)
            if self._run is not None:
                raise StateError("acknowledge is not possible yet: the exposure is still ending")
            self._state = next_state(self._state, Trigger.ACKNOWLEDGE)
            self._reason = ""
            self._changed.notify_all()

    def reset_five_minute_signal(self) -> None:
        """Start the 5 minutes again, and write it in the journal."""
        at_ns = self._clock.monotonic_ns()
        self._ledger.reset_five_minute_signal(at_ns)
        self._guard(lambda journal: journal.append("five_minute_reset", {"at_ns": at_ns}))

    def note(self, text: str, data: Mapping[str, Any]) -> None:
        """Write a remark in the journal of the exam that is open."""
        journal = self._journal
        if journal is not None and not journal.closed:
            self._guard(lambda journal: journal.note(text, data))

    def new_exam(self, ledger: KermaLedger, journal: Journal | None, source: FrameSource | None = None) -> None:
        """Begin another exam: events, counters and pictures are forgotten, subscriptions stay.

        Parameters
        ----------
        ledger, journal
            Of the new exam; the old journal is the caller's to close.
        source
            Another source (another patient); the old one is closed. None keeps it.

        Raises
        ------
        StateError
            Outside READY and HOLD.
        """
        with self._commands:
            self._apply(Trigger.CLEAR)
            old = self._source
            with self._changed:
                self._ledger, self._journal = ledger, journal
                if source is not None:
                    self._source = source
                self._events.clear()
                self._ring.clear()
                self._last_run, self._in_exam = (0, "", 0, 0), [0, 0]
            self._chain.reset()
            if source is not None and source is not old:
                old.close()
        for listener in self._exam_listeners:
            listener()

    def close(self) -> None:
        """End any exposure, end all subscriptions and the thread, close the source. May be called twice."""
        with self._changed:
            # First, so that no press comes between release and end.
            self._closing = True
            self._changed.notify_all()
        self.release()
        if self._thread is not None:
            self._thread.join()
        with self._changed:
            self._state = next_state(self._state, Trigger.CLOSE)
            self._changed.notify_all()
        for subscription in self._subscriptions:
            subscription.end()
        self._source.close()

    # What others see

    def snapshot(self) -> LiveStatus:
        """Return where the loop is."""
        now_ns = self._clock.monotonic_ns()
        dose = self._ledger.snapshot(now_ns)
        with self._changed:
            run = self._run
            last = (run.number, run.uid, run.pulses, run.dropped) if run is not None else self._last_run
            running = (run.pulses, run.dropped) if run is not None else (0, 0)
            newest = self._ring[-1].shown if self._ring else None
            return LiveStatus(
                now_ns=now_ns,
                state=self._state,
                reason=self._reason,
                x_ray_on=run is not None and run.released_ns is None,
                source=self._source.info,
                event_number=last[0],
                event_uid=last[1],
                pulses=last[2],
                dropped_pulses=last[3],
                pulses_in_exam=self._in_exam[0] + running[0],
                dropped_in_exam=self._in_exam[1] + running[1],
                newest_uid=None if newest is None else newest.uid,
                newest_age_s=None if newest is None else max(0, now_ns - newest.acquired_ns) / 1e9,
                chain_ms=statistics.median(self._chain_ms) if self._chain_ms else None,
                latency_ms=statistics.median(self._latency_ms) if self._latency_ms else None,
                window=self._chain.window,
                dose=dose,
                events=tuple(self._events),
                subscribers=tuple(subscription.status() for subscription in self._subscriptions),
            )

    @property
    def state(self) -> LiveState:
        """Where the loop is."""
        with self._changed:
            return self._state

    def pictures(self) -> tuple[LivePicture, ...]:
        """Return the last pictures, the oldest first."""
        with self._changed:
            return tuple(self._ring)

    def wait_for(self, *states: LiveState, timeout_s: float) -> bool:
        """Wait until the loop is in one of ``states``, no exposure ending; False after ``timeout_s``."""

        def there() -> bool:
            settled = self._run is None or self._state is LiveState.EXPOSING
            return self._state in states and settled

        with self._changed:
            return self._changed.wait_for(there, timeout_s)

    def subscribe(self, name: str, policy: Policy, capacity: int = 32) -> Subscription:
        """Return a new subscription; a LOSSLESS one queues up to ``capacity`` pictures."""
        subscription = Subscription(
            name, policy, capacity, lambda reason: self.fault(f"{name}: {reason}"), self._forget
        )
        with self._changed:
            self._subscriptions = (*self._subscriptions, subscription)
        return subscription

    def on_event(self, listener: Callable[[IrradiationEvent], None]) -> None:
        """Call ``listener`` with every irradiation event, in the producer thread: it must return at once."""
        with self._changed:
            self._listeners = (*self._listeners, listener)

    def on_pulse(self, listener: Callable[[Frame], None]) -> None:
        """Call ``listener`` with every frame once its dose is counted, in the producer thread: at once, please."""
        with self._changed:
            self._pulse_listeners = (*self._pulse_listeners, listener)

    def on_exam(self, listener: Callable[[], None]) -> None:
        """Call ``listener`` when another exam has begun, in the thread that began it."""
        with self._changed:
            self._exam_listeners = (*self._exam_listeners, listener)

    # The producer thread

    def _produce(self) -> None:
        ended = False
        try:
            while (run := self._next_run()) is not None:
                completed = False
                try:
                    self._expose(run)
                    completed = True
                finally:
                    if not completed:
                        self._fail_for_good()
                    self._finish(run)
            ended = True
        finally:
            # An error nobody foresaw still ends the exposure and is shown; then the thread fails aloud.
            if not ended:
                self._fail_for_good()

    def _next_run(self) -> Run | None:
        with self._changed:
            self._changed.wait_for(lambda: self._waiting is not None or self._closing)
            run, self._waiting = self._waiting, None
            return run

    def _fail_for_good(self) -> None:
        with self._changed:
            self._died = True
        self.fault(DIED)
        with self._changed:
            if self._waiting is not None:
                # Pressed in the last moment: nobody takes its pulses any more.
                self._run = self._waiting = None
                self._changed.notify_all()

    def _expose(self, run: Run) -> None:
        try:
            with contextlib.ExitStack() as stack:
                frames = self._source.frames()
                closing = getattr(frames, "close", None)
                if closing is not None:
                    stack.callback(closing)
                for frame in frames:
                    # A clip knows no release: what it plays on is not shown.
                    if run.over.is_set() and not isinstance(self._source, Exposable):
                        break
                    self._take(run, frame)
        except (SourceError, OSError, ValueError) as error:
            self.fault(sentence(error))

    def _take(self, run: Run, frame: Frame) -> None:
        dropped = self._source.dropped_pulses
        # Dose first: it was given, whatever becomes of the picture.
        run.builder.add(frame.acquired_ns, frame.technique, frame.kerma, frame.pose, frame.table, frame.collimation)
        with self._changed:
            run.pulses += 1
            run.dropped = dropped
        self._guard(lambda journal: journal.frame(frame, dropped))
        for listener in self._pulse_listeners:
            listener(frame)
        began_ns = self._clock.monotonic_ns()
        if run.pulses == 1:
            window_of = self._settings.window_of
            self._chain.begin_run(frame, window_of(frame) if window_of is not None else None)
        shown = self._chain.process(frame)
        done_ns = self._clock.monotonic_ns()
        self._chain_ms.append((done_ns - began_ns) / 1e6)
        self._latency_ms.append((done_ns - frame.acquired_ns) / 1e6)
        self._publish(PictureKind.LIVE, shown, frame, run.number)

    def _publish(self, kind: PictureKind, shown: Frame, raw: Frame | None, number: int) -> None:
        with self._changed:
            self._published_ns = max(self._published_ns + 1, self._clock.monotonic_ns())
            picture = LivePicture(kind, shown, raw, self._chain.window, number, self._published_ns)
            self._ring.append(picture)
            subscriptions = self._subscriptions
            self._changed.notify_all()
        for subscription in subscriptions:
            if not subscription.offer(picture):
                self.fault(
                    f"{subscription.name} cannot keep up: its queue is full and a picture was not recorded; "
                    "lower the pulse rate or the matrix"
                )

    def _finish(self, run: Run) -> None:
        released_ns = run.released_ns
        if released_ns is None:
            released_ns = self._clock.monotonic_ns()
            self._release()
        with self._changed:
            run.dropped = max(run.dropped, self._source.dropped_pulses)
        event = None
        if run.pulses:
            event = run.builder.finish(released_ns, run.dropped)
        else:
            run.builder.abandon(released_ns)
        try:
            # The held picture first: it is awaited within 100 ms, the disk is not.
            held = self._chain.hold() if run.pulses else None
            if held is not None:
                self._publish(PictureKind.HOLD, held, None, run.number)
        finally:
            self._settle(run, event, released_ns)

    def _settle(self, run: Run, event: IrradiationEvent | None, released_ns: int) -> None:
        self._guard(lambda journal: journal.irradiation(event, run.uid, released_ns))
        with self._changed:
            self._in_exam[0] += run.pulses
            self._in_exam[1] += run.dropped
            if event is not None:
                self._events.append(event)
                self._last_run = (run.number, run.uid, run.pulses, run.dropped)
        try:
            # Before the state changes: who sees HOLD can count on the event having been told.
            if event is not None:
                self._tell(event)
        finally:
            with self._changed:
                self._state = next_state(self._state, Trigger.END if run.pulses else Trigger.END_EMPTY)
                self._run = None
                self._changed.notify_all()
        # Written already; only the disk is waited for here, with the pedal free.
        self._guard(lambda journal: journal.sync())

    def _tell(self, event: IrradiationEvent) -> None:
        for subscription in self._subscriptions:
            subscription.offer(EventEnded(event))
        for listener in self._listeners:
            try:
                listener(event)
            except OSError as error:
                self.fault(sentence(error))

    # Inner works

    @property
    def _counts_dose(self) -> bool:
        return self._source.info.provenance is not Provenance.RECORDED

    def _apply(self, trigger: Trigger) -> None:
        with self._changed:
            self._state = next_state(self._state, trigger)
            self._changed.notify_all()

    def _release(self) -> None:
        with self._changed:
            run = self._run
            if run is not None and run.released_ns is None:
                run.released_ns = self._clock.monotonic_ns()
                run.over.set()
        if isinstance(self._source, Exposable):
            self._source.release()

    def _forget(self, subscription: Subscription) -> None:
        with self._changed:
            self._subscriptions = tuple(one for one in self._subscriptions if one is not subscription)

    def _guard(self, write: Callable[[Journal], None]) -> None:
        """Write to the journal; what it does not take is a fault."""
        if self._journal is None:
            return
        try:
            write(self._journal)
        except OSError as error:
            self.fault(f"the journal could not be written ({sentence(error)}): free some space")
        except ValueError as error:
            self.fault(f"the journal could not be written ({sentence(error)})")
