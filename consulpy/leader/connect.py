"""Connect's tasks of the leader: the CA is set up, old roots are removed, aged ones rotated (docs/wire/connect.md)."""

from collections.abc import Callable
from typing import Final

from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure

from consulpy.clock import Clock, Timer, cancel_timer
from consulpy.rpc.connect.interface import CertificateAuthority

#: Seconds between two looks for roots to remove or to rotate.
PRUNE_S: Final = 3600.0
#: Seconds after which a failed setup is tried again.
RETRY_S: Final = 30.0


class ConnectTasks:
    """The tasks of one term. `say(level, text)`: a line in the log."""

    def __init__(self, authority: CertificateAuthority, clock: Clock, say: Callable[[str, str], None]) -> None:
        self._authority = authority
        self._clock = clock
        self._say = say
        self._timer: Timer | None = None
        self._running = True
        self._failed = False
        self._following: Deferred[None] | None = None

    def initialize(self, done: Callable[[], None]) -> None:
        """Set the authority up, then call `done`, also if it failed: a leader without a CA is better than none."""

        def finished(result: object) -> None:
            self._failed = isinstance(result, Failure)
            if isinstance(result, Failure):
                self._say("error", f"the certificate authority of Connect could not be set up: {result.value}")
            done()

        Deferred.fromCoroutine(self._authority.initialize()).addBoth(finished)

    def start(self) -> None:
        """Start the looks for old roots, or try the setup again."""
        if self._running and self._following is None:
            self._following = Deferred.fromCoroutine(self._authority.follow()).addErrback(self._not_followed)
        if self._running and (self._timer is None or not self._timer.active()):
            self._timer = self._clock.callLater(RETRY_S if self._failed else PRUNE_S, self._look)

    def stop(self) -> None:
        """Stop."""
        self._running = False
        if self._following is not None:
            self._following.cancel()
        cancel_timer(self._timer)
        self._timer = None

    def _not_followed(self, failure: Failure) -> None:
        if not failure.check(CancelledError):
            self._say("error", f"the CA of the primary datacenter is not followed: {failure.value}")

    def _look(self) -> None:
        if self._failed:
            self.initialize(self.start)
            return
        looked = Deferred.fromCoroutine(self._authority.prune())
        looked.addErrback(lambda failure: self._say("warn", f"old roots of the CA stay listed: {failure.value}"))
        looked.addCallback(lambda _: Deferred.fromCoroutine(self._authority.rotate_on_schedule()))
        looked.addErrback(lambda failure: self._say("warn", f"the root of the CA was not rotated: {failure.value}"))
        looked.addBoth(lambda _: self.start())
