"""Agents that a test starts, crashes and starts again: in this process, or as programs of their own."""

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from random import SystemRandom
from typing import TYPE_CHECKING, Any, Final, Protocol

from consulpy.agent.features.free_ports import free_port
from consulpy.agent.process.monotonic import monotonic_s
from consulpy.testing.backends import Address, Backend, InProcess, OverHttp, management_token, with_quick_settings

if TYPE_CHECKING:
    from consulpy.agent.embedded import Agent

#: How long a program may take until it answers, and to end, in seconds.
START_WITHIN_S: Final = 60.0
END_WITHIN_S: Final = 10.0
#: The last part of a log that an error shows, in characters.
_LOG_END: Final = 3000
#: The listeners of an agent.
_PORTS: Final = ("http", "dns", "serf_lan", "serf_wan", "server")


class Unsupported(RuntimeError):
    """Raised where this way of running agents cannot do what the test asks for."""


class Member(Backend, Protocol):
    """An agent of a test, which may end and start again with the same name, ports and state directory."""

    name: str

    @property
    def lan(self) -> Address:
        """The address of its gossip."""

    def crash(self) -> None:
        """End it at once, without a leave message."""

    def restart(self) -> None:
        """Start it again, after a crash or a leave or instead of one, and have it join the cluster."""

    def leave(self) -> None:
        """Have it leave the cluster, then end it."""

    def block(self, addresses: set[Address]) -> None:
        """Put these addresses out of its reach; an empty set ends that. Raises `Unsupported`."""

    def gossip_addresses(self) -> set[Address]:
        """The addresses at which other agents reach it."""

    def log(self) -> str:
        """Its log lines, where they are known."""


class InProcessMember(InProcess):
    """An agent in this process. `settings`: its whole configuration; `others()`: addresses to join when it restarts."""

    def __init__(self, reactor: Any, name: str, settings: dict[str, Any], others: Any) -> None:
        self._settings = settings
        self._others = others
        self._blocked: set[Address] = set()
        self._is_running = False
        self.name = name
        super().__init__(reactor, self._new_agent(reactor), management_token(settings))

    def _new_agent(self, reactor: Any) -> "Agent":
        from consulpy.agent.embedded import Agent

        return Agent.create(reactor, ports="ephemeral", config=self._settings)

    @property
    def started(self) -> "Agent":
        """The agent."""
        return self._agent

    @property
    def lan(self) -> Address:
        """See `Member.lan`."""
        assert self._agent.lan_addr is not None
        return self._agent.lan_addr

    def keep_place(self) -> None:
        """Use the ports and the node id of now after a restart too."""
        config = self._agent.settings
        ports = {name: getattr(config.ports, name) for name in _PORTS}
        self._settings = {**self._settings, "ports": ports, "node_id": config.node_id}

    def crash(self) -> None:
        """See `Member.crash`."""
        if self._is_running:
            self._is_running = False
            self.loop.run(self._agent.kill)

    def leave(self) -> None:
        """See `Member.leave`."""
        if self._is_running:
            self._is_running = False
            agent = self._agent
            self.loop.run(lambda: agent.stop(leave=True))

    def restart(self) -> None:
        """See `Member.restart`."""
        self.crash()
        self.replace_agent(self._new_agent(self._reactor))
        self.loop.run(self._start_again)

    async def _start_again(self) -> None:
        starting = self.start_now()
        if self._blocked:
            self._agent.scope.block(self._blocked)
        others = [address for address in self._others() if address not in self._blocked and address != self.lan]
        if others:
            await self._agent.join(others)
        await starting

    def start_now(self) -> Any:
        """Begin to start; a Deferred."""
        self._is_running = True
        return self._agent.start()

    def block(self, addresses: set[Address]) -> None:
        """See `Member.block`."""
        self._blocked = set(addresses)
        if self._is_running:
            agent = self._agent

            def change() -> None:
                agent.scope.blocked.clear()
                agent.scope.block(set(addresses))

            self.loop.run(change)

    def gossip_addresses(self) -> set[Address]:
        """See `Member.gossip_addresses`."""
        agent = self._agent
        return {address for address in (agent.lan_addr, agent.wan_addr, agent.rpc_addr) if address is not None}

    def log(self) -> str:
        """See `Member.log`: it is in `twisted.logger`."""
        return ""


class AgentProcess(OverHttp):
    """An agent that is a program of its own: `command`, with `-config-file` and the flags of `consul agent`."""

    def __init__(
        self,
        command: Sequence[str],
        name: str,
        *,
        server: bool,
        config: Mapping[str, Any] | None = None,
        others: Any = list,
        keep_log: Path | None = None,
        is_alone: bool = True,
    ) -> None:
        self.name = name
        self._command = list(command)
        self._server = server
        self._is_alone = is_alone
        self._others = others
        self._directory = Path(tempfile.mkdtemp(prefix="consulpy-testing-"))
        self._settings = with_quick_settings(config)
        self._settings["ports"] = _ports(self._settings.get("ports") or {})
        (self._directory / "config.json").write_text(json_of(self._settings))
        self._log_path = (keep_log or self._directory) / f"{name}.log"
        self._process: subprocess.Popen[bytes] | None = None
        ports = self._settings["ports"]
        token = management_token(self._settings)
        #: Whether no caller has seen the catalog yet.
        self._is_closed = not token and (self._settings.get("acl") or {}).get("default_policy") == "deny"
        super().__init__(f"http://127.0.0.1:{ports['http']}", ("127.0.0.1", ports["dns"]), token)

    @property
    def lan(self) -> Address:
        """See `Member.lan`."""
        return "127.0.0.1", self._settings["ports"]["serf_lan"]

    def begin_start(self) -> None:
        """Start the program; `wait` waits until it answers."""
        flags = ["-node", self.name, "-bind", "127.0.0.1", "-client", "127.0.0.1"]
        if self._server and self._is_alone:
            flags.insert(0, "-dev")
        else:
            flags += ["-data-dir", str(self._directory / "data"), *(["-server"] if self._server else [])]
        flags += ["-config-file", str(self._directory / "config.json")]
        for host, port in self._others():
            if (host, port) != self.lan:
                flags += ["-retry-join", f"{host}:{port}"]
        environment = {name: value for name, value in os.environ.items() if not name.startswith("CONSUL_")}
        with self._log_path.open("ab") as log:
            try:
                self._process = subprocess.Popen(
                    [*self._command, "agent", *flags], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                    env=environment, start_new_session=True,
                )  # fmt: skip
            except OSError as error:
                raise RuntimeError(f"{self._command[0]} cannot be run: {error.strerror}") from None

    def wait(self) -> None:
        """Wait until HTTP and DNS answer and there is a leader. Raises `RuntimeError` with the end of its log."""
        until_s = monotonic_s() + START_WITHIN_S
        while not self._answers():
            if self._process is None or self._process.poll() is not None:
                raise RuntimeError(f"{self._command[0]} ended instead of starting:\n{self.log()[-_LOG_END:]}")
            if monotonic_s() > until_s:
                raise RuntimeError(f"{self._command[0]} does not answer:\n{self.log()[-_LOG_END:]}")
            time.sleep(0.02)

    def _answers(self) -> bool:
        from consulpy.testing.operations import RequestFailed

        try:
            if self._server and not self.run(lambda operations: operations.get("/v1/status/leader")):
                return False
            if self._server and not self._is_closed:
                nodes = self.run(lambda operations: operations.get("/v1/catalog/nodes"))
                if self.name not in [node["Node"] for node in nodes or ()]:
                    return False
            self.run(lambda operations: operations.members())
            with socket.create_connection(self.dns or ("", 0), timeout=5):
                return True
        except (OSError, RequestFailed):
            return False

    def crash(self) -> None:
        """See `Member.crash`."""
        self._end(lambda process: process.kill())

    def leave(self) -> None:
        """See `Member.leave`."""
        if self._process is not None:
            self.run(lambda operations: operations.call("PUT", "/v1/agent/leave"))
            self._end(lambda _process: None)

    def _end(self, ask: Any) -> None:
        process, self._process = self._process, None
        self._close_connection()
        if process is None:
            return
        ask(process)
        try:
            process.wait(END_WITHIN_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def restart(self) -> None:
        """See `Member.restart`."""
        self.crash()
        self.begin_start()
        self.wait()

    def block(self, addresses: set[Address]) -> None:
        """See `Member.block`."""
        if addresses:
            raise Unsupported("agents that are processes cannot be partitioned without root: use --consul=inprocess")

    def gossip_addresses(self) -> set[Address]:
        """See `Member.gossip_addresses`."""
        return {self.lan}

    def log(self) -> str:
        """See `Member.log`."""
        return self._log_path.read_text(errors="replace") if self._log_path.exists() else ""

    def close(self) -> None:
        """End the program and remove its files, but for a log that is kept."""
        self.crash()  # it has nothing to say to anybody
        super().close()
        shutil.rmtree(self._directory, ignore_errors=True)


def json_of(settings: Mapping[str, Any]) -> str:
    """The settings as a configuration file."""
    import json

    return json.dumps(settings, default=list)


def _ports(named: Mapping[str, int]) -> dict[str, int]:
    """All ports of an agent: those that are named, and free ones."""
    ports = {"grpc": -1, **named}  # real Consul's -dev opens it
    rng = SystemRandom()
    for name in _PORTS:
        if name not in ports:
            ports[name] = free_port("127.0.0.1", rng, [value for value in ports.values() if isinstance(value, int)])
    return ports


def consulpy_command() -> list[str]:
    """The command of consulpy as a program."""
    return [sys.executable, "-m", "consulpy"]
