"""A member as `?filter=` of `/v1/agent/members` sees it (Consul 1.15)."""

from typing import Self

from consulpy.codec.lazy_dataclass import dataclass
from consulpy.codec.record import Record
from consulpy.serf.members import Member


@dataclass(slots=True)
class MemberRow(Record):
    """The fields that an expression may name; `status` is Serf's number."""

    name: str = ""
    addr: str = ""
    port: int = 0
    tags: dict[str, str] | None = None
    status: int = 0

    @classmethod
    def of(cls, member: Member) -> Self:
        """The row of a member."""
        return cls(member.name, member.address, member.port, member.tags, int(member.status))
