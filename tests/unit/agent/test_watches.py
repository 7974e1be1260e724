"""Watches of the configuration: how they end."""

from typing import Any

import pytest
from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.task import Clock
from twisted.logger import LogLevel, globalLogPublisher
from twisted.python.failure import Failure
from twisted.web.client import ResponseNeverReceived
from twisted.web.http_headers import Headers

from consulpy.agent.features.watches import _Watch
from consulpy.errors import ConfigError


class Api:
    """The agent's own API, which does not answer; a request that is given up fails as those of Twisted's client."""

    base_url = "http://127.0.0.1:8500"

    def __init__(self) -> None:
        self.requests: list[Deferred[Any]] = []
        self.urls: list[str] = []

    def agent(self) -> "Api":
        return self

    def request(self, _method: bytes, url: bytes, *_: Any) -> "Deferred[Any]":
        self.urls.append(url.decode().removeprefix(self.base_url))
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


@pytest.mark.parametrize(
    ("definition", "url"),
    [
        ({"type": "key", "key": "a", "stale": True}, "/v1/kv/a?stale=1"),
        ({"type": "checks", "state": "critical", "stale": False}, "/v1/health/state/critical"),
        ({"type": "services", "filter": "x"}, "/v1/catalog/services?filter=x"),
        (
            {
                "type": "service",
                "service": "web",
                "tag": ["a", "b"],
                "passingonly": True,
                "filter": "Service.Port == 1",
            },
            "/v1/health/service/web?tag=a&tag=b&passing=1&filter=Service.Port+%3D%3D+1",
        ),
        ({"type": "nodes", "namespace": "", "partition": "default"}, "/v1/catalog/nodes"),
        ({"type": "connect_roots"}, "/v1/agent/connect/ca/roots"),
        ({"type": "connect_leaf", "service": "a/b"}, "/v1/agent/connect/ca/leaf/a%2Fb"),
        ({"type": "agent_service", "service_id": "web 1"}, "/v1/agent/service/web%201"),
    ],
)
def test_all_that_a_watch_may_ask_is_asked(definition: dict[str, Any], url: str) -> None:
    """`filter`, `namespace` and `partition` are of newer configurations; the others of 1.8.7's."""
    api = Api()
    watch = _Watch(Clock(), api, {**definition, "args": ["true"]})  # type: ignore[arg-type]
    watch.start()
    watch.stop()
    assert api.urls == [url]


@pytest.mark.parametrize(
    ("definition", "said"),
    [
        ({"type": "nodes", "partition": "team"}, "invalid parameters: partition"),
        ({"type": "event", "stale": True}, "Invalid parameters: [stale]"),
        ({"type": "key", "key": "a", "filter": "x"}, "Invalid parameters: [filter]"),
        ({"type": "connect_leaf"}, "Must specify a single service to watch"),
        ({"type": "agent_service"}, "Must specify a single service_id to watch"),
        ({"type": "nodes", "http_handler_config": {"path": "http://x", "colour": 1}}, "invalid parameters: colour"),
    ],
)
def test_what_a_watch_cannot_ask_is_named(definition: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError) as error:
        _Watch(Clock(), Api(), {"args": [] if "http_handler_config" in definition else ["true"], **definition})  # type: ignore[arg-type]
    assert said in str(error.value)


def test_a_handler_gets_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """As from Consul: a shell's `read` fails without the line's end."""
    got: list[bytes] = []

    async def handle(_position: int | str, result: bytes) -> None:
        got.append(result)

    class Response:
        code = 200
        headers = Headers({"X-Consul-Index": ["7"]})

    api = Api()
    monkeypatch.setattr("twisted.web.client.readBody", lambda _: succeed(b'{"web": []}'))
    watch = _Watch(Clock(), api, {"type": "services", "args": ["true"]})  # type: ignore[arg-type]
    watch._handler = handle
    watch.start()
    api.requests[0].callback(Response())
    watch.stop()

    assert got == [b'{"web":[]}\n']


def test_a_large_answer_is_rendered_in_a_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """Some 10,000 instances take tenths of a second, in which the agent would answer no probe."""
    jobs: list[Any] = []
    got: list[bytes] = []

    class Reactor(Clock):
        def getThreadPool(self) -> Any:
            return self

        def callInThreadWithCallback(self, done: Any, job: Any, *arguments: Any) -> None:
            jobs.append(lambda: done(True, job(*arguments)))

        def callFromThread(self, call: Any, *arguments: Any) -> None:
            call(*arguments)

    async def handle(_position: int | str, result: bytes) -> None:
        got.append(result)

    class Response:
        code = 200
        headers = Headers({"X-Consul-Index": ["7"]})

    body = b'{"web": ["%s"]}' % (b"x" * 300_000)
    api = Api()
    monkeypatch.setattr("twisted.web.client.readBody", lambda _: succeed(body))
    watch = _Watch(Reactor(), api, {"type": "services", "args": ["true"]})  # type: ignore[arg-type]
    watch._handler = handle
    watch.start()
    api.requests[0].callback(Response())
    assert got == []
    jobs[0]()
    watch.stop()

    assert got == [body.replace(b" ", b"") + b"\n"]
