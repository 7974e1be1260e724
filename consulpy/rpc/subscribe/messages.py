"""Requests and events of `subscribe.StateChangeSubscription` as protobuf (proto/pbsubscribe/subscribe.proto)."""

from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from consulpy.codec.protobuf import bytes_field, fields, number_field
from consulpy.errors import WireError

#: Bytes of one event, above which a batch is sent as several: Go's clients refuse messages of more than 4 MiB.
BATCH_MAX_BYTES: Final = 1 << 20


class Topic(IntEnum):
    """Topics that are served. Newer servers have others, for themselves."""

    SERVICE_HEALTH = 1
    SERVICE_HEALTH_CONNECT = 2


class Op(IntEnum):
    """Kind of an event: an instance was registered or deregistered."""

    REGISTER = 0
    DEREGISTER = 1


@dataclass(slots=True)
class SubscribeRequest:
    """A subscription. `key`: the service; `index`: what the client has seen, 0 for nothing."""

    topic: int = 0
    key: str = ""
    token: str = ""
    index: int = 0
    datacenter: str = ""
    namespace: str = ""
    partition: str = ""
    peer_name: str = ""
    is_wildcard: bool = False


_TEXTS: Final = {2: "key", 3: "token", 5: "datacenter", 6: "namespace", 7: "partition", 8: "peer_name"}
#: Fields of `NamedSubject`, which takes the place of some of them since Consul 1.14.
_SUBJECT: Final = {1: "key", 2: "namespace", 3: "partition", 4: "peer_name"}
_TOPIC, _INDEX, _WILDCARD, _NAMED = 1, 4, 9, 10


def decode_request(data: bytes) -> SubscribeRequest:
    """Decode a request; unknown fields are skipped. Raises `WireError`."""
    request = SubscribeRequest()
    for number, value in fields(data):
        if number in _TEXTS:
            setattr(request, _TEXTS[number], _text(value))
        elif number == _TOPIC:
            request.topic = _number(value)
        elif number == _INDEX:
            request.index = _number(value)
        elif number == _WILDCARD:
            request.is_wildcard = bool(_number(value))
        elif number == _NAMED:
            for inner, part in fields(_bytes(value)):
                if inner in _SUBJECT:
                    setattr(request, _SUBJECT[inner], _text(part))
    return request


def _number(value: int | bytes) -> int:
    if not isinstance(value, int):
        raise WireError("protobuf: a number was expected")
    return value


def _bytes(value: int | bytes) -> bytes:
    if not isinstance(value, bytes):
        raise WireError("protobuf: bytes were expected")
    return value


def _text(value: int | bytes) -> str:
    try:
        return _bytes(value).decode()
    except UnicodeDecodeError:
        raise WireError("protobuf: a text that is no UTF-8") from None


def end_of_snapshot(index: int) -> bytes:
    """The event after the last one of a snapshot."""
    return number_field(1, index) + number_field(2, 1)


def new_snapshot_to_follow() -> bytes:
    """The event that tells a client to forget what it has."""
    return number_field(3, 1)


def health_event(index: int, op: Op, instance: bytes) -> bytes:
    """The event of one instance. `instance`: see `instance_message.encode_instance`."""
    return number_field(1, index) + bytes_field(10, number_field(1, op) + bytes_field(2, instance))


def batches(index: int, events: list[bytes]) -> list[bytes]:
    """Events of one index as one event; as several, if they are large."""
    if len(events) == 1:
        return events
    found: list[bytes] = []
    part: list[bytes] = []
    size = 0
    for event in events:
        if part and size + len(event) > BATCH_MAX_BYTES:
            found.append(_batch(index, part))
            part, size = [], 0
        part.append(event)
        size += len(event)
    if part:
        found.append(_batch(index, part))
    return found


def _batch(index: int, events: list[bytes]) -> bytes:
    return number_field(1, index) + bytes_field(4, b"".join(bytes_field(1, event) for event in events))
