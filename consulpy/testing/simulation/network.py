"""A simulated network: datagrams and streams between hosts, with loss, delay, duplication, partitions and drops.

All random values come from one seed, all time from one clock: a failed run is reproduced from its seed.
"""

import dataclasses
from collections.abc import Callable, Iterable
from random import Random
from typing import Any, Final, Protocol

from consulpy.errors import WireError
from consulpy.memberlist.delegate import StreamReader
from consulpy.memberlist.evidence import ExchangeError, ExchangeTimeout, TcpResult
from consulpy.memberlist.incoming import IncomingStream
from consulpy.memberlist.member import Address
from consulpy.testing.simulation.clock import HeapClock

#: When TCP sends a lost SYN, and lost data, again the first time, in seconds (RFC 6298; Linux's least); then doubled.
SYN_AGAIN_S: Final = 1.0
DATA_AGAIN_S: Final = 0.2
#: When it gives up, in seconds.
TCP_GIVES_UP_S: Final = 120.0


@dataclasses.dataclass
class Conditions:
    """Quality of the network. Delays in seconds; loss and duplication are probabilities per datagram.

    TCP repeats what is lost, and takes longer.
    """

    delay_least_s: float = 0.0005
    delay_most_s: float = 0.002
    loss: float = 0.0
    duplication: float = 0.0


class Machine(Protocol):
    """Receiver of a host's data: a `Memberlist`."""

    def packet_received(self, data: bytes, source: Address) -> None:
        """A datagram came in."""

    def stream_opened(self, source: Address) -> IncomingStream:
        """A stream was opened."""

    def shutdown(self) -> None:
        """Stop."""


class Network:
    """All hosts of a simulation."""

    def __init__(self, clock: HeapClock, seed: int | str, conditions: Conditions | None = None) -> None:
        self.clock = clock
        self.rng = Random(seed)
        self.conditions = conditions or Conditions()
        self.hosts: dict[Address, Host] = {}
        #: The TCP ports that whole agents listen on (`tcp.Listener`).
        self.listeners: dict[Address, Any] = {}
        self._side: dict[str, int] = {}
        #: Datagrams and streams that are dropped on their way: source, destination, whether by UDP.
        self._drops: set[tuple[str, str, bool]] = set()
        #: Whether all reach each other: there is no partition and no drop.
        self.is_whole = True
        #: How late a host handles what arrives, in seconds, by IP address; others are in time.
        self.late_s: dict[str, float] = {}
        #: Number of datagrams sent, and of those lost; bytes in datagrams and streams.
        self.sent = self.lost = self.bytes = 0

    def host(self, address: Address) -> "Host":
        """Add a host at `address`, in place of an earlier one."""
        host = Host(self, address)
        self.hosts[address] = host
        return host

    def partition(self, *sides: Iterable[str]) -> None:
        """Let only hosts (IP addresses) in the same group reach each other; hosts in no group form one of their own."""
        self._side = {address: number for number, side in enumerate(sides, 1) for address in side}
        self.is_whole = False

    def cut(self, addresses: Iterable[str]) -> None:
        """Cut these hosts (IP addresses) off from all others, beside the partitions that there are."""
        self._side = {address: 2 * side for address, side in self._side.items()}
        for address in addresses:
            self._side[address] = self._side.get(address, 0) + 1
        self.is_whole = False

    def drop(self, source: str, destination: str, *, udp: bool) -> None:
        """Drop all datagrams (else: all of TCP) from one host to another (IP addresses); one way."""
        self._drops.add((source, destination, udp))
        self.is_whole = False

    def heal(self) -> None:
        """End partitions and drops."""
        self._side = {}
        self._drops.clear()
        self.is_whole = True

    def reaches(self, source: Address, destination: Address) -> bool:
        """Whether datagrams from `source` reach `destination`."""
        return self.is_whole or self.passes(source[0], destination[0], udp=True)

    def connects(self, source: str, destination: str) -> bool:
        """Whether TCP works between two IP addresses: both ways are needed."""
        return self.is_whole or (
            self.passes(source, destination, udp=False) and self.passes(destination, source, udp=False)
        )

    def passes(self, source: str, destination: str, *, udp: bool) -> bool:
        """Whether packets of one kind pass, in one direction."""
        same_side = self._side.get(source, 0) == self._side.get(destination, 0)
        return same_side and (source, destination, udp) not in self._drops

    def delay_s(self) -> float:
        """A random delay in seconds."""
        conditions = self.conditions
        return conditions.delay_least_s + self.rng.random() * (conditions.delay_most_s - conditions.delay_least_s)

    def repeated_s(self, first_s: float) -> float:
        """Delay of TCP, in seconds, as packets of one round trip are lost; the first is sent again after `first_s`."""
        loss, took_s = self.conditions.loss, 0.0
        while loss and self.rng.random() < 1 - (1 - loss) ** 2 and took_s < TCP_GIVES_UP_S:
            took_s += first_s
            first_s *= 2
        return took_s


class Host:
    """One host; a memberlist `Transport`."""

    def __init__(self, network: Network, address: Address) -> None:
        self._network = network
        self.address = address
        self.machine: Machine | None = None

    def attach(self, machine: Machine) -> None:
        """Pass received data to `machine`."""
        self.machine = machine

    def crash(self) -> None:
        """The end of the process: nothing is sent or answered any more, TCP connections are refused."""
        if self.machine is not None:
            self.machine.shutdown()
        self.machine = None

    def send_packet(self, destination: Address, data: bytes) -> bool:
        """See `Transport.send_packet`."""
        network, conditions = self._network, self._network.conditions
        if self.machine is None:
            return False
        random = network.rng.random
        copies = 2 if conditions.duplication and random() < conditions.duplication else 1
        for _ in range(copies):
            network.sent += 1
            network.bytes += len(data)
            if conditions.loss and random() < conditions.loss:
                network.lost += 1
            else:
                least_s = conditions.delay_least_s
                delay_s = least_s + random() * (conditions.delay_most_s - least_s)  # as `delay_s`
                network.clock.post(delay_s, self._deliver, destination, data)
        return True

    def _deliver(self, destination: Address, data: bytes) -> None:
        network = self._network
        receiver = network.hosts.get(destination)
        if receiver is None or receiver.machine is None:
            return
        if not network.is_whole and not network.reaches(self.address, destination):
            return
        if network.late_s and destination[0] in network.late_s:
            network.clock.callLater(network.late_s[destination[0]], receiver._handle, data, self.address)
        else:
            receiver.machine.packet_received(data, self.address)

    def _handle(self, data: bytes, source: Address) -> None:
        if self.machine is not None:
            self.machine.packet_received(data, source)

    def exchange(
        self,
        destination: Address,
        request: bytes,
        timeout_s: float,
        reader: StreamReader,
        done: Callable[[Exception | None], None],
    ) -> None:
        """See `Transport.exchange`."""
        network = self._network
        receiver = network.hosts.get(destination)
        where = f"dial tcp {destination[0]}:{destination[1]}"
        if not network.connects(self.address[0], destination[0]):
            error: Exception = ExchangeTimeout(f"{where}: i/o timeout after {timeout_s:g} s", TcpResult.NOT_OPENED)
            network.clock.callLater(timeout_s, done, error)
            return
        if receiver is None or receiver.machine is None:
            error = ExchangeError(f"{where}: connect: connection refused", TcpResult.REFUSED)
            network.clock.callLater(network.delay_s(), done, error)
            return
        opened_s = network.repeated_s(SYN_AGAIN_S)
        answer_s = opened_s + network.repeated_s(DATA_AGAIN_S) + network.late_s.get(destination[0], 0.0)
        if answer_s >= timeout_s:
            result = TcpResult.SILENT if opened_s < timeout_s else TcpResult.NOT_OPENED
            error = ExchangeTimeout(f"{where}: i/o timeout after {timeout_s:g} s", result)
            network.clock.callLater(timeout_s, done, error)
            return
        network.clock.callLater(3 * network.delay_s() + answer_s, self._answer, receiver, request, reader, done)

    def _answer(
        self, receiver: "Host", request: bytes, reader: StreamReader, done: Callable[[Exception | None], None]
    ) -> None:
        network = self._network
        if receiver.machine is None or not network.connects(self.address[0], receiver.address[0]):
            done(ExchangeError("connection reset", TcpResult.CLOSED))
            return
        stream = receiver.machine.stream_opened(self.address)
        reply = stream.feed(request)
        stream.closed()
        network.bytes += len(request) + len(reply or b"")
        network.clock.callLater(network.delay_s(), self._reply, reply, reader, done)

    def _reply(self, reply: bytes | None, reader: StreamReader, done: Callable[[Exception | None], None]) -> None:
        if self.machine is None:
            return
        try:
            whole = bool(reply) and reader.feed(reply or b"")
        except WireError as error:
            done(error)
            return
        text = "the connection was closed before the answer was whole (EOF)"
        done(None if whole else ExchangeError(text, TcpResult.CLOSED))
