"""Serfs of Consul agents on one clock and a simulated network in which single ways, hosts and processes fail."""

import zlib
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Any

from twisted.internet.defer import Deferred

from consulpy.diagnosis.causes import Verdict
from consulpy.diagnosis.member import MemberDiagnosis
from consulpy.diagnosis.target import LocalSide, TargetDiagnosis
from consulpy.memberlist.config import MemberlistConfig
from consulpy.memberlist.delegate import StreamReader
from consulpy.memberlist.evidence import ExchangeError, ExchangeTimeout, TcpResult
from consulpy.memberlist.keyring import Keyring
from consulpy.memberlist.machine import Memberlist
from consulpy.memberlist.member import Address, JoinTarget
from consulpy.rpc.merge import check_lan_merge
from consulpy.rpc.server_metadata import agent_tags
from consulpy.serf.config import SerfConfig
from consulpy.serf.machine import Serf
from consulpy.serf.members import Status
from consulpy.serf.membership import NameHolders
from consulpy.testing.simulation.clock import HeapClock
from consulpy.testing.simulation.network import Host, Network
from tests.unit.rpc.test_server_metadata import Facts

Done = Callable[[Exception | None], None]


@dataclass
class Way:
    """What happens to datagrams from `source` to `destination` (IP addresses; empty: any)."""

    source: str = ""
    destination: str = ""
    loss: float = 1.0
    delay_s: float = 0.0
    least_bytes: int = 0

    def fits(self, source: str, destination: str, size: int) -> bool:
        return self.source in ("", source) and self.destination in ("", destination) and size >= self.least_bytes


class FaultyNetwork(Network):
    """`ways`: for datagrams. `tcp`: how connections end, by (source or "", destination); `frozen`: stopped hosts."""

    def __init__(self, clock: HeapClock, seed: int) -> None:
        super().__init__(clock, seed)
        self.ways: list[Way] = []
        self.tcp: dict[tuple[str, str], TcpResult] = {}
        self.frozen: set[str] = set()
        #: Addresses where a program sends back by TCP what it gets.
        self.echoes: set[str] = set()
        #: Addresses where a program answers by TCP if a request begins so, and else is silent.
        self.speaks: dict[str, dict[bytes, bytes]] = {}
        #: Addresses behind a translation: what they send comes from another one.
        self.translated: dict[str, str] = {}

    def host(self, address: Address) -> "FaultyHost":
        host = FaultyHost(self, address)
        self.hosts[address] = host
        return host

    def result(self, source: str, destination: str) -> TcpResult | None:
        return self.tcp.get((source, destination)) or self.tcp.get(("", destination))


class FaultyHost(Host):
    """A host of a `FaultyNetwork`."""

    _network: FaultyNetwork

    def send_packet(self, destination: Address, data: bytes) -> bool:
        network = self._network
        if self.address[0] in network.frozen:
            return True
        for way in network.ways:
            if way.fits(self.address[0], destination[0], len(data)):
                if network.rng.random() < way.loss:
                    return True
                network.clock.callLater(way.delay_s, self._deliver, destination, data)
                return True
        return super().send_packet(destination, data)

    def _deliver(self, destination: Address, data: bytes) -> None:
        receiver = self._network.hosts.get(destination)
        if receiver is None or receiver.machine is None or destination[0] in self._network.frozen:
            return
        source = (self._network.translated.get(self.address[0], self.address[0]), self.address[1])
        receiver.machine.packet_received(data, source)

    def exchange(
        self, destination: Address, request: bytes, timeout_s: float, reader: StreamReader, done: Done
    ) -> None:
        network = self._network
        result = network.result(self.address[0], destination[0])
        if destination[0] in network.frozen:
            result = TcpResult.SILENT
        if destination[0] in network.echoes:
            reader.feed(request)
            network.clock.callLater(0.001, done, None)
        elif destination[0] in network.speaks:
            answer = next((said for begin, said in network.speaks[destination[0]].items() if request[:4] == begin), b"")
            reader.feed(answer)
            network.clock.callLater(0.001 if answer else timeout_s, done, None)
        elif result in (TcpResult.NOT_OPENED, TcpResult.SILENT):
            network.clock.callLater(timeout_s, done, ExchangeTimeout("i/o timeout", result))
        elif result is not None:
            network.clock.callLater(0.001, done, ExchangeError(result.value, result))
        else:
            super().exchange(destination, request, timeout_s, reader, done)


class Pool:
    """Agents a, b, c ... at 10.0.0.1, 10.0.0.2 ... that are members of one pool; `a` is the one that is asked."""

    def __init__(self, size: int = 4, seed: int = 1) -> None:
        self.clock = HeapClock()
        self.network = FaultyNetwork(self.clock, seed)
        self.serfs: dict[str, Serf] = {}
        self._seed = seed
        for number in range(size):
            self.add("abcdefghijkl"[number], f"10.0.0.{number + 1}")
        for name in list(self.serfs)[1:]:
            self.join(name, "10.0.0.1")
        self.run(20)

    def add(
        self, name: str, address: str, *, key: bytes = b"", wan: bool = False, tags: dict[str, str] | None = None,
        advertise: str = "", **facts: Any,
    ) -> Serf:  # fmt: skip
        """An agent that is alone still, in the place of who had the address."""
        node_id = facts.pop("node_id", f"00000000-0000-0000-0000-{zlib.crc32(name.encode()):012d}")
        own = Facts(node_id=node_id, **facts)
        port = 8302 if wan else 8301
        host = self.network.host((address, port))
        made: list[Serf] = []
        check = check_lan_merge(
            name,
            node_id,
            advertise or address,
            own.datacenter,
            known=lambda: NameHolders(made[0].membership, self.clock.seconds),
        )
        config = MemberlistConfig.lan(
            name=name, advertise=(advertise or address, port), keyring=Keyring([key]) if key else None
        )
        serf = Serf(
            SerfConfig.consul(tags=agent_tags(own, wan=wan) if tags is None else tags),
            config,
            self.clock,
            Random(f"{self._seed} {name}"),
            host,
            lambda _event: None,
            check_merge=check if not wan and tags is None else None,
            check_alive=(lambda member: check([member])) if not wan and tags is None else None,
        )
        made.append(serf)
        host.attach(serf.memberlist)
        serf.start()
        self.serfs[name] = serf
        return serf

    def join(self, name: str, address: str) -> None:
        self.serfs[name].join([JoinTarget((address, 8301))], True, lambda _count, _errors: None)

    def run(self, seconds: float) -> None:
        self.clock.advance(seconds)

    def address(self, name: str) -> str:
        return self.serfs[name].local_member.address

    def crash(self, name: str, tcp: TcpResult = TcpResult.REFUSED) -> None:
        """The process ends; its host refuses, or nothing comes back."""
        address = self.address(name)
        host = self.network.hosts[address, 8301]
        self.network.tcp["", address] = tcp
        host.crash()

    def why(self, name: str, asked: str = "a") -> Verdict:
        """The verdict of an agent, which takes 3 seconds at most."""
        diagnosis = MemberDiagnosis(self.serfs[asked], self.clock, lambda at_s: f"{at_s:.1f}")
        return self._result(diagnosis.explain(name))

    def target(
        self, address: str, asked: str = "a", with_agent: bool = True, ended: list[float] | None = None
    ) -> Verdict:
        """The verdict of an agent about a join; its time is added to `ended`."""
        serf = self.serfs[asked]
        living = [member for member in serf.members.values() if member.status is Status.ALIVE]
        own = LocalSide(asked, "dc1", dict(serf.members), [each.name for each in living if "bootstrap" in each.tags])
        port = 8302 if (address, 8302) in self.network.hosts else 8301
        host = self.network.host((f"{serf.local_member.address}", 40000))
        observer = Memberlist.observer(serf.memberlist.config, self.clock, Random(self._seed), host)
        host.attach(observer)
        diagnosis = TargetDiagnosis(observer, self.clock, own, serf.memberlist if with_agent else None)
        return self._result(diagnosis.explain((address, port)), ended)

    def _result(self, asking: Any, ended: list[float] | None = None) -> Verdict:
        found: list[Any] = []
        times = [] if ended is None else ended
        Deferred.fromCoroutine(asking).addBoth(found.append).addBoth(lambda _: times.append(self.clock.seconds()))
        self.run(3.8)
        assert found, "there is no verdict within 3.8 seconds"
        if not isinstance(found[0], Verdict):
            found[0].raiseException()
        return found[0]  # type: ignore[no-any-return]
