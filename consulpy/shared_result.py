"""One result for all that wait for it."""

from typing import Generic, TypeVar

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

Result = TypeVar("Result")


class SharedResult(Generic[Result]):
    """The Deferreds of those that wait for the next result. True while there are any."""

    __slots__ = ("_waiting",)

    def __init__(self) -> None:
        self._waiting: list[Deferred[Result]] = []

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def next(self) -> "Deferred[Result]":
        """The next result, or its error. May be cancelled."""
        waiting: Deferred[Result] = Deferred(lambda done: self._waiting.remove(done) if done in self._waiting else None)
        self._waiting.append(waiting)
        return waiting

    def taken(self) -> "list[Deferred[Result]]":
        """The Deferreds of all that wait now, who wait no more: give each the result."""
        waiting, self._waiting = self._waiting, []
        return waiting

    def fire(self, result: Result | Failure) -> None:
        """Give the result, or the error, to all that wait now."""
        for done in self.taken():
            done.callback(result) if not isinstance(result, Failure) else done.errback(result)
