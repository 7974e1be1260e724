"""`consulpy.agent.Agent`: an agent inside a Twisted program. Source: docs/embedding.md."""

import gc
import os
import signal
import socket
import sys
import threading
import urllib.request
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import pytest_twisted
from twisted.internet import reactor as _reactor
from twisted.internet.defer import Deferred
from twisted.internet.protocol import ClientFactory
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread
from twisted.logger import capturedLogs, formatEvent, globalLogPublisher

from consulpy.agent import Agent
from consulpy.agent.process.reactor_scope import ReactorScope
from consulpy.config.load import load
from consulpy.errors import ConfigError, RPCError
from consulpy.service import AgentService

reactor: Any = _reactor


def what_is_there() -> tuple[set[Any], set[Any], set[Any], set[threading.Thread]]:
    return (
        set(reactor.getDelayedCalls()),
        set(reactor.getReaders()),
        set(reactor.getWriters()),
        {thread for thread in threading.enumerate() if "PoolThread" not in thread.name},
    )


def new_since(before: tuple[set[Any], ...]) -> list[Any]:
    """What was not there before; what has ended meanwhile was another test's."""
    return [each for now, then in zip(what_is_there(), before, strict=True) for each in now - then]


def server(**config: Any) -> Agent:
    return Agent.create(reactor, server=True, ports="ephemeral", config=config)


def client(**config: Any) -> Agent:
    return Agent.create(reactor, ports="ephemeral", config=config)


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    for _ in range(500):
        if await condition():
            return
        await deferLater(reactor, 0.02)
    raise AssertionError("it did not come true")


async def names(agent: Agent) -> dict[str, int]:
    members = (await agent.request("GET", "/v1/agent/members")).json()
    return {member["Name"]: member["Status"] for member in members}


async def fetch(url: str) -> bytes:
    return await deferToThread(lambda: urllib.request.urlopen(url, timeout=60).read())


@pytest_twisted.ensureDeferred
async def test_when_it_has_started_http_dns_and_leader_are_there() -> None:
    agent = server(datacenter="here")
    await agent.start()
    assert (await fetch(f"{agent.url}/v1/status/leader")).decode().strip('"') == "{}:{}".format(*agent.rpc_addr or ())
    assert agent.url == "http://{}:{}".format(*agent.http_addr or ())
    assert agent.node_name.startswith("consulpy-")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.connect(agent.dns_addr or ("", 0))
        client.settimeout(5)
        name = agent.node_name.encode()
        question = bytes([len(name)]) + name + b"\4node\6consul\0\0\1\0\1"
        client.send(b"\0\1\1\0\0\1\0\0\0\0\0\0" + question)
        answer = await deferToThread(client.recv, 512)
    assert bytes([0, 4, 127, 0, 0, 1]) in answer
    await agent.stop()


@pytest_twisted.ensureDeferred
async def test_nothing_is_left_after_the_stop() -> None:
    """Also of clients that are connected, of a waiting query, of a join and of checks."""
    await deferToThread(lambda: None)
    before = what_is_there()
    for _ in range(2):
        one = server(
            retry_join=["127.0.0.1:1"], watches=[{"type": "nodes", "handler_type": "script", "args": ["true"]}]
        )
        two = client(ports={"https": -1})
        await one.start()
        await two.start()
        assert await two.join(one) == 1
        check = {"TCP": "127.0.0.1:1", "Interval": "1s"}
        await one.request("PUT", "/v1/agent/service/register", {"Name": "web", "Check": check})
        waiting = one.request("GET", "/v1/kv/none?index=1000")
        waiting.addErrback(lambda failure: failure.trap(RPCError))
        sockets = [
            socket.create_connection(address)
            for address in (one.http_addr, one.rpc_addr, one.lan_addr, one.dns_addr)
            if address
        ]
        await deferLater(reactor, 0.05)
        assert (await two.request("GET", "/v1/catalog/services")).json().keys() >= {"consul"}
        await two.stop()
        await one.stop()
        for each in sockets:
            each.close()
        assert not new_since(before)


@pytest.mark.parametrize(
    ("port", "what"), [("http", "HTTP"), ("dns", "DNS"), ("server", "RPC"), ("serf_lan", "gossip")]
)
@pytest_twisted.ensureDeferred
async def test_nothing_is_left_of_an_agent_that_cannot_start(port: str, what: str) -> None:
    before = what_is_there()
    with socket.create_server(("127.0.0.1", 0)) as other:
        number = other.getsockname()[1]
        agent = server(ports={port: number})
        with pytest.raises(ConfigError, match=f"^{what}: 127.0.0.1:{number} is in use by another program"):
            await agent.start()
    assert not new_since(before)
    with pytest.raises(RuntimeError, match="starts once"):
        agent.start()


@pytest.mark.parametrize(
    ("config", "text"),
    [
        ({"datacentre": "x"}, "config: invalid config key datacentre; did you mean datacenter?"),
        ({"ports": {"http": "80"}}, "config: ports.http: expected a whole number, not '80'"),
        ({"data_dir": "/proc/none"}, "data_dir"),
        ({"log_file": "x.log"}, "its log is in twisted.logger"),
        ({3: "x"}, "expected names of settings as texts"),
        (["server"], "config: expected a mapping of Consul's keys to values, not ['server']"),
        ("", "config: expected a mapping of Consul's keys to values, not ''"),
        ({"services": ({"name": ""},)}, "services"),
    ],
)
def test_a_mistake_in_the_settings_is_an_error_as_from_a_file(config: Any, text: str) -> None:
    with pytest.raises(ConfigError) as error:
        Agent.create(reactor, config=config)
    assert text in str(error.value)


@pytest_twisted.ensureDeferred
async def test_a_connection_that_begins_while_it_stops_leaves_no_socket() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        scope = ReactorScope(reactor, "n1")
        begun = scope.connectTCP("127.0.0.1", listening.getsockname()[1], ClientFactory())
        begun_socket: Any = begun.transport.socket  # type: ignore[union-attr]
        assert begun_socket.fileno() >= 0
        closed = scope.close()
        late = scope.connectTCP("127.0.0.1", listening.getsockname()[1], ClientFactory())
        await closed
    assert begun_socket.fileno() == -1
    assert not hasattr(late.transport, "socket")


@pytest_twisted.ensureDeferred
async def test_a_port_that_is_named_wins_and_a_closed_one_is_none() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    agent = server(ports={"http": port, "dns": -1, "serf_wan": -1})
    await agent.start()
    assert agent.http_addr == ("127.0.0.1", port)
    assert (agent.dns_addr, agent.wan_addr) == (None, None)
    assert await fetch(f"{agent.url}/v1/status/peers")
    await agent.stop()


def test_it_uses_consuls_ports_unless_told_otherwise() -> None:
    agent = Agent.create(reactor, server=True)
    found = [agent.http_addr, agent.dns_addr, agent.rpc_addr, agent.lan_addr, agent.wan_addr]
    assert found == [("127.0.0.1", port) for port in (8500, 8600, 8300, 8301, 8302)]
    assert Agent.create(reactor).rpc_addr is None


@pytest_twisted.ensureDeferred
async def test_requests_have_the_same_answers_as_over_a_socket() -> None:
    agent = server()
    await agent.start()
    put = await agent.request("PUT", "/v1/kv/a b/\u00fc?flags=7", b"\0value")
    assert (put.status, put.json()) == (200, True)
    got = await agent.request("GET", "/v1/kv/a b/\u00fc?raw")
    assert got.body == b"\0value"
    path = "/v1/kv/a%20b/%C3%BC?raw"
    assert await fetch(agent.url + path) == got.body
    assert got.headers["X-Consul-Index"] == (await agent.request("GET", path)).headers["x-consul-index"]
    refused = await agent.request("PUT", "/v1/txn", "[")
    assert refused.status == 400
    assert (await agent.request("GET", "/v1/none")).status == 404
    assert (await agent.request("DELETE", "/v1/kv/?recurse")).json() is True
    with pytest.raises(ValueError, match=r"status 500: Connect must be enabled in order to use this endpoint$"):
        (await agent.request("GET", "/v1/connect/ca/roots")).json()
    assert (await agent.request("GET", "/v1/kv/?recurse")).status == 404
    large = os.urandom(400_000)
    await agent.request("PUT", "/v1/kv/large", large)
    assert (await agent.request("GET", "/v1/kv/large?raw")).body == large
    for path in ("v1/kv/a", agent.url + "/v1/kv/a", ""):
        with pytest.raises(ValueError, match="path: expected what follows the agent's URL"):
            agent.request("GET", path)
    with pytest.raises(ValueError, match="line end"):
        agent.request("GET", "/v1/kv/a", headers={"X-Consul-Token": "a\r\nB: c"})
    await agent.stop()
    with pytest.raises(RuntimeError, match="does not run"):
        agent.request("GET", "/v1/kv/a")


@pytest_twisted.ensureDeferred
async def test_after_a_join_both_sides_see_each_other() -> None:
    one, two, three = server(), client(), client()
    for agent in (one, two, three):
        await agent.start()
    assert await two.join(one) == 1
    assert await names(one) == await names(two) == {one.node_name: 1, two.node_name: 1}
    host, port = one.lan_addr or ("", 0)
    assert await three.join([(host, port), f"{host}:{port}", two]) == 3
    assert three.node_name in await names(one)
    with pytest.raises(RPCError, match="nothing-listens"):
        await three.join("127.0.0.1:1")
    for wrong in (5, None, ("127.0.0.1",)):
        with pytest.raises(TypeError, match="to join"):
            await three.join(wrong)
    await three.stop(leave=True)
    assert (await names(one))[three.node_name] == 3
    await two.stop()
    await one.stop()


@pytest_twisted.ensureDeferred
async def test_a_leave_ends_the_joins_of_the_configuration_without_a_warning() -> None:
    agent = client(retry_join=["127.0.0.1:1"])
    await agent.start()
    with capturedLogs() as logged:
        await agent.stop(leave=True)
    said = [formatEvent(event) or "" for event in logged]
    assert "leaving" in said
    assert [text for text in said[said.index("leaving") :] if "join" in text] == []


@pytest_twisted.ensureDeferred
async def test_two_datacenters_join_by_wan() -> None:
    one, two = server(datacenter="one"), server(datacenter="two")
    await one.start()
    await two.start()
    assert await one.join(two, wan=True) == 1
    await two.request("PUT", "/v1/kv/there", b"x")

    async def answered() -> bool:
        return (await one.request("GET", "/v1/kv/there?dc=two&raw")).body == b"x"

    await until(answered)
    await one.stop()
    await two.stop()


@pytest_twisted.ensureDeferred
async def test_two_agents_share_nothing_and_the_log_names_its_agent() -> None:
    lines: list[tuple[str, str]] = []

    def observe(event: dict[str, Any]) -> None:
        if event["log_namespace"].startswith("consulpy"):
            lines.append((event["log_namespace"], str(event.get("text"))))

    observers = list(globalLogPublisher._observers)
    one, two = server(node_name="one"), server(node_name="two", datacenter="dc2")
    globalLogPublisher.addObserver(observe)
    try:
        await one.start()
        await two.start()
        await one.request("PUT", "/v1/kv/key", b"one's")
        assert (await two.request("GET", "/v1/kv/key")).status == 404
        await one.request("PUT", "/v1/agent/maintenance?enable=true")
        assert (await two.request("GET", "/v1/agent/checks")).json() == {}
        await one.stop()
        assert (await two.request("GET", "/v1/status/leader")).status == 200
        await two.stop()
    finally:
        globalLogPublisher.removeObserver(observe)
    assert globalLogPublisher._observers == observers
    assert ("consulpy.agent[one].leader", "this server leads datacenter dc1") in lines
    assert ("consulpy.agent[two].leader", "this server leads datacenter dc2") in lines
    assert {namespace.partition("]")[0] for namespace, _ in lines} == {"consulpy.agent[one", "consulpy.agent[two"}


@pytest_twisted.ensureDeferred
async def test_the_process_stays_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    def state() -> Any:
        handlers = {number: signal.getsignal(number) for number in signal.valid_signals() if number not in (9, 19)}
        return (
            handlers,
            gc.get_threshold(),
            gc.get_freeze_count(),
            sys.getswitchinterval(),
            dict(os.environ),
            reactor.seconds,
        )

    monkeypatch.setenv("DOCKER_HOST", "tcp://127.0.0.1:1")
    monkeypatch.setenv("CONSUL_HTTP_ADDR", "127.0.0.1:1")
    before = state()
    agent = server()
    await agent.start()
    assert state() == before
    await agent.stop()
    assert state() == before


@pytest_twisted.ensureDeferred
async def test_a_leave_by_http_stops_it() -> None:
    before = what_is_there()
    agent = client()
    await agent.start()
    assert (await agent.request("PUT", "/v1/agent/leave")).status == 200

    async def stopped() -> bool:
        return not new_since(before)

    await until(stopped)
    await agent.stop()
    await agent.stop()


@pytest_twisted.ensureDeferred
async def test_a_service_starts_and_stops_it() -> None:
    agent = server()
    service: Any = agent.service()
    service.startService()
    assert await fetch(f"{agent.url}/v1/status/leader")
    await service.stopService()
    with socket.create_server(("127.0.0.1", 0)) as other:
        failing: Any = server(ports={"http": other.getsockname()[1]}).service()
        with pytest.raises(ConfigError, match="in use"):
            failing.startService()


@pytest_twisted.ensureDeferred
async def test_with_a_data_directory_the_state_is_there_again(tmp_path: Any) -> None:
    for wanted in (404, 200):
        agent = server(data_dir=str(tmp_path), bootstrap=True)
        await agent.start()
        assert (await agent.request("GET", "/v1/kv/key")).status == wanted
        await agent.request("PUT", "/v1/kv/key", b"value")
        await agent.stop()


@pytest_twisted.ensureDeferred
async def test_many_agents_start_at_once() -> None:
    agents = [server(datacenter=f"dc{number}") for number in range(12)]
    starting: list[Deferred[None]] = [agent.start() for agent in agents]
    for each in starting:
        await each
    assert len({agent.http_addr for agent in agents}) == 12
    for agent in agents:
        await agent.stop()


@pytest_twisted.ensureDeferred
async def test_the_programs_service_leaves_signals_alone_unless_they_are_its_own(tmp_path: Any) -> None:
    def handlers() -> list[Any]:
        return [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)]

    before, flags = handlers(), ["-bind=127.0.0.1", "-http-port=-1", "-dns-port=-1", "-serf-lan-port=20999"]
    for signals in (False, True):
        service = AgentService(load([*flags, f"-data-dir={tmp_path}"]), reactor, signals=signals)
        service.startService()
        await deferLater(reactor, 0.01)
        try:
            assert (handlers() != before) is signals
        finally:
            for number, handler in zip((signal.SIGINT, signal.SIGTERM, signal.SIGHUP), before, strict=True):
                signal.signal(number, handler)
            await service.stopService()
            await deferLater(reactor, 0.05)  # its ports are closed a turn later


@pytest_twisted.ensureDeferred
async def test_three_servers_in_memory_wait_for_each_other_and_lead_together() -> None:
    before = what_is_there()
    config: dict[str, Any] = {"bootstrap_expect": 3, "performance": {"raft_multiplier": 1}}
    agents = [server(**config) for _ in range(3)]
    starting = [agent.start() for agent in agents]
    await deferLater(reactor, 0.2)
    assert not any(each.called for each in starting)
    for agent in agents[1:]:
        await agent.join(agents[0])
    for each in starting:
        await each
    await agents[0].request("PUT", "/v1/kv/key", b"value")
    assert (await agents[2].request("GET", "/v1/kv/key?raw")).body == b"value"
    assert len((await agents[1].request("GET", "/v1/status/peers")).json()) == 3
    for agent in agents:
        await agent.stop()
    assert not new_since(before)


@pytest_twisted.ensureDeferred
async def test_an_agent_that_is_stopped_before_there_is_a_leader_says_so() -> None:
    before = what_is_there()
    agent = server(bootstrap_expect=3)
    starting = agent.start()
    await agent.stop()
    with pytest.raises(RuntimeError, match="stopped before its datacenter had a leader"):
        await starting
    assert not new_since(before)
