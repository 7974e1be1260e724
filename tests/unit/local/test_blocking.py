"""Hash-based blocking queries: ended by a change of the service, its deregistration, or the wait time."""

from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from consulpy.errors import BadRequest, NotFound
from consulpy.local import api, blocking
from consulpy.local.state import LocalState
from tests.fakes.local import Fraction, node


class Reader:
    def __init__(self, known: str | None = None, wait: str = "10s") -> None:
        self.clock = Clock()
        self.local = LocalState(node(), self.clock, Fraction())
        self.register(1)
        known = api.service(self.local, "s").body["ContentHash"] if known is None else known
        self.got: list[Any] = []
        waiting = blocking.service(self.local, "s", known, wait)
        self.waiting = Deferred.fromCoroutine(waiting).addBoth(self.got.append)

    def register(self, port: int) -> None:
        api.register_service(self.local, b'{"Name":"s","Port":%d}' % port)


@pytest.mark.parametrize("known", ["", "zork"])
def test_another_hash_is_answered_immediately(known: str) -> None:
    assert Reader(known).got[0].body["Port"] == 1


def test_a_change_ends_the_query() -> None:
    reader = Reader()
    reader.register(1)  # shows the same
    assert reader.got == []
    reader.register(2)
    assert reader.got[0].body["Port"] == 2
    assert (len(reader.local.entries.watchers), reader.clock.getDelayedCalls()) == (0, [])


def test_after_the_wait_the_present_state_is_returned() -> None:
    """The random part is half of a sixteenth."""
    reader = Reader()
    reader.clock.advance(10.2)
    assert reader.got == []
    reader.clock.advance(0.2)
    assert reader.got[0].body["Port"] == 1


def test_a_deregistered_service_is_not_found() -> None:
    reader = Reader()
    reader.local.deregister_service("s")
    assert reader.got[0].check(NotFound)


def test_cancelling_leaves_nothing_behind() -> None:
    reader = Reader()
    reader.waiting.cancel()
    assert (len(reader.local.entries.watchers), reader.clock.getDelayedCalls()) == (0, [])


@pytest.mark.parametrize(("text", "seconds"), [("", 600), ("1m", 60), ("1h", 600), ("-1s", 600)])
def test_wait_is_bounded(text: str, seconds: float) -> None:
    assert blocking.parse_wait(text) == seconds


def test_an_invalid_wait_is_refused() -> None:
    with pytest.raises(BadRequest, match="Invalid wait time"):
        blocking.parse_wait("abc")
