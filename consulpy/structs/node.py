"""A node of the catalog, and where an agent is on the network."""

from dataclasses import dataclass

from consulpy.codec.record import Record, go


@dataclass(slots=True)
class Node(Record):
    """A machine that the catalog knows: an agent, or an external node that somebody registered."""

    id: str = go("ID", default="")
    node: str = ""
    address: str = ""
    datacenter: str = ""
    tagged_addresses: dict[str, str] | None = None
    meta: dict[str, str] | None = None
    create_index: int = 0
    modify_index: int = 0
