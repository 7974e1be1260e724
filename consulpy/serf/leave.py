"""Leaving gracefully, step by step: the intent first, then memberlist's own word, then time for all to hear of it.

Others show us as failed instead if the intent reaches them after memberlist's message, so it is transmitted before.
Source: docs/wire/gossip.md 6.8. No step that takes too long keeps the next from being taken (section 11).
"""

from collections.abc import Callable

from consulpy.clock import Timer
from consulpy.serf.interface import LocalSerf
from consulpy.serf.members import Status
from consulpy.serf.messages import LeaveIntent


class Leaving:
    """One departure; `done` is called at its end, once."""

    def __init__(self, serf: LocalSerf, done: Callable[[], None]) -> None:
        self._serf = serf
        self._done = done
        self._timer: Timer | None = None
        self._intent_sent = False

    def start(self) -> None:
        """Say that we leave."""
        serf = self._serf
        intent = LeaveIntent(serf.ltime.time(), serf.local_name)
        serf.ltime.increment()
        serf.take_leave_intent(intent)
        if not serf.others_are_alive():
            self._leave_memberlist()
            return
        serf.broadcasts.intent(intent.encode(), self._leave_memberlist)
        self._timer = serf.clock.callLater(serf.config.broadcast_timeout_s, self._too_slow)

    def stop(self) -> None:
        """We are shut down while leaving: nothing more is done."""
        self._drop_timer()
        self._intent_sent = True
        self._done = lambda: None

    def _too_slow(self) -> None:
        self._serf.log("warn", "timed out broadcasting our intent to leave; leaving all the same")
        self._leave_memberlist()

    def _leave_memberlist(self) -> None:
        if self._intent_sent:
            return
        self._intent_sent = True
        self._drop_timer()
        self._serf.memberlist.leave(self._serf.config.broadcast_timeout_s, self._left_memberlist)

    def _left_memberlist(self, *_result: object) -> None:
        self._timer = self._serf.clock.callLater(self._serf.config.leave_propagate_delay_s, self._finish)

    def _finish(self) -> None:
        self._timer = None
        local = self._serf.members.get(self._serf.local_name)
        if local is not None and local.status is not Status.LEFT:
            self._serf.log("warn", f"we left, but list ourselves as {local.status}")
        self._done()

    def _drop_timer(self) -> None:
        timer, self._timer = self._timer, None
        if timer is not None and timer.active():
            timer.cancel()
