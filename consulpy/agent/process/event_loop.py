"""The reactor's loop over ready descriptors, without Twisted's log context around each call.

The context only tells Twisted's old log a prefix that nothing here prints; to enter and leave it costs as much as
reading a datagram. Only for a process of one agent or proxy: another program may use the prefix.
"""

from typing import Any

from consulpy.log import Logger

_log = Logger()


def dispatch_directly(reactor: Any) -> None:
    """Have `EPollReactor` call ready descriptors directly; other reactors stay as they are."""
    if not all(hasattr(reactor, name) for name in ("_poller", "_selectables", "_doReadOrWrite", "doPoll")):
        return
    ready, read_or_write = reactor._selectables, reactor._doReadOrWrite

    def iterate(timeout_s: float | None) -> None:
        # `poll` itself goes on after a signal (PEP 475).
        for descriptor, event in reactor._poller.poll(-1 if timeout_s is None else timeout_s, len(ready)):
            selectable = ready.get(descriptor)
            if selectable is None:
                continue  # closed by an earlier one
            try:
                read_or_write(selectable, descriptor, event)
            except Exception:
                _log.failure("a connection could not be closed")

    reactor.doIteration = iterate


__all__ = ["dispatch_directly"]
