"""Configuration of a memberlist, with memberlist's LAN, WAN and local profiles.

Source: docs/wire/gossip.md 5.10.
"""

import dataclasses
from typing import Any, Self

from consulpy.codec.lazy_dataclass import dataclass
from consulpy.memberlist.keyring import Keyring
from consulpy.memberlist.member import Address


@dataclass(frozen=True, kw_only=True)
class MemberlistConfig:
    """Settings of one memberlist. `name`: of the local node. `advertise`: the address announced to other members."""

    name: str
    advertise: Address

    #: Seconds for a whole stream: connect, write, read.
    stream_timeout_s: float = 10.0
    #: Number of members asked to probe a member that did not ack (memberlist: IndirectChecks).
    indirect_checks: int = 3
    #: Multiplier of the transmit limit: retransmit_mult * ceil(log10(n + 1)).
    retransmit_mult: int = 4
    #: Minimum suspicion timeout: suspicion_mult * max(1, log10 n) * probe_interval_s.
    suspicion_mult: int = 4
    #: Maximum suspicion timeout, as a multiple of the minimum one; used while no member confirms the suspicion.
    suspicion_max_timeout_mult: int = 6
    #: Seconds between push/pulls with a random member; scaled up above 32 members.
    push_pull_interval_s: float = 30.0
    #: Seconds between probes.
    probe_interval_s: float = 1.0
    #: Seconds to wait for an ack before indirect probes are sent.
    probe_timeout_s: float = 0.5
    #: Whether a member that does not ack by UDP is also pinged by TCP.
    tcp_pings: bool = True
    #: Number of random members to gossip to in each interval.
    gossip_nodes: int = 3
    #: Seconds between gossip rounds.
    gossip_interval_s: float = 0.2
    #: Seconds for which dead members are still gossiped to, so that they can refute; then they are removed.
    gossip_to_the_dead_time_s: float = 30.0
    #: Seconds after which the name of a dead member can be claimed by another address; 0: never.
    dead_node_reclaim_time_s: float = 0.0
    #: Upper bound of the local health score.
    awareness_max_multiplier: int = 8
    #: Maximum bytes of a datagram before encryption (memberlist: UDPBufferSize).
    packet_bytes: int = 1400
    #: Whether sent messages are compressed if that makes them shorter. Off, unlike real agents: all peers accept
    #: uncompressed messages, and LZW costs both ends 1 ms per push/pull of ten members.
    compression: bool = False

    keyring: Keyring | None = None
    #: Whether incoming packets and streams must be encrypted.
    encrypt_verify_incoming: bool = True
    #: Whether outgoing packets and streams are encrypted.
    encrypt_verify_outgoing: bool = True
    #: Label of packets and streams. Those with another label, or without one, are refused; empty: those with one are.
    label: str = ""
    #: CIDR networks that member addresses must be in; empty: any.
    allowed_cidrs: tuple[str, ...] = ()
    #: Minimum, maximum and current version of the delegate's protocol (Serf in Consul: 2, 5, 4).
    delegate_versions: tuple[int, int, int] = (2, 5, 4)
    #: Whether alive messages must carry all six protocol versions.
    require_versions: bool = True

    @property
    def vsn(self) -> tuple[int, ...]:
        """Protocol versions in our alive messages: memberlist's minimum, maximum, current, then the delegate's."""
        return (1, 5, 2, *self.delegate_versions)

    @classmethod
    def lan(cls, **changes: Any) -> Self:
        """The profile for one datacenter (memberlist.DefaultLANConfig)."""
        return cls(**changes)

    @classmethod
    def wan(cls, **changes: Any) -> Self:
        """The profile between datacenters (memberlist.DefaultWANConfig)."""
        slower: dict[str, Any] = {
            "stream_timeout_s": 30.0,
            "suspicion_mult": 6,
            "push_pull_interval_s": 60.0,
            "probe_timeout_s": 3.0,
            "probe_interval_s": 5.0,
            "gossip_nodes": 4,
            "gossip_interval_s": 0.5,
            "gossip_to_the_dead_time_s": 60.0,
        }
        return cls(**{**slower, **changes})

    @classmethod
    def local(cls, **changes: Any) -> Self:
        """The profile for agents on one machine (memberlist.DefaultLocalConfig)."""
        faster: dict[str, Any] = {
            "stream_timeout_s": 1.0,
            "indirect_checks": 1,
            "retransmit_mult": 2,
            "suspicion_mult": 3,
            "push_pull_interval_s": 15.0,
            "probe_timeout_s": 0.2,
            "gossip_interval_s": 0.1,
            "gossip_to_the_dead_time_s": 15.0,
        }
        return cls(**{**faster, **changes})

    def replace(self, **changes: Any) -> Self:
        """A copy with `changes`."""
        return dataclasses.replace(self, **changes)
