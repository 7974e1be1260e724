"""Sessions (docs/wire/rpc.md 5 and 10)."""

from dataclasses import field
from typing import Final

from consulpy.codec.lazy_dataclass import dataclass
from consulpy.codec.record import Record, go
from consulpy.structs.requests import Read, Reply, Write

#: Behaviors: what happens to the keys locked by a session that ends.
RELEASE: Final = "release"
DELETE_KEYS: Final = "delete"

CREATE: Final = "create"
DESTROY: Final = "destroy"

#: Bounds of a TTL in ns, and the factor by which sessions outlive it.
TTL_MIN_NS: Final = 10 * 10**9
TTL_MAX_NS: Final = 24 * 3600 * 10**9
TTL_GRACE: Final = 2
#: Default lock delay in ns: for how long keys of an invalidated session can't be locked.
LOCK_DELAY_NS: Final = 15 * 10**9


@dataclass(slots=True)
class ServiceCheck(Record):
    """A service check that a session is bound to."""

    id: str = go("ID", default="")
    namespace: str = ""


@dataclass(slots=True)
class Session(Record):
    """A session. `lock_delay` in ns; `ttl` is a Go duration as text; `checks` is the older form of the two lists."""

    id: str = go("ID", default="")
    name: str = ""
    node: str = ""
    lock_delay: int = 0
    behavior: str = ""
    ttl: str = go("TTL", default="")
    node_checks: list[str] | None = None
    service_checks: list[ServiceCheck] | None = None
    checks: list[str] | None = go(json="-", default=None)
    create_index: int = 0
    modify_index: int = 0

    def check_ids(self) -> list[str]:
        """Ids of all checks that it is bound to."""
        of_services = [check.id for check in self.service_checks or ()]
        return list(dict.fromkeys([*(self.checks or ()), *(self.node_checks or ()), *of_services]))


@dataclass(slots=True)
class SessionRequest(Write):
    """Session.Apply and its log entry, which has the id."""

    op: str = ""
    session: Session = field(default_factory=Session)


@dataclass(slots=True)
class SessionReadRequest(Read):
    """Session.Get, List and Renew; agents write the id into both fields."""

    session_id: str = go("SessionID", default="")
    session: str = ""

    @property
    def wanted(self) -> str:
        """The id, from whichever field has it."""
        return self.session_id or self.session


@dataclass(slots=True)
class SessionsReply(Reply):
    """All reads of sessions."""

    sessions: list[Session] | None = None
