"""A clock for simulations: virtual time and a heap of timers, which is fast with a thousand nodes.

(`twisted.internet.task.Clock` sorts all its calls at each `callLater`.)
"""

from collections.abc import Callable
from heapq import heapify
from heapq import heappop as _pop
from heapq import heappush as _push
from typing import Any, Final

#: Ratio of cancelled to active timers above which the heap is cleaned.
_GARBAGE: Final = 2


class HeapTimer:
    """A delayed call, due at `at_s`."""

    __slots__ = ("_arguments", "_call", "_clock", "_later", "_named", "at_s", "owner")

    def __init__(
        self,
        clock: "HeapClock",
        at_s: float,
        call: Callable[..., object],
        arguments: tuple[Any, ...],
        named: dict[str, Any],
    ) -> None:
        self._clock = clock
        self.at_s = at_s
        self._call: Callable[..., object] | None = call
        self._arguments = arguments
        self._named = named
        #: The timer that has the call since `reset`.
        self._later: HeapTimer | None = None
        #: Whose timer it is, for `HeapClock.cancel_of`.
        self.owner: object = None

    def active(self) -> bool:
        """Whether the call is pending."""
        return self._call is not None or (self._later is not None and self._later.active())

    def getTime(self) -> float:
        """When it is due, in the clock's seconds."""
        return self.at_s if self._later is None else self._later.getTime()

    def reset(self, seconds: float) -> None:
        """Delay the call until `seconds` from now."""
        if self._later is not None:
            self._later.reset(seconds)
            return
        assert self._call is not None, "only an active timer is reset"
        self._later = self._clock.callLater(seconds, self._call, *self._arguments, **self._named)
        self._later.owner = self.owner
        self._clear()

    def delay(self, seconds: float) -> None:
        """Delay the call by `seconds`."""
        self.reset(max(self.getTime() + seconds - self._clock.seconds(), 0.0))

    def cancel(self) -> None:
        """Cancel the call."""
        if self._later is not None:
            self._later.cancel()
            return
        assert self._call is not None, "only an active timer is cancelled"
        self._clear()

    def _clear(self) -> None:
        self._call = None
        self._arguments = ()
        self._clock._cancelled()


class HeapClock:
    """Virtual seconds from 0; time moves only in `advance`. Calls due at the same time are made in the order of
    `callLater`.
    """

    def __init__(self) -> None:
        self._now_s = 0.0
        #: When a call is due, its number, its timer; without a timer the call itself.
        self._heap: list[tuple[float, int, HeapTimer | None, Callable[..., object] | None, tuple[Any, ...]]] = []
        self._count = 0
        self._garbage = 0
        #: Number of calls made.
        self.calls = 0

    def seconds(self) -> float:
        """The virtual time."""
        return self._now_s

    def callLater(
        self,
        delay: float,
        callable: Callable[..., object],  # noqa: A002
        *args: Any,
        **kw: Any,
    ) -> HeapTimer:
        """Call `callable` after `delay` virtual seconds."""
        assert delay >= 0
        at_s = self._now_s + delay
        timer = HeapTimer(self, at_s, callable, args, kw)
        self._count = count = self._count + 1
        _push(self._heap, (at_s, count, timer, None, ()))
        return timer

    def post(self, delay: float, call: Callable[..., object], *arguments: Any) -> None:
        """The same without a timer, for what is never cancelled: a packet on its way."""
        self._count = count = self._count + 1
        _push(self._heap, (self._now_s + delay, count, None, call, arguments))

    def advance(self, seconds: float) -> None:
        """Advance time by `seconds`, making all due calls in order."""
        self.advance_to(self._now_s + seconds)

    def advance_to(self, until_s: float) -> None:
        """Advance time to `until_s`."""
        heap = self._heap
        while heap and heap[0][0] <= until_s:
            at_s, _, timer, call, arguments = _pop(heap)
            if timer is None:
                assert call is not None
                self._now_s = at_s
                self.calls += 1
                call(*arguments)
                continue
            call, timer._call = timer._call, None
            if call is None:
                self._garbage -= 1
                continue
            self._now_s = at_s
            self.calls += 1
            if timer._named:
                call(*timer._arguments, **timer._named)
            else:
                call(*timer._arguments)
        self._now_s = max(until_s, self._now_s)

    def step(self, until_s: float) -> bool:
        """Make the next call that is due by `until_s`; without one, time is `until_s` and the result False."""
        while self._heap and self._heap[0][0] <= until_s:
            at_s, _, timer, call, arguments = _pop(self._heap)
            named: dict[str, Any] = {}
            if timer is not None:
                call, timer._call = timer._call, None
                arguments, named = timer._arguments, timer._named
            if call is None:
                self._garbage -= 1
                continue
            self._now_s = max(at_s, self._now_s)
            self.calls += 1
            call(*arguments, **named)
            return True
        self._now_s = max(until_s, self._now_s)
        return False

    def advance_until(self, condition: Callable[[], bool], most_s: float, step_s: float = 0.1) -> bool:
        """Advance time in steps until `condition()`, by at most `most_s` seconds; whether it became true."""
        end_s = self._now_s + most_s
        while not condition():
            if self._now_s >= end_s:
                return False
            self.advance_to(min(self._now_s + step_s, end_s))
        return True

    def cancel_of(self, owner: object) -> None:
        """Cancel all calls of an owner."""
        for _, _, timer, _, _ in list(self._heap):
            if timer is not None and timer.owner is owner and timer._call is not None:
                timer.cancel()

    def _cancelled(self) -> None:
        self._garbage += 1
        if self._garbage > 1000 and self._garbage > _GARBAGE * (len(self._heap) - self._garbage):
            self._heap[:] = [entry for entry in self._heap if entry[2] is None or entry[2].active()]
            heapify(self._heap)
            self._garbage = 0


class NodeClock:
    """The clocks of one node in a simulation: a monotonic one, and a wall clock that may be wrong and jump.

    `began_s`: the monotonic clock at the start of the simulation. `skew_s`: how far the wall clock is ahead. `late_s`:
    how much later than due calls are made, of a node that is slow (set by `slow`).
    """

    #: Seconds since 1970 at the start of a simulation.
    EPOCH_S: Final = 1_700_000_000.0

    def __init__(self, clock: HeapClock, began_s: float = 0.0, skew_s: float = 0.0) -> None:
        self._clock = clock
        self._began_s = began_s
        self.skew_s = skew_s
        self.late_s = 0.0
        self.callLater = clock.callLater
        #: The monotonic time; only differences are meaningful.
        self.seconds: Callable[[], float] = self._seconds if began_s else clock.seconds

    def _seconds(self) -> float:
        return self._clock.seconds() + self._began_s

    def wall_s(self) -> float:
        """The wall clock: seconds since 1970."""
        return self.EPOCH_S + self._clock.seconds() + self.skew_s

    def jump(self, by_s: float) -> None:
        """Set the wall clock ahead by `by_s`."""
        self.skew_s += by_s

    def cancel_of(self, owner: object) -> None:
        """Cancel all calls of an owner (`HeapTimer.owner`)."""
        self._clock.cancel_of(owner)

    def slow(self, by_s: float) -> None:
        """Make all calls that are scheduled from now on `by_s` seconds late; 0: in time again."""
        self.late_s = by_s
        self.callLater = self._call_late if by_s else self._clock.callLater

    def _call_late(
        self,
        delay: float,
        callable: Callable[..., object],  # noqa: A002
        *args: Any,
        **kw: Any,
    ) -> HeapTimer:
        return self._clock.callLater(delay + self.late_s, callable, *args, **kw)
