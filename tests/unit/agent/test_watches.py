"""Watches of the configuration: how they end."""

from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.logger import LogLevel, globalLogPublisher
from twisted.python.failure import Failure
from twisted.web.client import ResponseNeverReceived

from consulpy.agent.features.watches import _Watch


class Api:
    """The agent's own API, which does not answer; a request that is given up fails as those of Twisted's client."""

    base_url = "http://127.0.0.1:8500"

    def __init__(self) -> None:
        self.requests: list[Deferred[Any]] = []

    def agent(self) -> "Api":
        return self

    def request(self, *_: Any) -> "Deferred[Any]":
        given_up = ResponseNeverReceived([Failure(CancelledError())])
        self.requests.append(Deferred(lambda request: request.errback(given_up)))
        return self.requests[-1]


def test_a_watch_that_is_stopped_asks_no_more_and_logs_no_error() -> None:
    api, clock = Api(), Clock()
    watch = _Watch(clock, api, {"type": "key", "key": "a", "args": ["true"]})  # type: ignore[arg-type]
    errors: list[Any] = []
    globalLogPublisher.addObserver(errors.append)
    try:
        watch.start()
        watch.stop()
        clock.advance(60)
    finally:
        globalLogPublisher.removeObserver(errors.append)
    assert len(api.requests) == 1
    assert clock.getDelayedCalls() == []
    assert [each["log_format"] for each in errors if each["log_level"] >= LogLevel.warn] == []
