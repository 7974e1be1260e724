"""The agents of a pytest session, in each of the four ways that `--consul` names."""

import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import SystemRandom
from typing import Any, Final

import pytest

from consulpy.testing.agent_cluster import Cluster, ClusterMember
from consulpy.testing.backends import SharedAgent, start_in_process
from consulpy.testing.consul import Consul
from consulpy.testing.members import AgentProcess, consulpy_command
from consulpy.testing.report import LogCollector, log_sections, why_sections

Sections = Callable[[], list[tuple[str, str]]]

_MARK_NAMES: Final = ("datacenter", "config", "port")


@dataclass(frozen=True, slots=True)
class Wanted:
    """Arguments of `@pytest.mark.consul`."""

    config: Mapping[str, Any] = field(default_factory=dict)


def wanted_by(marks: Sequence[pytest.Mark]) -> Wanted:
    """The settings of marks, the closest one first. Raises `pytest.UsageError` for another argument or no mapping."""
    merged: dict[str, Any] = {}
    for mark in reversed(marks):
        if mark.args or not set(mark.kwargs) <= set(_MARK_NAMES):
            given = [*map(repr, mark.args), *(name for name in mark.kwargs if name not in _MARK_NAMES)]
            raise pytest.UsageError(
                f"@pytest.mark.consul takes datacenter, config and port by name, not {', '.join(given)}"
            )
        if not isinstance(mark.kwargs.get("config", {}), Mapping):
            raise pytest.UsageError(
                f"@pytest.mark.consul: config is a mapping of Consul's keys to values, not {mark.kwargs['config']!r}"
            )
        merged |= mark.kwargs
    config = dict(merged.get("config") or {})
    if "datacenter" in merged:
        config["datacenter"] = merged["datacenter"]
    if "port" in merged:
        config["ports"] = {**(config.get("ports") or {}), "http": merged["port"]}
    return Wanted(config)


class Agents:
    """The agents of one session; `command`: of a program, None for agents in this process."""

    def __init__(self, command: Sequence[str] | None, keep_log: Path | None) -> None:
        self._command = command
        self._keep_log = keep_log
        if keep_log is not None:
            keep_log.mkdir(parents=True, exist_ok=True)
        self._stack = ExitStack()
        self._log = LogCollector(keep_log) if command is None else None
        if self._log is not None:
            self._stack.callback(self._log.close)
        self._session: Consul | None = None
        self._session_is_new = True
        self._pair: Cluster | None = None
        self._pair_is_new = True
        #: What runs now, for reports.
        self._open: list[Consul] = []
        self._clusters: list[Cluster] = []

    def close(self) -> None:
        """Stop all agents."""
        self._stack.close()

    # -- the session's agent

    def session(self) -> Consul:
        """The session's agent, started by its first use."""
        if self._session is None:
            self._session = self._stack.enter_context(self._started({}))
        return self._session

    @contextmanager
    def clean(self) -> Iterator[Consul]:
        """The session's agent, as new."""
        consul = self.session()
        if not self._session_is_new:
            consul.reset()
        self._session_is_new = False
        yield consul

    @contextmanager
    def own(self, wanted: Wanted) -> Iterator[Consul]:
        """An agent with these settings."""
        with self._started(wanted.config) as consul:
            yield consul

    @contextmanager
    def _started(self, config: Mapping[str, Any]) -> Iterator[Consul]:
        consul = Consul(self._start(config))
        self._open.append(consul)
        try:
            yield consul
        finally:
            self._open.remove(consul)
            consul.backend.close()

    def _start(self, config: Mapping[str, Any]) -> Any:
        if self._command is None:
            return start_in_process(server=True, ports="ephemeral", config=config)
        name = str(config.get("node_name") or f"consul-{SystemRandom().randrange(16**8):08x}")
        agent = AgentProcess(self._command, name, server=True, config=config, keep_log=self._keep_log)
        try:
            agent.begin_start()
            agent.wait()
        except BaseException:
            agent.close()
            raise
        return agent

    # -- clusters

    @contextmanager
    def client(self) -> Iterator[ClusterMember]:
        """The session's client agent, as new, with its server."""
        if self._pair is None:
            self._pair = self._stack.enter_context(self._cluster(clients=1))
        elif not self._pair_is_new:
            self._pair["client-1"].reset()
            self._pair["server-1"].reset()
        self._pair_is_new = False
        client = self._pair["client-1"]
        client.server = self._pair["server-1"]
        yield client

    @contextmanager
    def clusters(self) -> Iterator[Callable[..., Cluster]]:
        """A factory of clusters, which are closed at the end."""
        with ExitStack() as stack:
            yield lambda *sizes, **config: stack.enter_context(self._cluster(*sizes, **config))

    @contextmanager
    def _cluster(self, *sizes: int, **config: Any) -> Iterator[Cluster]:
        cluster = _SkippingCluster(*sizes, command=self._command, keep_log=self._keep_log, **config)
        self._clusters.append(cluster)
        try:
            with cluster:
                yield cluster
        finally:
            self._clusters.remove(cluster)

    # -- reports

    def watch(self) -> Sections:
        """Start of a test; the result gives the sections of its report."""
        begins = self._log.lines_seen if self._log is not None else 0
        sizes = {each.name: len(each.log()) for each in self._programs()}

        def sections() -> list[tuple[str, str]]:
            found = self._log.since(begins) if self._log is not None else {}
            found |= {each.name: each.log()[sizes.get(each.name, 0) :] for each in self._programs()}
            agents = [*self._open, *(member for cluster in self._clusters for member in cluster)]
            return [*log_sections(found), *why_sections(agents)]

        return sections

    def _programs(self) -> list[AgentProcess]:
        agents = [*self._open, *(member for cluster in self._clusters for member in cluster)]
        return [each.backend for each in agents if isinstance(each.backend, AgentProcess)]


class _SkippingCluster(Cluster):
    """A cluster whose test is skipped where programs cannot be partitioned."""

    def partition(self, name: str, others: Sequence[str]) -> None:
        """See `Cluster.partition`."""
        if self._command is not None:
            pytest.skip("agents that are processes cannot be partitioned without root: use --consul=inprocess")
        super().partition(name, others)


class RunningAgents(Agents):
    """An agent that runs and is not the tests' own."""

    def __init__(self, url: str) -> None:
        super().__init__([], None)
        self._url = url

    def _start(self, config: Mapping[str, Any]) -> Any:
        if config:
            pytest.skip(f"the agent at {self._url} has its own settings: @pytest.mark.consul needs an agent of its own")
        return SharedAgent(self._url, None, os.environ.get("CONSUL_HTTP_TOKEN", ""))

    @contextmanager
    def clean(self) -> Iterator[Consul]:
        """The agent; what the test made through the fixture is removed afterwards."""
        consul = self.session()
        yield consul
        consul.reset()

    @contextmanager
    def own(self, wanted: Wanted) -> Iterator[Consul]:
        """No agent of its own: the test is skipped, unless its mark asks for nothing."""
        if wanted.config:
            self._start(wanted.config)
        with self.clean() as consul:
            yield consul

    @contextmanager
    def _cluster(self, *sizes: int, **config: Any) -> Iterator[Cluster]:  # noqa: ARG002
        pytest.skip(f"the agent at {self._url} is not the tests' own: no agents can be started beside it")
        yield  # type: ignore[unreachable]


def agents_of(how: str, keep_log: Path | None) -> Agents:
    """The agents that `--consul` asks for. Raises `pytest.UsageError`."""
    if how == "inprocess":
        return Agents(None, keep_log)
    if how == "process":
        return Agents(consulpy_command(), keep_log)
    if how.startswith(("http://", "https://")):
        return RunningAgents(how)
    program = shutil.which(how)
    if program is None:
        raise pytest.UsageError(f"--consul: expected inprocess, process, a program or an http:// URL, not {how!r}")
    return Agents([program], keep_log)
