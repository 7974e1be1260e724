"""Times as agents from 1.8.7 to 2.1 write them, by the version of their msgpack library (docs/wire/rpc.md 4)."""

import struct
from typing import Any

import msgpack
import orjson
import pytest

from consulpy.codec.coerce import WrongType
from consulpy.codec.msgpack import pack, unpack
from consulpy.codec.record import plain
from consulpy.gocompat.time import ZERO_TIME, from_wire, go_time_json, unix_s
from consulpy.structs.acl import Token
from consulpy.structs.intention import Intention
from consulpy.structs.operator import ServerHealth

UNIX_S, NS = 1_717_000_000, 123_456_789
SHOWN = "2024-05-29T16:26:40"
GO_S = UNIX_S + 62_135_596_800


def timestamp(size: int) -> tuple[bytes, str]:
    """A timestamp of msgpack's specification, by hand, and what it shows."""
    if size == 4:
        return struct.pack(">I", UNIX_S), f"{SHOWN}Z"
    if size == 8:
        return struct.pack(">Q", NS << 34 | UNIX_S), f"{SHOWN}.123456789Z"
    return struct.pack(">Iq", NS, UNIX_S), f"{SHOWN}.123456789Z"


def ext(raw: bytes) -> bytes:
    """An extension of type -1 around it, by hand."""
    head = {4: b"\xd6\xff", 8: b"\xd7\xff"}.get(len(raw), b"\xc7%c\xff" % len(raw))
    return head + raw


FORMS = [
    pytest.param(pack(struct.pack(">BqIh", 1, GO_S, NS, -1)), f"{SHOWN}.123456789Z", id="version 1, 1.8.7 and 2.1"),
    pytest.param(pack(struct.pack(">BqIh", 1, GO_S, 0, 120)), "2024-05-29T18:26:40+02:00", id="version 1 with a zone"),
    pytest.param(
        pack(struct.pack(">BqIhb", 2, GO_S, NS, 120, 30)), "2024-05-29T18:26:40.123456789+02:00", id="version 2"
    ),
    *(pytest.param(pack(raw), shown, id=f"raw of {len(raw)}") for raw, shown in map(timestamp, (4, 8, 12))),
    *(pytest.param(ext(raw), shown, id=f"ext of {len(raw)}") for raw, shown in map(timestamp, (4, 8, 12))),
    pytest.param(pack(f"{SHOWN}Z"), f"{SHOWN}Z", id="a text"),
    pytest.param(pack("2024-05-29T18:26:40.5+02:00"), "2024-05-29T18:26:40.5+02:00", id="a text with a zone"),
    pytest.param(pack("2024-05-29T12:56:40.123456789-03:30"), "2024-05-29T12:56:40.123456789-03:30", id="to the west"),
    pytest.param(b"\xc0", "0001-01-01T00:00:00Z", id="nil"),
    pytest.param(pack(""), "0001-01-01T00:00:00Z", id="empty"),
]


@pytest.mark.parametrize(("packed", "shown"), FORMS)
def test_every_form_is_read_and_ours_is_written(packed: bytes, shown: str) -> None:
    wire = b"\x82\xabStableSince" + packed + b"\xa8AppendAt" + packed
    health = ServerHealth.unpack(wire)
    assert health.to_json()["StableSince"] == shown
    assert len(health.stable_since) == 15
    assert health.stable_since[0] == 1, "1.8.7 reads nothing else"
    assert ServerHealth.unpack(health.pack()) == health


@pytest.mark.parametrize(("packed", "shown"), FORMS)
def test_times_stand_everywhere_where_a_struct_has_one(packed: bytes, shown: str) -> None:
    intention = Intention.unpack(b"\x81\xa9CreatedAt" + packed)
    assert go_time_json(intention.created_at) == shown
    token = Token.unpack(b"\x81\xaeExpirationTime" + packed)
    if packed == b"\xc0":
        assert token.expiration_time is None, "a pointer"
    else:
        assert token.expiration_time is not None
        assert go_time_json(token.expiration_time) == shown


def test_a_token_of_a_newer_server_ends_when_it_says() -> None:
    for raw, _ in map(timestamp, (4, 8, 12)):
        token = Token.unpack(b"\x81\xaeExpirationTime" + ext(raw))
        assert token.expiration_time is not None
        assert int(unix_s(token.expiration_time)) == UNIX_S


@pytest.mark.parametrize(
    "raw",
    [
        b"\x03",
        b"x" * 15,
        b"\x09" + bytes(15),
        bytes(17),
        b"2024-13-45T99:00:00Z",
        b"yesterday",
        struct.pack(">Q", (2**30 - 1) << 34 | 1),  # more nanoseconds than a second has
        struct.pack(">Iq", 0, 2**63 - 1),  # beyond what the sum holds
        struct.pack(">Iq", 0, -(2**63)),
    ],
)
def test_bytes_that_are_no_time_show_the_zero_time(raw: bytes) -> None:
    assert go_time_json(from_wire(raw)) == "0001-01-01T00:00:00Z"
    assert len(from_wire(raw)) == len(ZERO_TIME)


@pytest.mark.parametrize("version", [0, 2, 255])
def test_fifteen_bytes_of_another_version_are_never_written(version: int) -> None:
    """Real servers end at a log entry that has them."""
    assert from_wire(bytes([version]) + struct.pack(">qIh", GO_S, NS, -1)) == ZERO_TIME


def test_an_extension_of_ninety_six_bits_beyond_the_range_shows_the_zero_time() -> None:
    assert from_wire(msgpack.Timestamp(2**63 - 1, 0)) == ZERO_TIME


@pytest.mark.parametrize("value", [5, 1.5, True, {}, [b"2024"], msgpack.ExtType(5, b"1234")])
def test_other_types_are_refused(value: Any) -> None:
    with pytest.raises(WrongType):
        from_wire(value)


def test_untyped_values_with_times_and_extensions_are_shown_as_go_shows_them() -> None:
    """`Config` of a proxy may hold anything."""
    raw, _ = timestamp(4)
    shown = plain(unpack(b"\x82\xa1a" + ext(raw) + b"\xa1b\xd4\x85\x01"))
    assert orjson.loads(orjson.dumps(shown)) == {"a": f"{SHOWN}Z", "b": {"Tag": 133, "Data": "AQ=="}}


def test_an_untyped_time_beyond_the_calendar_is_the_zero_time() -> None:
    assert plain(msgpack.Timestamp(2**62, 0)) == "0001-01-01T00:00:00Z"
