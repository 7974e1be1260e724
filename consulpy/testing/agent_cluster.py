"""`Cluster`: several agents of one datacenter, joined, in a test."""

import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from consulpy.agent.process.monotonic import monotonic_s
from consulpy.testing.backends import Address, with_quick_settings
from consulpy.testing.consul import Consul
from consulpy.testing.members import AgentProcess, InProcessMember, Member, Unsupported

#: From the start of a cluster to all of it in the catalog, in seconds at most.
COMPLETE_WITHIN_S: Final = 60.0
#: Interval in which a condition is looked at, in seconds.
POLL_S: Final = 0.01


class ClusterMember(Consul):
    """One agent of a cluster: all of `Consul`, and its end and return."""

    def __init__(self, cluster: "Cluster", member: Member) -> None:
        super().__init__(member)
        self._cluster = cluster
        self.member = member
        #: Of a client: the server that a fixture has it with.
        self.server: ClusterMember | None = None

    @property
    def name(self) -> str:
        """Its node name."""
        return self.member.name

    def crash(self) -> None:
        """End it at once, as a killed process: without a leave."""
        self.member.crash()

    def restart(self) -> None:
        """Start it again under the same name and address; a server has its state again."""
        self.member.restart()

    def leave(self) -> None:
        """Have it leave the cluster, then end it."""
        self.member.leave()

    def partition_from(self, *names: str) -> None:
        """Cut it off from these members, both ways, until `Cluster.heal`. KeyError for an unknown name."""
        self._cluster.partition(self.name, names)

    def __repr__(self) -> str:
        return f"<{self.name} {self.url}>"


class Cluster:
    """Agents `server-1`.., `client-1`.. of one datacenter, joined and in the catalog when the block begins.

    `config`: settings of all agents, by Consul's keys. `command`: that of a program instead of agents in this process.
    `keep_log`: the directory of the programs' logs. Raises `ConfigError`; a failure leaves nothing behind.
    """

    def __init__(
        self,
        servers: int = 1,
        clients: int = 0,
        *,
        command: Sequence[str] | None = None,
        keep_log: Path | None = None,
        **config: Any,
    ) -> None:
        if not (isinstance(servers, int) and isinstance(clients, int) and servers >= 1 and clients >= 0):
            text = f"expected at least one server and no fewer than 0 clients, not {servers!r} and {clients!r}"
            raise ValueError(text)
        self._config = config
        self._command = command
        self._keep_log = keep_log
        self._servers = servers
        self._names = [f"server-{number + 1}" for number in range(servers)]
        self._names += [f"client-{number + 1}" for number in range(clients)]
        self._members: dict[str, ClusterMember] = {}
        self._directory: Path | None = None
        #: Pairs that do not reach each other.
        self._cuts: set[frozenset[str]] = set()

    # -- begin and end

    def start(self) -> Self:
        """Start all agents, as the block does."""
        self._directory = Path(tempfile.mkdtemp(prefix="consulpy-cluster-"))
        try:
            if self._command is None:
                self._start_in_process()
            else:
                self._start_programs(self._command)
            self.until(self._is_complete, COMPLETE_WITHIN_S)
        except BaseException:
            self.close()
            raise
        return self

    __enter__ = start

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop all agents. A second call does nothing."""
        members, self._members = list(self._members.values()), {}
        for each in members:
            each.member.close()
        if self._directory is not None:
            shutil.rmtree(self._directory, ignore_errors=True)

    def _settings(self, name: str) -> dict[str, Any]:
        """The configuration of one agent."""
        settings = with_quick_settings(self._config) | {"node_name": name}
        if name.startswith("server-"):
            settings |= {"server": True, **({"bootstrap_expect": self._servers} if self._servers > 1 else {})}
        return settings

    def _start_in_process(self) -> None:
        from consulpy.testing.reactors import reactor_loop

        assert self._directory is not None
        loop = reactor_loop()
        made: list[InProcessMember] = []
        for name in self._names:
            settings = self._settings(name)
            if settings.get("server"):
                settings |= {"data_dir": str(self._directory / name), "bootstrap": self._servers == 1}
            member = InProcessMember(loop.reactor, name, settings, self._lan_addresses)
            made.append(member)
            self._members[name] = ClusterMember(self, member)

        async def start() -> None:
            starting = [member.start_now() for member in made]
            for each, member in zip(starting, made, strict=True):
                if each.called:
                    await each  # a mistake in the settings
                member.keep_place()
            for member in made[1:]:
                await member.started.join(made[0].started)
            for each in starting:
                await each

        loop.run(start)

    def _start_programs(self, command: Sequence[str]) -> None:
        made = []
        for name in self._names:
            settings = self._settings(name)
            server = bool(settings.pop("server", False))
            settings.pop("node_name")
            if server and self._servers == 1:
                settings["bootstrap"] = True
            member = AgentProcess(
                command, name, server=server, config=settings, others=self._lan_addresses, keep_log=self._keep_log,
                is_alone=False,
            )  # fmt: skip
            made.append(member)
            self._members[name] = ClusterMember(self, member)
        for member in made:
            member.begin_start()
        for member in made:
            member.wait()

    def _lan_addresses(self) -> list[Address]:
        return [each.member.lan for each in self._members.values()]

    def _is_complete(self) -> bool:
        first = self._members[self._names[0]]
        nodes = first.backend.run(lambda operations: operations.get("/v1/catalog/nodes")) or ()
        wanted = dict.fromkeys(self._names, "alive")
        return {node["Node"] for node in nodes} >= set(self._names) and all(
            each.members() == wanted for each in self._members.values()
        )

    # -- use

    def __getitem__(self, name: str) -> ClusterMember:
        if name not in self._members:
            raise KeyError(
                f"no agent of this cluster is called {name!r}: they are {', '.join(self._members) or 'gone'}"
            )
        return self._members[name]

    def __iter__(self) -> Iterator[ClusterMember]:
        return iter(self._members.values())

    def __len__(self) -> int:
        return len(self._members)

    def partition(self, name: str, others: Sequence[str]) -> None:
        """Cut `name` off from `others`, both ways. KeyError for an unknown name, `Unsupported` for programs."""
        if self._command is not None:
            raise Unsupported("agents that are processes cannot be partitioned without root")
        self._cuts |= {frozenset((self[name].name, self[other].name)) for other in others if other != name}
        self._apply_cuts()

    def heal(self) -> None:
        """End all partitions."""
        self._cuts.clear()
        self._apply_cuts()

    def _apply_cuts(self) -> None:
        for each in self:
            others = [other for other in self if frozenset((each.name, other.name)) in self._cuts]
            each.member.block({address for other in others for address in other.member.gossip_addresses()})

    def members(self, asked: str = "server-1") -> dict[str, str]:
        """The state of each member as `asked` sees it: alive, leaving, left or failed. KeyError for an unknown name."""
        return self[asked].members()

    def until(self, condition: Callable[[], bool], timeout: float = 30) -> None:
        """Wait until `condition()` is true. Raises `TimeoutError` with what each member sees."""
        until_s = monotonic_s() + timeout
        while not condition():
            if monotonic_s() > until_s:
                raise TimeoutError(f"not true within {timeout:g} s; {self._views()}")
            time.sleep(POLL_S)

    def _views(self) -> str:
        return "; ".join(f"{each.name} sees {_view(each)}" for each in self) or "no member runs"


def _view(member: ClusterMember) -> Mapping[str, str] | str:
    try:
        return member.members()
    except (RuntimeError, OSError) as error:
        return f"nothing ({error})"
