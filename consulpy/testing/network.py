"""A simulated network: datagrams and streams between hosts, with loss, delay, duplication and partitions.

All random values come from one seed, all time from one clock: a failed run is reproduced from its seed.
"""

import dataclasses
from collections.abc import Callable, Iterable
from random import Random

from consulpy.clock import Clock
from consulpy.errors import WireError
from consulpy.memberlist.delegate import StreamReader
from consulpy.memberlist.machine import Memberlist
from consulpy.memberlist.member import Address


@dataclasses.dataclass
class Conditions:
    """Quality of the network. Delays in seconds; loss and duplication are probabilities per datagram."""

    delay_least_s: float = 0.0005
    delay_most_s: float = 0.002
    loss: float = 0.0
    duplication: float = 0.0


class Network:
    """All hosts of a simulation."""

    def __init__(self, clock: Clock, seed: int, conditions: Conditions | None = None) -> None:
        self.clock = clock
        self.rng = Random(seed)
        self.conditions = conditions or Conditions()
        self.hosts: dict[Address, Host] = {}
        self._side: dict[str, int] = {}
        #: Number of datagrams sent, and of those lost.
        self.sent = self.lost = 0

    def host(self, address: Address) -> "Host":
        """Add a host at `address`, in place of an earlier one."""
        host = Host(self, address)
        self.hosts[address] = host
        return host

    def partition(self, *sides: Iterable[str]) -> None:
        """Let only hosts (IP addresses) in the same group reach each other; hosts in no group form one of their own."""
        self._side = {address: number for number, side in enumerate(sides, 1) for address in side}

    def heal(self) -> None:
        """End the partition."""
        self._side = {}

    def reaches(self, source: Address, destination: Address) -> bool:
        """Whether packets from `source` reach `destination`."""
        return self._side.get(source[0], 0) == self._side.get(destination[0], 0)

    def delay_s(self) -> float:
        """A random delay in seconds."""
        conditions = self.conditions
        return conditions.delay_least_s + self.rng.random() * (conditions.delay_most_s - conditions.delay_least_s)


class Host:
    """One host; a memberlist `Transport`."""

    def __init__(self, network: Network, address: Address) -> None:
        self._network = network
        self.address = address
        self.machine: Memberlist | None = None

    def attach(self, machine: Memberlist) -> None:
        """Pass received data to `machine`."""
        self.machine = machine

    def crash(self) -> None:
        """Power off: nothing is sent or answered any more."""
        if self.machine is not None:
            self.machine.shutdown()
        self.machine = None

    def send_packet(self, destination: Address, data: bytes) -> bool:
        """See `Transport.send_packet`."""
        network, conditions = self._network, self._network.conditions
        if self.machine is None:
            return False
        copies = 2 if conditions.duplication and network.rng.random() < conditions.duplication else 1
        for _ in range(copies):
            network.sent += 1
            if conditions.loss and network.rng.random() < conditions.loss:
                network.lost += 1
            else:
                network.clock.callLater(network.delay_s(), self._deliver, destination, data)
        return True

    def _deliver(self, destination: Address, data: bytes) -> None:
        receiver = self._network.hosts.get(destination)
        if receiver is not None and receiver.machine is not None and self._network.reaches(self.address, destination):
            receiver.machine.packet_received(data, self.address)

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
        if not network.reaches(self.address, destination):
            network.clock.callLater(timeout_s, done, TimeoutError("i/o timeout"))
            return
        if receiver is None or receiver.machine is None:
            refused = ConnectionError(f"dial tcp {destination[0]}:{destination[1]}: connect: connection refused")
            network.clock.callLater(network.delay_s(), done, refused)
            return
        network.clock.callLater(3 * network.delay_s(), self._answer, receiver, request, reader, done)

    def _answer(
        self, receiver: "Host", request: bytes, reader: StreamReader, done: Callable[[Exception | None], None]
    ) -> None:
        if receiver.machine is None or not self._network.reaches(self.address, receiver.address):
            done(ConnectionError("connection reset"))
            return
        stream = receiver.machine.stream_opened(self.address)
        reply = stream.feed(request)
        stream.closed()
        self._network.clock.callLater(self._network.delay_s(), self._reply, reply, reader, done)

    def _reply(self, reply: bytes | None, reader: StreamReader, done: Callable[[Exception | None], None]) -> None:
        if self.machine is None:
            return
        try:
            whole = bool(reply) and reader.feed(reply or b"")
        except WireError as error:
            done(error)
            return
        done(None if whole else ConnectionError("EOF"))
