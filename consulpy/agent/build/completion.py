"""Raft's callbacks as Deferreds, its errors as those of calls."""

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred

from consulpy.errors import NoLeader, RPCError
from consulpy.raft.interfaces import NotLeader


def completion() -> "tuple[Deferred[None], Callable[[Any], None]]":
    """A Deferred, and the function that fires it with a result or an exception. The Deferred may be cancelled."""
    done: Deferred[None] = Deferred(lambda _: None)

    def finished(result: Any) -> None:
        if done.called:
            return
        if isinstance(result, NotLeader):
            done.errback(NoLeader())
        elif isinstance(result, Exception):
            done.errback(result if isinstance(result, RPCError) else RPCError(str(result)))
        else:
            done.callback(None)

    return done, finished
