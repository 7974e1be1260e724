"""`Agent`: an agent inside a Twisted program.

    agent = Agent.create(reactor, server=True, ports="ephemeral")
    await agent.start()

Everything that it does in its process goes through a `ReactorScope`; signals, the garbage collector, the environment
and log observers are the program's. `consulpy.agent.agent` is the agent itself.
"""

import json
import re
import string
from collections.abc import Mapping, Sequence
from random import Random, SystemRandom
from typing import Any, Final, Literal

from twisted.application.service import IService, Service
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.python.failure import Failure

from consulpy.agent.agent import Agent as Core
from consulpy.agent.features.free_ports import with_free_ports
from consulpy.agent.features.local_request import Response, send
from consulpy.agent.process.reactor_scope import ReactorScope
from consulpy.config.load import from_mapping
from consulpy.config.schema import RuntimeConfig
from consulpy.errors import ConfigError, RPCError
from consulpy.log import Logger, current_node
from consulpy.serf.machine import Serf
from consulpy.serf.members import Status

_log = Logger()

Ports = Literal["consul", "ephemeral"]
Address = tuple[str, int]

#: Letters behind the default node name.
_NAME_LETTERS: Final = 8
#: Choices of free ports before it is an error that one was taken meanwhile.
_PORT_TRIES: Final = 8
#: Interval in which a condition on a cluster is checked, in seconds.
_POLL_S: Final = 0.005
#: From a join to the time when both sides list each other as alive, in seconds at most.
_SEEN_WITHIN_S: Final = 10.0
#: The error about a port that another program has (`consulpy.memberlist.transport.cannot_listen`).
_IN_USE: Final = re.compile(r":(\d+) is in use ")
#: Settings of a program's files, which an agent inside another one does not have.
_OF_PROGRAMS: Final = ("pid_file", "log_file", "enable_syslog")


class Agent:
    """An agent inside a program. Make it with `create`; after `stop` it is used up."""

    def __init__(self, reactor: Any, config: RuntimeConfig, ports: Ports, named_ports: frozenset[str]) -> None:
        self._reactor = reactor
        self._config = config
        self._ports = ports
        self._named_ports = named_ports
        self._rng: Random = SystemRandom()
        self._core: Core | None = None
        self._scope: ReactorScope | None = None
        self._starting: Deferred[None] | None = None
        self._stopping: Deferred[None] | None = None
        self._waiting_to_stop: list[Deferred[None]] = []
        self._is_stopped = False
        #: Why it did not start, as soon as that is known; None otherwise.
        self.failed: ConfigError | None = None

    @classmethod
    def create(
        cls, reactor: Any, *, server: bool = False, ports: Ports = "consul", config: Mapping[str, Any] | None = None
    ) -> "Agent":
        """An agent in memory on 127.0.0.1; `config` has Consul's keys, as a JSON file, and may name a `data_dir`.

        `ports`: "consul" for the usual numbers, "ephemeral" for free ones; those in `config["ports"]` win. Reads no
        files and no environment. Raises `ConfigError`.
        """
        if ports not in ("consul", "ephemeral"):
            raise ConfigError(f"ports: expected 'consul' or 'ephemeral', not {ports!r}")
        if config is not None and not isinstance(config, Mapping):
            raise ConfigError(f"config: expected a mapping of Consul's keys to values, not {config!r}")
        settings = dict(config or {})
        defaults = {"server": server, "bind_addr": "127.0.0.1", "node_name": _random_name()}
        read = from_mapping(settings, defaults)
        for name in _OF_PROGRAMS:
            if getattr(read, name):
                raise ConfigError(f"config: {name}: an agent inside a program has none; its log is in twisted.logger")
        return cls(reactor, read, ports, frozenset(str(name).lower() for name in settings.get("ports") or ()))

    # -- start and stop

    def start(self) -> "Deferred[None]":
        """Start; fires when HTTP and DNS answer and, for a server, there is a leader. Fails with `ConfigError`.

        A client does not wait for servers. A server with a `data_dir` leads alone only with `bootstrap`; else it waits
        to be joined to others. Several servers (`bootstrap_expect`) wait for each other: start all of them,
        and join them, before waiting for one.
        """
        if self._starting is not None or self._is_stopped:
            raise RuntimeError("an agent starts once: make another one")
        self._starting = Deferred.fromCoroutine(self._start())
        return self._starting

    async def _start(self) -> None:
        try:
            await self._open()
            await self._led()
        except BaseException:
            await self._end()
            raise

    async def _open(self) -> None:
        """Build all parts; with ephemeral ports again with others, if one was taken meanwhile."""
        tries = _PORT_TRIES if self._ports == "ephemeral" else 1
        wanted = self._config
        for last in (number == tries - 1 for number in range(tries)):
            if self._ports == "ephemeral":
                self._config = with_free_ports(wanted, self._named_ports, self._rng)
            scope = self._scope = ReactorScope(self._reactor, self._config.node_name)
            core = self._core = Core(self._config, scope, shut_down=self._shut_down, environment={})
            token = scope.enter()
            try:
                core.start()
            except ConfigError as error:
                if last or not self._is_of_chosen_port(error):
                    self.failed = error
                await self._end()
                if self.failed is not None:
                    raise
            else:
                return
            finally:
                current_node.reset(token)

    def _is_of_chosen_port(self, error: ConfigError) -> bool:
        """Whether a port that was free when it was chosen is in use now."""
        found = _IN_USE.search(str(error))
        named = {getattr(self._config.ports, name, 0) for name in self._named_ports}
        return self._ports == "ephemeral" and found is not None and int(found[1]) not in named

    async def _led(self) -> None:
        core = self._core
        while core is not None and core.server is not None and not self._is_led(core):
            assert self._scope is not None
            await deferLater(self._reactor, _POLL_S)
            if self._is_stopped:
                raise RuntimeError(f"{self.node_name} was stopped before its datacenter had a leader")

    @staticmethod
    def _is_led(core: Core) -> bool:
        server, quorum = core.server, core.quorum
        return server is None or server.is_leader or (quorum is not None and bool(quorum.leader_address))

    def stop(self, leave: bool = False) -> "Deferred[None]":
        """Stop; fires when nothing of the agent is left in the process. `leave`: leave the cluster first."""
        done: Deferred[None] = Deferred()
        self._waiting_to_stop.append(done)
        if self._stopping is None:
            self._stopping = Deferred.fromCoroutine(self._stop(leave)).addBoth(self._stopped)
        elif self._is_stopped and self._core is None:
            self._stopped(None)
        return done

    def kill(self) -> "Deferred[None]":
        """End as a killed process does, without a leave message. Fires when nothing is left."""
        return Deferred.fromCoroutine(self._end(is_killed=True))

    async def _stop(self, leave: bool) -> None:
        core = self._core
        if leave and core is not None:
            await core.leave()
        await self._end()

    def _stopped(self, result: Any) -> None:
        waiting, self._waiting_to_stop = self._waiting_to_stop, []
        for each in waiting:
            if isinstance(result, Failure):
                each.errback(result)
            else:
                each.callback(None)

    async def _end(self, *, is_killed: bool = False) -> None:
        """Stop the parts, then whatever they left."""
        self._is_stopped = True
        core, self._core = self._core, None
        scope, self._scope = self._scope, None
        if core is None or scope is None:
            return
        token = scope.enter()
        try:
            stopping = core.stop_parts() if is_killed else core.stop()
        finally:
            current_node.reset(token)
        await stopping
        await scope.close()

    def _shut_down(self, _status: int) -> None:
        """The agent ends by itself: it has left by a request, or given up joining."""
        self.stop()

    def service(self) -> IService:
        """A service that starts and stops this agent in an `Application`."""
        service: IService = _AgentService(self)
        return service

    # -- where it is

    @property
    def node_name(self) -> str:
        """The name of its node."""
        return self._config.node_name

    @property
    def http_addr(self) -> Address | None:
        """Where HTTP listens; None: nowhere."""
        return self._client_address(self._config.addresses.http, self._config.ports.http)

    @property
    def dns_addr(self) -> Address | None:
        """Where DNS listens, by UDP and TCP; None: nowhere."""
        return self._client_address(self._config.addresses.dns, self._config.ports.dns)

    @property
    def rpc_addr(self) -> Address | None:
        """Where a server listens for others; None for a client."""
        return _address(self._config.bind_addr, self._config.ports.server) if self._config.server else None

    @property
    def lan_addr(self) -> Address | None:
        """Where gossip listens: the address for others to join."""
        config = self._config
        return _address(config.serf_lan_bind or config.bind_addr, config.ports.serf_lan)

    @property
    def wan_addr(self) -> Address | None:
        """Where a server's gossip with other datacenters listens."""
        config = self._config
        return _address(config.serf_wan_bind or config.bind_addr, config.ports.serf_wan) if config.server else None

    @property
    def url(self) -> str:
        """The base of HTTP URLs. Raises `RuntimeError` where HTTP is closed."""
        address = self.http_addr
        if address is None:
            raise RuntimeError(f"{self.node_name} has no HTTP port (ports.http)")
        host, port = address
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

    def _client_address(self, own: str, port: int) -> Address | None:
        hosts = [each for each in (own.split() or self._config.client_addrs) if not each.startswith(("/", "unix://"))]
        return _address(hosts[0], port) if hosts else None

    # -- use

    def join(self, other: Any, wan: bool = False) -> "Deferred[int]":
        """Join through `other`: an agent, a `(host, port)`, a text as `consul join` takes it, or a list of those.

        Fires with the number that worked, when both sides list each other as alive. Fails with `RPCError`.
        """
        others = list(other) if isinstance(other, list) else [other]
        return Deferred.fromCoroutine(self._join(others, wan))

    async def _join(self, others: Sequence[Any], wan: bool) -> int:
        core, scope = self._running()
        token = scope.enter()
        try:
            joining = core.join([_join_text(each, wan) for each in others], wan)
        finally:
            current_node.reset(token)
        joined = await joining
        until_s = scope.seconds() + _SEEN_WITHIN_S
        for each in others:
            while isinstance(each, Agent) and not _see_each_other(self, each, wan):
                if scope.seconds() > until_s:
                    raise RPCError(f"{self.node_name} and {each.node_name} do not list each other as alive")
                await deferLater(self._reactor, _POLL_S)
        return joined

    def request(
        self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None
    ) -> "Deferred[Response]":
        """An HTTP request without a socket. `body`: bytes, a text, or a value that is sent as JSON.

        `path` is what follows `url`: "/v1/kv/key?raw". Raises `ValueError` for another.
        """
        if not isinstance(path, str) or not path.startswith("/"):
            raise ValueError(f"path: expected what follows the agent's URL, as /v1/kv/key, not {path!r}")
        core, scope = self._running()
        data = body if isinstance(body, bytes) else b"" if body is None else _encoded(body)
        token = scope.enter()
        try:
            return send(core.http_factory, scope, method, path, data, headers or {})
        finally:
            current_node.reset(token)

    @property
    def scope(self) -> ReactorScope:
        """The agent's share of the reactor, for tests of consulpy. Raises `RuntimeError` if the agent does not run."""
        return self._running()[1]

    @property
    def settings(self) -> RuntimeConfig:
        """The settings with which it runs."""
        return self._config

    @property
    def core(self) -> Core:
        """The agent's parts, for tests of consulpy; no part of the API. Raises `RuntimeError` if it does not run."""
        return self._running()[0]

    def _running(self) -> tuple[Core, ReactorScope]:
        if self._core is None or self._scope is None:
            raise RuntimeError(f"{self.node_name} does not run")
        return self._core, self._scope


class _AgentService(Service):
    """An embedded agent in an `Application`."""

    def __init__(self, agent: Agent) -> None:
        self._agent = agent

    def startService(self) -> None:
        """Start the agent. Raises `ConfigError` for what is known at once."""
        super().startService()  # type: ignore[no-untyped-call]
        starting = self._agent.start()
        if self._agent.failed is not None:
            starting.addErrback(lambda _: None)
            raise self._agent.failed
        starting.addErrback(lambda failure: _log.failure("the agent did not start", failure))

    def stopService(self) -> "Deferred[None]":
        """Stop the agent, without leaving the cluster."""
        super().stopService()  # type: ignore[no-untyped-call]
        return self._agent.stop()


def _random_name() -> str:
    rng = SystemRandom()
    return "consulpy-" + "".join(rng.choice(string.ascii_lowercase) for _ in range(_NAME_LETTERS))


def _address(host: str, port: int) -> Address | None:
    """An address to connect to; an unspecified one is this host's loopback."""
    if port <= 0:
        return None
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host), port


def _join_text(other: Any, wan: bool) -> str:
    if isinstance(other, Agent):
        address = other.wan_addr if wan else other.lan_addr
        if address is None:
            raise RPCError(f"{other.node_name} has no {'WAN' if wan else 'LAN'} gossip")
        other = address
    if isinstance(other, tuple) and len(other) == 2:
        host, port = other
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    if not isinstance(other, str):
        raise TypeError(f"expected an agent, a (host, port) or a text to join, not {other!r}")
    return other


def _see_each_other(one: Agent, two: Agent, wan: bool) -> bool:
    return _lists(one, two, wan) and _lists(two, one, wan)


def _lists(asked: Agent, other: Agent, wan: bool) -> bool:
    core = asked.core
    pool: Serf | None = core.wan if wan else core.lan
    name = f"{other.node_name}.{other.core.datacenter}" if wan else other.node_name
    member = pool.members.get(name) if pool is not None else None
    return member is not None and member.status is Status.ALIVE


def _encoded(body: Any) -> bytes:
    return body.encode() if isinstance(body, str) else json.dumps(body).encode()


__all__ = ["Agent", "Response"]
