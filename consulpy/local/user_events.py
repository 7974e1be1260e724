"""User events: firing them, receiving them by gossip, and the ring of the last 256.

The path of an event: HTTP -> `fire` -> RPC Internal.EventFire -> a server gossips `consul:event:NAME` -> Serf of every
agent -> `receive` -> ring -> `/v1/event/list` and its blocking queries. The payload is msgpack in the *new* format,
unlike all else on Consul's wires (docs/wire/gossip.md 9.4, tests/vectors/rpc/Internal.EventFire.json).
"""

import base64
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import field, replace
from random import Random
from typing import Any, Final, Protocol
from uuid import UUID

import msgpack
from twisted.internet.defer import Deferred

from consulpy.codec.lazy_dataclass import dataclass
from consulpy.codec.msgpack import text, unpack
from consulpy.errors import BadRequest, RPCError, WireError
from consulpy.gocompat.regexp import BadRegexp, compile_regexp
from consulpy.log import Logger
from consulpy.rpc.caller import Caller
from consulpy.rpc.uuids import new_uuid
from consulpy.state.watch import WatchRegistry, WatchSet
from consulpy.structs.requests import EventFireRequest

_log = Logger()

#: Prefix of the names of Consul's user events in Serf.
PREFIX: Final = "consul:event:"
#: Events stored; above it the oldest is dropped.
RING_SIZE: Final = 256
#: Highest supported version of the payload.
VERSION: Final = 1
#: Name of remote execution events: passed to `on_remote_exec`, not stored.
REMOTE_EXEC: Final = "_rexec"


class _Service(Protocol):
    """The fields of a service that filters match."""

    service: str
    tags: list[str] | None


@dataclass(slots=True)
class Event:
    """A user event. Filters are regular expressions; an empty one matches everything."""

    id: str = ""
    name: str = ""
    payload: bytes = b""
    node_filter: str = ""
    service_filter: str = ""
    tag_filter: str = ""
    version: int = VERSION
    #: Lamport time of its arrival; 0 in the response to `/v1/event/fire`.
    ltime: int = 0

    def encode(self) -> bytes:
        """The payload of the Serf event: keys sorted, empty payload and filters omitted."""
        fields: dict[str, Any] = {"ID": self.id, "n": self.name}
        optional = {"nf": self.node_filter, "p": self.payload, "sf": self.service_filter, "tf": self.tag_filter}
        fields.update((key, value) for key, value in optional.items() if value)
        fields["v"] = self.version
        packed: bytes = msgpack.packb(fields, use_bin_type=True, unicode_errors="surrogateescape")
        return packed

    @classmethod
    def decode(cls, data: bytes) -> "Event":
        """Decode the payload of a Serf event. Raises `WireError`."""
        raw = unpack(data)
        if not isinstance(raw, dict):
            raise WireError(f"user event: a map was expected, not {type(raw).__name__}")

        def of(key: bytes) -> bytes:
            value = raw.get(key)
            if value is None:
                return b""
            if not isinstance(value, bytes):
                raise WireError(f"user event: {key.decode()} is {type(value).__name__}")
            return value

        version = raw.get(b"v", 0)
        if not isinstance(version, int) or isinstance(version, bool):
            raise WireError(f"user event: v is {type(version).__name__}")
        return cls(
            id=text(of(b"ID")),
            name=text(of(b"n")),
            payload=of(b"p"),
            node_filter=text(of(b"nf")),
            service_filter=text(of(b"sf")),
            tag_filter=text(of(b"tf")),
            version=version,
        )

    def check(self) -> None:
        """Validate an event to be fired. Raises `BadRequest` without a name, `RPCError` for invalid filters."""
        if not self.name:
            raise BadRequest("Missing name")
        if self.tag_filter and not self.service_filter:
            raise RPCError("Cannot provide tag filter without service filter")
        for kind in ("node", "service", "tag"):
            pattern = getattr(self, f"{kind}_filter")
            try:
                if pattern:
                    compile_regexp(pattern)
            except BadRegexp as error:
                raise RPCError(f"Invalid {kind} filter: {error}") from None

    def is_for(self, node_name: str, services: Iterable[_Service]) -> bool:
        """Whether the filters match the agent `node_name` with these services.

        Raises `BadRegexp` for a filter that does not compile.
        """
        if self.node_filter and not compile_regexp(self.node_filter).matches(node_name):
            return False
        if not self.service_filter:
            return True
        name, tag = compile_regexp(self.service_filter), compile_regexp(self.tag_filter)
        return any(
            name.matches(service.service)
            and (not self.tag_filter or any(tag.matches(each) for each in service.tags or ()))
            for service in services
        )

    def to_json(self) -> dict[str, Any]:
        """JSON as in `/v1/event/...`; an empty payload is null."""
        return {
            "ID": self.id,
            "Name": self.name,
            "Payload": base64.b64encode(self.payload).decode() if self.payload else None,
            "NodeFilter": self.node_filter,
            "ServiceFilter": self.service_filter,
            "TagFilter": self.tag_filter,
            "Version": self.version,
            "LTime": self.ltime,
        }


def index_of(event_id: str) -> int:
    """`X-Consul-Index` of a list that ends with this event: the two halves of its UUID, XORed.

    Seen: an event `d8738e4c-398c-169a-62bb-076f633692f2` gives 13459158271335761000. An id that is not a UUID gives 1.
    """
    try:
        number = UUID(event_id).int
    except ValueError:
        return 1
    return (number >> 64) ^ (number & (1 << 64) - 1) or 1


@dataclass(slots=True)
class UserEvents:
    """The user events of one agent.

    `services()`: the services registered on this agent (without a server's own `consul`). `rng`: for event ids.
    `watchers`: blocking queries of the list, under the key `"event"`.
    """

    node_name: str
    services: Callable[[], Iterable[_Service]]
    rng: Random
    watchers: WatchRegistry = field(default_factory=WatchRegistry)
    #: Events dropped as malformed or of a newer version.
    dropped: int = 0
    #: Called with the payload of each remote execution event.
    on_remote_exec: Callable[[bytes], None] = lambda _payload: None
    _ring: deque[Event] = field(default_factory=lambda: deque(maxlen=RING_SIZE))

    KEY = "event"

    def fire(self, caller: Caller, datacenter: str, event: Event, token: str = "") -> Deferred[Event]:
        """Send `event`, with a new id, to a server of `datacenter`, which gossips it; fires with the event.

        Raises what `Event.check` raises; the Deferred fails with the `RPCError` of the call.
        """
        event.check()
        fired = replace(event, id=new_uuid(self.rng), version=VERSION, ltime=0)
        request = EventFireRequest(datacenter=datacenter, name=fired.name, payload=fired.encode())
        request.options.allow_stale = True
        request.options.token = token
        return caller.call("Internal.EventFire", request).addCallback(lambda _: fired)

    def receive(self, name: str, payload: bytes, ltime: int) -> Event | None:
        """Handle a Serf user event: store and return it if its filters match this agent; otherwise None."""
        if not name.startswith(PREFIX):
            return None
        try:
            event = Event.decode(payload)
            if event.version > VERSION:
                raise WireError(f"user event {event.name!r} has version {event.version}, newer than {VERSION}")
            if not event.is_for(self.node_name, self.services()):
                return None
        except (WireError, BadRegexp) as error:
            self.dropped += 1
            _log.warn("dropped a user event: {error}", error=str(error))
            return None
        if event.name == REMOTE_EXEC:
            self.on_remote_exec(event.payload)
            return None
        event.ltime = ltime
        self._ring.append(event)
        self.watchers.changed([self.KEY])
        return event

    def clear(self) -> None:
        """Drop all events."""
        if self._ring:
            self._ring.clear()
            self.watchers.changed([self.KEY])

    def list(self, name: str = "", watch: WatchSet | None = None) -> tuple[int, list[Event]]:
        """(index, events), oldest first, only those called `name` if given.

        The index is not a counter: a query blocks while it *equals* the client's (`blocks`). It is 1 without events.
        """
        if watch is not None:
            watch.add(self.KEY)
        events = [event for event in self._ring if not name or event.name == name]
        return (index_of(events[-1].id) if events else 1), events

    @staticmethod
    def blocks(index: int, known: int) -> bool:
        """Whether a query with the client's index `known` blocks at `index`."""
        return known > 0 and index == known
