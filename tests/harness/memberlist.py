"""A memberlist without peers: the test sends and reads its packets."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from consulpy.memberlist import messages
from consulpy.memberlist.config import MemberlistConfig
from consulpy.memberlist.delegate import StreamReader
from consulpy.memberlist.machine import Memberlist
from consulpy.memberlist.member import Address
from consulpy.memberlist.messages import Alive, Message
from consulpy.testing.simulation.clock import HeapClock
from consulpy.testing.simulation.cluster import RecordingDelegate

VECTORS = Path(__file__).parents[1] / "vectors" / "gossip"
PEER: Address = ("127.10.0.9", 8301)
VSN = (1, 5, 2, 2, 5, 4)


def vectors(name: str) -> Any:
    return json.loads((VECTORS / f"{name}.json").read_text())


@dataclass
class Exchange:
    """A stream that the memberlist under test opened."""

    destination: Address
    request: bytes
    timeout_s: float
    reader: StreamReader
    done: Callable[[Exception | None], None]


@dataclass
class Wire:
    """A transport that records what is sent."""

    packets: list[tuple[Address, bytes]] = field(default_factory=list)
    exchanges: list[Exchange] = field(default_factory=list)
    broken: bool = False

    def send_packet(self, destination: Address, data: bytes) -> bool:
        self.packets.append((destination, data))
        return not self.broken

    def exchange(
        self,
        destination: Address,
        request: bytes,
        timeout_s: float,
        reader: StreamReader,
        done: Callable[[Exception | None], None],
    ) -> None:
        self.exchanges.append(Exchange(destination, request, timeout_s, reader, done))


class LoneMemberlist:
    """A started memberlist named c1 at 127.10.0.2:8301; records what it sends and logs."""

    def __init__(self, **changes: Any) -> None:
        self.clock = HeapClock()
        self.wire = Wire()
        self.delegate = RecordingDelegate(b"tags")
        self.log: list[str] = []
        config = MemberlistConfig.lan(**{"name": "c1", "advertise": ("127.10.0.2", 8301), **changes})
        self.memberlist = Memberlist(
            config,
            self.clock,
            Random(7),
            self.wire,
            self.delegate,
            log=lambda level, text: self.log.append(f"{level}: {text}"),
        )
        self.memberlist.start()
        self.memberlist.queue.clear()
        self.delegate.events.clear()

    def get(self, *parts: messages.Message | bytes, source: Address = PEER) -> None:
        """Receive a packet with each of these messages."""
        for part in parts:
            self.memberlist.packet_received(part if isinstance(part, bytes) else part.encode(), source)

    def knows(self, name: str, incarnation: int = 1, address: str = "127.10.0.9", port: int = 8301) -> None:
        """Add an alive member, and discard what that queued."""
        self.get(Alive(incarnation, name, address, port, b"m", VSN))
        self.memberlist.queue.clear()
        self.delegate.events.clear()

    def sent(self) -> list[tuple[Address, Message]]:
        """The messages of all packets sent since the last call."""
        packets, self.wire.packets[:] = list(self.wire.packets), []
        return [(to, messages.decode(part)) for to, data in packets for part in self.memberlist.sealer.open(data)]

    def queued(self) -> list[Message]:
        """The messages in the broadcast queue."""
        return [messages.decode(part) for part in self.memberlist.queue.get(0, 100_000)]

    def stream(self, data: bytes) -> bytes | None:
        """The reply to a stream that contains `data`; None: more is needed."""
        stream = self.memberlist.stream_opened(PEER)
        reply = stream.feed(data)
        stream.closed()
        return reply
