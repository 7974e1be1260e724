"""Graceful leave: broadcast the leave intent, leave memberlist, wait for propagation.

Other members show us as failed if the intent reaches them after memberlist's dead message, so it is transmitted first.
Source: docs/wire/gossip.md 6.8. A step that times out does not prevent the next one (section 11).
"""

from collections.abc import Callable

from consulpy.clock import Timer, cancel_timer
from consulpy.serf.interface import LocalSerf
from consulpy.serf.members import Status
from consulpy.serf.messages import LeaveIntent


class LeaveProcess:
    """One leave in progress; `done` is called once, at its end."""

    def __init__(self, serf: LocalSerf, done: Callable[[], None]) -> None:
        self._serf = serf
        self._done = done
        self._timer: Timer | None = None
        self._intent_sent = False

    def start(self) -> None:
        """Broadcast the leave intent."""
        serf = self._serf
        intent = LeaveIntent(serf.ltime.time(), serf.local_name)
        serf.ltime.increment()
        serf.handle_leave_intent(intent)
        if not serf.has_alive_members():
            self._leave_memberlist()
            return
        serf.broadcasts.intent(intent.encode(), self._leave_memberlist)
        self._timer = serf.clock.callLater(serf.config.broadcast_timeout_s, self._broadcast_timed_out)

    def stop(self) -> None:
        """Abort: Serf was shut down while leaving. `done` is not called."""
        self._cancel_timer()
        self._intent_sent = True
        self._done = lambda: None

    def _broadcast_timed_out(self) -> None:
        self._serf.log("warn", "timed out broadcasting our intent to leave; leaving all the same")
        self._leave_memberlist()

    def _leave_memberlist(self) -> None:
        if self._intent_sent:
            return
        self._intent_sent = True
        self._cancel_timer()
        self._serf.memberlist.leave(self._serf.config.broadcast_timeout_s, self._left_memberlist)

    def _left_memberlist(self, *_result: object) -> None:
        self._timer = self._serf.clock.callLater(self._serf.config.leave_propagate_delay_s, self._finish)

    def _finish(self) -> None:
        self._timer = None
        local = self._serf.members.get(self._serf.local_name)
        if local is not None and local.status is not Status.LEFT:
            self._serf.log("warn", f"we left, but list ourselves as {local.status}")
        self._done()

    def _cancel_timer(self) -> None:
        cancel_timer(self._timer)
        self._timer = None
