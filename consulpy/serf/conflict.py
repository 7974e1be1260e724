"""Name conflict resolution: all members are queried for the name's address; the member known by the minority yields.

Source: docs/wire/gossip.md 6.5 ("Name conflict"). Serf agents do so; Consul only writes a log line.
"""

import ipaddress
from collections.abc import Mapping
from enum import Enum
from typing import Final

from consulpy.codec.msgpack import text
from consulpy.errors import WireError
from consulpy.serf.events import INTERNAL_PREFIX
from consulpy.serf.members import Member
from consulpy.serf.messages import ConflictResponse, MemberRecord, decode

CONFLICT: Final = INTERNAL_PREFIX + "conflict"


class Verdict(Enum):
    """Result of the vote for the local member."""

    KEEP = "the name is ours"
    YIELD = "the name is another member's"
    #: Real Serf yields as well; then two members alone with each other would both shut down.
    NO_ANSWER = "no member answered"


def packed_address(address: str) -> bytes:
    """Pack an IP address: 4 or 16 bytes. Raises `ValueError`."""
    return ipaddress.ip_address(address).packed


def unpacked_address(packed: bytes | None) -> str:
    """Unpack an IP address. Raises `WireError` unless it has 4 or 16 bytes."""
    if packed is None or len(packed) not in (4, 16):
        raise WireError(f"an IP address of {len(packed or b'')} bytes")
    return str(ipaddress.ip_address(packed))


def answer_conflict_query(payload: bytes, members: Mapping[str, Member], local_name: str) -> bytes | None:
    """The response to a conflict query: the member known by the name in `payload`; None if that is the local name."""
    name = text(payload)
    if name == local_name:
        return None
    member = members.get(name)
    return ConflictResponse(None if member is None else _record(member)).encode()


def _record(member: Member) -> MemberRecord:
    return MemberRecord(
        name=member.name,
        addr=packed_address(member.address),
        port=member.port,
        tags=dict(member.tags),
        status=int(member.status),
        protocol_min=member.protocol_min,
        protocol_max=member.protocol_max,
        protocol_cur=member.protocol_cur,
        delegate_min=member.delegate_min,
        delegate_max=member.delegate_max,
        delegate_cur=member.delegate_cur,
    )


class ConflictVote:
    """Counts the responses to a conflict query that agree with the local member's address."""

    def __init__(self, local: Member) -> None:
        self._address = packed_address(local.address)
        self._port = local.port
        self.responses = 0
        self.matching = 0

    def count(self, payload: bytes) -> None:
        """Count one response. Raises `WireError` for a malformed one, which does not count."""
        message = decode(payload)
        if not isinstance(message, ConflictResponse):
            raise WireError("a conflict query was answered with something else")
        self.responses += 1
        member = message.member
        if member is not None and member.addr == self._address and member.port == self._port:
            self.matching += 1

    @property
    def verdict(self) -> Verdict:
        """The result so far."""
        if not self.responses:
            return Verdict.NO_ANSWER
        return Verdict.KEEP if self.matching >= self.responses // 2 + 1 else Verdict.YIELD
