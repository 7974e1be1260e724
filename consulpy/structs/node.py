"""A node of the catalog."""

from consulpy.codec.lazy_dataclass import dataclass
from consulpy.codec.record import Record, go


@dataclass(slots=True)
class Node(Record):
    """A node: an agent, or an external one that a user registered."""

    id: str = go("ID", default="")
    node: str = ""
    address: str = ""
    datacenter: str = ""
    tagged_addresses: dict[str, str] | None = None
    meta: dict[str, str] | None = None
    create_index: int = 0
    modify_index: int = 0
