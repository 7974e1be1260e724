"""What can be set about a memberlist: profiles for a LAN, a WAN and one machine, each value with its unit.

Source: docs/wire/gossip.md 5.10.
"""

import dataclasses
from dataclasses import dataclass
from typing import Any, Self

from consulpy.memberlist.keyring import Keyring
from consulpy.memberlist.member import Address


@dataclass(frozen=True, kw_only=True)
class MemberlistConfig:
    """The settings of one memberlist. `advertise`: where others reach us."""

    name: str
    advertise: Address

    #: Everything about one stream has to happen within this.
    stream_timeout_s: float = 10.0
    #: How many others are asked to probe a member that did not answer us.
    indirect_checks: int = 3
    #: A broadcast is sent retransmit_mult * ceil(log10(n + 1)) times.
    retransmit_mult: int = 4
    #: A suspect has at least suspicion_mult * max(1, log10 n) * probe_interval_s to refute ...
    suspicion_mult: int = 4
    #: ... and this many times as long while nobody confirms the suspicion.
    suspicion_max_timeout_mult: int = 6
    #: The whole state is exchanged with one member this often, more rarely above 32 members.
    push_pull_interval_s: float = 30.0
    #: One member is probed this often.
    probe_interval_s: float = 1.0
    #: An ack has to come within this, or others are asked.
    probe_timeout_s: float = 0.5
    #: Whether a member that does not answer is also tried by TCP.
    tcp_pings: bool = True
    #: Broadcasts are sent to this many members ...
    gossip_nodes: int = 3
    #: ... this often.
    gossip_interval_s: float = 0.2
    #: Dead members are still gossiped to for this long, so that they may refute; then they are forgotten.
    gossip_to_the_dead_time_s: float = 30.0
    #: The name of a member that was dead for this long may be taken by another address; 0: never.
    dead_node_reclaim_time_s: float = 0.0
    #: The local health score stays below this.
    awareness_max_multiplier: int = 8
    #: The most bytes of a datagram, before encryption.
    packet_bytes: int = 1400
    #: Whether what we send is compressed where that makes it shorter. Real agents do; all understand what is not, and
    #: the time that LZW takes both ends (1 ms for a push/pull of ten members) is worth more than the bytes.
    compression: bool = False

    keyring: Keyring | None = None
    #: Whether packets and streams that are not encrypted are refused.
    encrypt_verify_incoming: bool = True
    #: Whether what we send is encrypted.
    encrypt_verify_outgoing: bool = True
    #: Packets and streams of other labels are refused; empty: those with a label are.
    label: str = ""
    #: Networks that members must be in; empty: anywhere.
    allowed_cidrs: tuple[str, ...] = ()
    #: Minimum, maximum and current version of the delegate's protocol (Serf in Consul: 2, 5, 4).
    delegate_versions: tuple[int, int, int] = (2, 5, 4)
    #: Whether every alive message must carry all six versions.
    require_versions: bool = True

    @property
    def vsn(self) -> tuple[int, ...]:
        """Our protocol versions as alive messages carry them."""
        return (1, 5, 2, *self.delegate_versions)

    @classmethod
    def lan(cls, **changes: Any) -> Self:
        """The settings for one datacenter."""
        return cls(**changes)

    @classmethod
    def wan(cls, **changes: Any) -> Self:
        """The settings between datacenters."""
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
        """The settings for agents on one machine."""
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
        """The same settings but for `changes`."""
        return dataclasses.replace(self, **changes)
