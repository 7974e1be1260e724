"""Serf's messages, byte for byte as real agents write them (docs/wire/gossip.md section 6)."""

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consulpy.codec.msgpack import pack, unpack_from
from consulpy.errors import WireError
from consulpy.serf.messages import (
    TYPES,
    ConflictResponse,
    JoinIntent,
    KeyRequest,
    KeyResponseMessage,
    LeaveIntent,
    MemberRecord,
    Message,
    PastEvent,
    PastEvents,
    PushPull,
    QueryMessage,
    QueryResponseMessage,
    Relay,
    RelayHeader,
    UDPAddress,
    UserEventMessage,
    decode,
)

VECTORS = Path(__file__).parents[2] / "vectors" / "gossip"
PACKETS = ("packets_serf", "packets_consul", "packets_encrypted")
STREAMS = ("streams", "streams_encrypted")


def load(name: str) -> list[dict[str, Any]]:
    loaded: list[dict[str, Any]] = json.loads((VECTORS / f"{name}.json").read_text())
    return loaded


def parts(message: bytes) -> Iterator[bytes]:
    """The messages of a packet: those of a compound, or the one."""
    if message[0] != 7:
        yield message
        return
    count = message[1]
    position = 2 + 2 * count
    for number in range(count):
        length = int.from_bytes(message[2 + 2 * number : 4 + 2 * number])
        yield from parts(message[position : position + length])
        position += length


def captured() -> list[tuple[str, bytes]]:
    """(where from, Serf message) of every captured packet."""
    return [
        (f"{file}: {packet['name']}", part[1:])
        for file in PACKETS
        for packet in load(file)
        for part in parts(bytes.fromhex(packet["plain_hex"]))
        if part[0] == 8
    ]


def user_states() -> list[tuple[str, bytes, dict[str, Any]]]:
    """(where from, user state, what it says) of every captured push/pull."""
    found = []
    for file in STREAMS:
        for stream in load(file):
            if stream["decoded"].get("user_state"):
                length = stream["decoded"]["header"]["UserStateLen"]
                state = bytes.fromhex(stream["plain_hex"])[-length:]
                found.append((f"{file}: {stream['name']}", state, stream["decoded"]["user_state"]["body"]))
    return found


def test_every_captured_message_is_read_and_written_again_byte_for_byte() -> None:
    """One peer of the capture (our own probe, event `viatcp`) wrote its keys in an order of its own."""
    seen = set()
    for where, data in captured():
        message = decode(data)
        seen.add(type(message))
        if getattr(message, "name", "") != "viatcp":
            assert message.encode() == data, where
        inner = getattr(message, "payload", None)
        if isinstance(message, QueryMessage | QueryResponseMessage) and inner and inner[0] in (6, 7, 8):
            seen.add(type(decode(inner)))
            assert decode(inner).encode() == inner, where
    assert seen == set(TYPES.values()) - {PushPull}


def test_every_captured_user_state_is_read() -> None:
    """Section 6.6; left members and events of the past included."""
    states = user_states()
    assert len(states) > 5
    for where, data, said in states:
        state = decode(data)
        assert isinstance(state, PushPull), where
        assert state.ltime == said["LTime"]
        assert state.event_ltime == said["EventLTime"]
        assert state.query_ltime == said["QueryLTime"]
        assert state.status_ltimes == said["StatusLTimes"]
        assert (state.left_members or []) == (said["LeftMembers"] or [])
        past = {str(index): slot for index, slot in enumerate(state.events or []) if slot is not None}
        assert past.keys() == said["Events"]["non_nil"].keys()


def test_user_states_are_written_as_they_were_read() -> None:
    """Only the order of the map of times is Go's own."""
    for where, data, _ in user_states():
        state = decode(data)
        again = decode(state.encode())
        assert again == state, where
        assert len(state.encode()) == len(data), where


def test_structs_may_come_as_arrays_in_declared_order() -> None:
    """Section 1: the real decoder takes them."""
    assert decode(b"\x00" + pack([7, "n1", True])) == LeaveIntent(7, "n1", True)
    assert decode(b"\x03" + pack([7, "deploy", b"x", True])) == UserEventMessage(7, "deploy", b"x", True)


def test_unknown_and_missing_fields_are_no_errors() -> None:
    """Section 1: newer and older peers have more and fewer fields."""
    assert decode(b"\x00" + pack({"LTime": 7, "Node": "n1", "New": [1, {"a": None}]})) == LeaveIntent(7, "n1", False)
    assert decode(b"\x01\x80") == JoinIntent(0, "")


@pytest.mark.parametrize(
    "body",
    [
        {"LTime": -1, "Node": "n"},
        {"LTime": "1", "Node": "n"},
        {"LTime": 1.0, "Node": "n"},
        {"LTime": 1, "Node": 5},
        "text",
        7,
    ],
)
def test_a_field_of_another_type_is_an_error(body: Any) -> None:
    """Section 1: negative into unsigned, float into int, and so on."""
    with pytest.raises(WireError):
        decode(b"\x01" + pack(body))


def test_a_number_wider_than_its_field_is_an_error() -> None:
    with pytest.raises(WireError, match=r"QueryResponseMessage\.id: 4294967296 does not fit in 32 bits"):
        decode(b"\x05" + pack({"ID": 2**32}))


@pytest.mark.parametrize("data", [b"", b"\x0a\x80", b"\xff", b"\x09\x80"])
def test_no_type_an_unknown_type_and_an_empty_relay_are_errors(data: bytes) -> None:
    with pytest.raises(WireError):
        decode(data)


def test_a_relay_is_a_header_and_a_whole_message() -> None:
    """Section 6, type 9."""
    inner = QueryResponseMessage(3, 4, "n2", 1, None).encode()
    relay = Relay(RelayHeader(UDPAddress(b"\x7f\x00\x00\x01", 7946), "n1"), inner)
    assert decode(relay.encode()) == relay
    assert unpack_from(relay.encode()[1:])[0][b"DestName"] == b"n1"


def test_a_conflict_response_may_know_nobody() -> None:
    assert ConflictResponse(None).encode() == b"\x06\xc0"
    assert decode(b"\x06\xc0") == ConflictResponse(None)


names = st.text(max_size=40)
ltimes = st.integers(0, 2**64 - 1)
blobs = st.binary(max_size=300)
maybe_blobs = st.none() | blobs
messages: st.SearchStrategy[Message] = st.one_of(
    st.builds(LeaveIntent, ltimes, names, st.booleans()),
    st.builds(JoinIntent, ltimes, names),
    st.builds(
        PushPull,
        ltimes,
        st.dictionaries(names, ltimes, max_size=5),
        st.lists(names, max_size=5),
        ltimes,
        st.lists(
            st.none() | st.builds(PastEvents, ltimes, st.lists(st.builds(PastEvent, names, maybe_blobs), max_size=3)),
            max_size=5,
        ),
        ltimes,
    ),
    st.builds(UserEventMessage, ltimes, names, maybe_blobs, st.booleans()),
    st.builds(
        QueryMessage,
        ltimes,
        st.integers(0, 2**32 - 1),
        maybe_blobs,
        st.integers(0, 65535),
        names,
        st.none() | st.lists(blobs, max_size=3),
        st.integers(0, 2**32 - 1),
        st.integers(0, 255),
        st.integers(-(2**63), 2**63 - 1),
        names,
        maybe_blobs,
    ),
    st.builds(QueryResponseMessage, ltimes, st.integers(0, 2**32 - 1), names, st.integers(0, 3), maybe_blobs),
    st.builds(ConflictResponse, st.none() | st.builds(MemberRecord, names, maybe_blobs, st.integers(0, 65535))),
    st.builds(KeyRequest, blobs),
    st.builds(KeyResponseMessage, st.booleans(), names, st.none() | st.lists(names, max_size=3), names),
)


@given(messages)
def test_whatever_is_written_is_read_again(message: Message) -> None:
    assert decode(message.encode()) == message


@given(messages, st.data())
def test_a_message_that_is_cut_short_is_an_error(message: Message, data: st.DataObject) -> None:
    encoded = message.encode()
    cut = encoded[: data.draw(st.integers(0, len(encoded) - 1))]
    with pytest.raises(WireError):
        decode(cut)


@given(st.binary(max_size=200))
def test_random_bytes_are_a_message_or_an_error(data: bytes) -> None:
    with contextlib.suppress(WireError):
        decode(data)


@pytest.mark.parametrize(
    ("raw", "ltimes"),
    [
        ({b"a": 1, b"\xc3": 2, b"\xff\xc3": 2**64 - 1}, {"a": 1, "\udcc3": 2, "\udcff\udcc3": 2**64 - 1}),
        ({b"a\0b": 1, b"c": 2}, {"a\0b": 1, "c": 2}),
        ({b"": 1, b"\0": 2}, {"": 1, "\0": 2}),
        ({b"a": None}, {"a": None}),
        ({}, {}),
    ],
)
def test_names_of_a_push_pull_may_be_any_bytes(raw: dict[bytes, int | None], ltimes: dict[str, int | None]) -> None:
    assert PushPull.from_wire({b"StatusLTimes": raw}).status_ltimes == ltimes


@pytest.mark.parametrize("raw", [{b"a": b"1"}, {b"a": True}, {1: 1}, [b"a"], 1])
def test_times_of_a_push_pull_are_integers_by_name(raw: object) -> None:
    with pytest.raises(WireError, match="StatusLTimes"):
        PushPull.from_wire({b"StatusLTimes": raw})
