"""Backends of the `consul` of a test: an agent in this process, or one that is reached over HTTP."""

import asyncio
import http.client
import socket
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol
from urllib.parse import urlsplit

from consulpy.agent.process.monotonic import monotonic_s
from consulpy.errors import ConfigError
from consulpy.testing.http_reset import reset_over_http
from consulpy.testing.operations import Operations

if TYPE_CHECKING:
    from consulpy.agent.embedded import Agent, Ports
    from consulpy.testing.reactors import ReactorLoop

Address = tuple[str, int]
#: What a test asks for, as a coroutine over the operations.
Make = Callable[[Operations], Coroutine[Any, Any, Any]]

#: Longest wait for one HTTP response, in seconds.
REQUEST_TIMEOUT_S: Final = 60.0
#: Settings of agents in tests, below those of the test: failures are noticed in seconds instead of half a minute.
QUICK: Final[Mapping[str, Any]] = {
    **{
        pool: {"gossip_interval": "100ms", "probe_interval": "100ms", "probe_timeout": "100ms", "suspicion_mult": 3}
        for pool in ("gossip_lan", "gossip_wan")
    },
    "performance": {"raft_multiplier": 1, "leave_drain_time": "10ms"},
}


def with_quick_settings(config: Mapping[str, Any] | None) -> dict[str, Any]:
    """`config` over the settings of agents in tests. Raises `ConfigError` if it is no mapping."""
    if config is not None and not isinstance(config, Mapping):
        raise ConfigError(f"config: expected a mapping of Consul's keys to values, not {config!r}")
    merged = {name: dict(block) for name, block in QUICK.items()}
    for name, value in (config or {}).items():
        if name in merged and isinstance(value, Mapping):
            merged[name] |= value
        else:
            merged[name] = value
    return merged


def management_token(config: Mapping[str, Any] | None) -> str:
    """The token of `acl.tokens` that may do everything, for what a test asks for through its `consul`; else empty."""
    acl = config.get("acl") if isinstance(config, Mapping) else None
    tokens = acl.get("tokens") if isinstance(acl, Mapping) else None
    if not isinstance(tokens, Mapping):
        return ""
    return str(tokens.get("initial_management") or tokens.get("master") or "")


class Backend(Protocol):
    """An agent that a test uses."""

    #: The agent, if it is in this process.
    agent: "Agent | None"

    @property
    def url(self) -> str:
        """The base of HTTP URLs."""

    @property
    def dns(self) -> Address | None:
        """Where DNS answers; None: nowhere, or not known."""

    def run(self, make: Make) -> Any:
        """Run an operation and wait for it."""

    def begin(self, make: Make) -> Awaitable[Any]:
        """Run an operation, to be awaited."""

    def reset(self) -> Make:
        """The operation after which the agent is as new."""

    def close(self) -> None:
        """Stop the agent, if it is the test's."""


class InProcess:
    """An agent in this process. `close` stops it. `token`: sent with each request, if there is one."""

    def __init__(self, reactor: Any, agent: "Agent", token: str = "") -> None:
        from twisted.internet.task import deferLater

        self._reactor = reactor
        self.replace_agent(agent)
        headers = {"X-Consul-Token": token} if token else {}
        self.operations = Operations(
            lambda method, path, body: self._agent.request(method, path, body, headers),
            lambda seconds: deferLater(reactor, seconds),
            monotonic_s,
            lambda: self._agent.core.parts.anti_entropy.flush(),
        )

    def replace_agent(self, agent: "Agent") -> None:
        """Stand for another agent from now on."""
        self.agent: Agent | None = agent
        self._agent = agent

    @property
    def loop(self) -> "ReactorLoop":
        """Runs coroutines for callers in this thread."""
        from consulpy.testing.reactors import loop_of

        return loop_of(self._reactor)

    @property
    def url(self) -> str:
        """See `Backend.url`."""
        return self._agent.url

    @property
    def dns(self) -> Address | None:
        """See `Backend.dns`."""
        return self._agent.dns_addr

    def run(self, make: Make) -> Any:
        """See `Backend.run`."""
        return self.loop.run(lambda: make(self.operations))

    def begin(self, make: Make) -> Awaitable[Any]:
        """See `Backend.begin`."""
        from consulpy.testing.reactors import awaitable

        return awaitable(self.loop, lambda: make(self.operations))

    def reset(self) -> Make:
        """See `Backend.reset`."""

        async def make(operations: Operations) -> None:
            await self._agent.core.reset()
            operations.keys.clear()
            operations.services.clear()

        return make

    def close(self) -> None:
        """Stop the agent; in the reactor's own thread it is gone a turn later."""
        from consulpy.testing.reactors import stop_all

        stop_all(self.loop, [self._agent])


def start_in_process(*, server: bool, ports: "Ports", config: Mapping[str, Any] | None) -> InProcess:
    """Start an agent in this process and wait until it answers. Raises `ConfigError`."""
    from consulpy.agent.embedded import Agent
    from consulpy.testing.reactors import reactor_loop

    loop = reactor_loop()
    agent = Agent.create(loop.reactor, server=server, ports=ports, config=with_quick_settings(config))
    loop.run(agent.start)
    return InProcess(loop.reactor, agent, management_token(config))


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """A response that came over a socket."""

    status: int
    headers: Any
    body: bytes

    def json(self) -> Any:
        """The body as JSON. Raises `ValueError`."""
        import json

        return json.loads(self.body)


def dns_of(settings: Mapping[str, Any], host: str) -> Address | None:
    """Where DNS answers of the agent at `host` with these settings (`DebugConfig`), as far as they say it."""
    for url in settings.get("DNSAddrs") or ():
        parts = urlsplit(url)
        if parts.scheme == "udp" and parts.hostname and parts.port:
            everywhere = parts.hostname in ("0.0.0.0", "::")
            return host if everywhere else parts.hostname, parts.port
    return None


class OverHttp:
    """An agent that runs elsewhere, at `url`. `token`: sent with each request, if there is one."""

    agent: "Agent | None" = None

    def __init__(self, url: str, dns: Address | None, token: str = "") -> None:
        self._url = url.rstrip("/")
        self._dns = dns
        parts = urlsplit(self._url)
        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        if parts.hostname is None or parts.scheme not in ("http", "https"):
            raise ValueError(f"expected the URL of an agent as http://127.0.0.1:8500, not {url!r}")
        self._host, self._port, self._prefix = parts.hostname, parts.port, parts.path
        self._kind = kind
        self._headers = {"X-Consul-Token": token} if token else {}
        self._lock = threading.Lock()
        self._connection: http.client.HTTPConnection | None = None
        self.operations = Operations(self._send, _sleep, monotonic_s)

    @property
    def url(self) -> str:
        """See `Backend.url`."""
        return self._url

    @property
    def dns(self) -> Address | None:
        """See `Backend.dns`."""
        return self._dns

    async def _send(self, method: str, path: str, body: bytes) -> HttpAnswer:
        with self._lock:
            try:
                try:
                    return self._exchange(method, path, body)
                except (http.client.HTTPException, ConnectionError):
                    self._close_connection()  # it was idle for too long; once more on a new one
                    return self._exchange(method, path, body)
            except (http.client.HTTPException, OSError) as error:
                self._close_connection()
                raise ConnectionError(f"the agent at {self._url} does not answer: {error}") from None

    def _exchange(self, method: str, path: str, body: bytes) -> HttpAnswer:
        if self._connection is None:
            self._connection = self._kind(self._host, self._port, timeout=REQUEST_TIMEOUT_S)
            self._connection.connect()
            self._connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._connection.request(method, self._prefix + path, body, self._headers)
        response = self._connection.getresponse()
        return HttpAnswer(response.status, response.headers, response.read())

    def _close_connection(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def run(self, make: Make) -> Any:
        """See `Backend.run`."""
        return _finish(make(self.operations))

    def begin(self, make: Make) -> Awaitable[Any]:
        """See `Backend.begin`."""
        from consulpy.testing.reactors import coroutine_loop, is_task

        if is_task():
            return asyncio.to_thread(self.run, make)
        from twisted.internet.threads import deferToThreadPool

        reactor = coroutine_loop().reactor
        return deferToThreadPool(reactor, reactor.getThreadPool(), self.run, make)

    def reset(self) -> Make:
        """See `Backend.reset`."""
        return reset_over_http

    def close(self) -> None:
        """See `Backend.close`."""
        self._close_connection()


class SharedAgent(OverHttp):
    """A running agent that is not the tests': only what they made is removed."""

    def __init__(self, url: str, dns: Address | None, token: str = "") -> None:
        super().__init__(url, dns, token)
        self.operations.is_shared = True

    @property
    def dns(self) -> Address | None:
        """See `Backend.dns`; asked of the agent, once."""
        if self._dns is None:
            about = self.run(lambda operations: operations.get("/v1/agent/self"))
            self._dns = dns_of(about.get("DebugConfig") or {}, self._host)
        return self._dns

    def reset(self) -> Make:
        """Removes the test's own keys and services."""
        return lambda operations: operations.remove_own()

    def close(self) -> None:
        """See `Backend.close`."""
        self.run(lambda operations: operations.remove_own())
        super().close()


async def _sleep(seconds: float) -> None:
    time.sleep(seconds)


def _finish(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """Run a coroutine that waits for nothing but blocking calls."""
    try:
        coroutine.send(None)
    except StopIteration as end:
        return end.value
    coroutine.close()
    raise AssertionError("it waits for an event loop")
