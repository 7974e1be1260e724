"""An upstream's instances are asked for once, then watched; without the agent the last known ones are used."""

from random import Random
from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport

from consulpy.proxy.agent_api import ApiError, Reply
from consulpy.proxy.outbound import OutboundFactory
from consulpy.proxy.settings import PREPARED_QUERY, Upstream

PASSING = {"passing": "1", "stale": ""}


class FakeAgent:
    """Answers when it is told to."""

    datacenter: dict[str, str] = {}

    def __init__(self) -> None:
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self._waiting: list[Deferred[Reply]] = []

    async def get(self, path: str, params: dict[str, Any], timeout_s: float = 0) -> Reply:
        self.asked.append((path, params))
        waiting: Deferred[Reply] = Deferred()
        self._waiting.append(waiting)
        return await waiting

    def answer(self, *ports: int, index: int = 5) -> None:
        """Answer the oldest request with instances at these ports."""
        proxy = {"DestinationServiceName": "db"}
        rows = [{"Node": {"Address": "10.0.0.1"}, "Service": {"Port": port, "Proxy": proxy}} for port in ports]
        self._waiting.pop(0).callback(Reply(rows, index))

    def fail(self) -> None:
        self._waiting.pop(0).errback(ApiError("connection refused"))

    @property
    def open(self) -> int:
        return len([each for each in self._waiting if not each.called])


class NoTrust:
    """No certificates yet: no instance is dialed."""

    client = None
    trust_domain = ""


class Laboratory:
    def __init__(self, **upstream: Any) -> None:
        self.clock, self.agent = Clock(), FakeAgent()
        agent: Any = self.agent
        self.factory = OutboundFactory(self.clock, agent, Upstream("db", 1, **upstream), NoTrust(), Random(1))
        self.tried: list[str] = []

        async def connect(instance: Any) -> None:
            self.tried.append(instance.address)

        self.factory._connect = connect  # type: ignore[method-assign, assignment]

    def connect(self) -> None:
        """A program connects."""
        accepted: Any = self.factory.buildProtocol(None)
        accepted.makeConnection(Transport())


class Transport(StringTransport):
    def setTcpKeepAlive(self, enabled: bool) -> None:
        pass

    def setTcpNoDelay(self, enabled: bool) -> None:
        pass

    def unregisterProducer(self) -> None:
        self.producer = None


@pytest.fixture
def lab() -> Laboratory:
    """After the first connection, whose instance is at port 1."""
    lab = Laboratory()
    lab.connect()
    assert lab.agent.asked == [("/v1/health/connect/db", PASSING)]
    lab.agent.answer(1)
    return lab


def test_later_connections_use_what_is_watched(lab: Laboratory) -> None:
    lab.agent.answer(1)
    for _ in range(3):
        lab.connect()
    assert lab.tried == ["10.0.0.1:1"] * 4
    lab.clock.advance(1)
    assert lab.agent.asked[1:] == [("/v1/health/connect/db", PASSING), ("/v1/health/connect/db", PASSING | WAIT)]
    lab.agent.answer(2, index=6)
    lab.connect()
    assert lab.tried[-1] == "10.0.0.1:2"


WAIT = {"index": 5, "wait": "300s"}


def test_while_the_agent_is_away_each_connection_asks_and_the_known_ones_are_used(lab: Laboratory) -> None:
    lab.agent.answer(1)
    lab.clock.advance(1)
    lab.agent.fail()
    lab.connect()
    assert lab.tried == ["10.0.0.1:1"], "it is asked first"
    lab.agent.fail()
    assert lab.tried == ["10.0.0.1:1"] * 2
    lab.connect()
    lab.agent.answer(3)
    assert lab.tried[-1] == "10.0.0.1:3", "the agent is back before the next try of the watch"
    lab.clock.advance(10)
    lab.agent.answer(4)
    lab.connect()
    assert lab.tried[-1] == "10.0.0.1:4"


def test_nothing_is_watched_after_the_end(lab: Laboratory) -> None:
    lab.agent.answer(1)
    lab.clock.advance(1)
    lab.factory.close()
    assert lab.agent.open == 0
    lab.clock.advance(1000)
    assert lab.agent.open == 0
    assert not lab.clock.getDelayedCalls()


def test_a_prepared_query_is_executed_for_each_connection() -> None:
    lab = Laboratory(kind=PREPARED_QUERY)
    for _ in range(2):
        lab.connect()
    assert lab.agent.asked == [("/v1/query/db/execute", {"connect": "true"})] * 2
