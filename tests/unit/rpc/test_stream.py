"""Calls on one stream, seen from both ends; objects in any slicing. Source: docs/wire/rpc.md 3."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred, succeed

from consulpy.codec.msgpack import pack
from consulpy.errors import RPCError, WireError
from consulpy.rpc.messages import (
    UNPACKER_BYTES,
    ObjectReader,
    RequestHeader,
    ResponseHeader,
    error_response,
    request,
    response,
)
from consulpy.rpc.stream import ClientStream, ConnectionGone, RefusedCall, RemoteError, ServerStream
from tests.conftest import VECTORS

CAPTURED = sorted((VECTORS / "rpc").glob("*.*.json"))


class Channel:
    """Keeps what is sent."""

    def __init__(self) -> None:
        self.sent = bytearray()
        self.consumed_bytes = 0
        self.is_closed = False
        self.is_clear = True

    def send(self, data: bytes) -> None:
        self.sent += data

    def consumed(self, size: int) -> None:
        self.consumed_bytes += size

    def close(self) -> None:
        assert not self.is_closed, "closed once"
        self.is_closed = True


class Methods:
    """Answers calls when told to."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, Any, Deferred[Any]]] = []
        self.cancelled: list[str] = []

    def serve(self, method: str, body: Any) -> "Deferred[Any]":
        call: Deferred[Any] = Deferred(lambda _: self.cancelled.append(method))
        self.calls.append((method, body, call))
        return call


def ping(seq: int, method: str = "Status.Ping", body: Any = None) -> bytes:
    return request(seq, method, pack(body or {}))


@pytest.mark.parametrize("path", CAPTURED, ids=lambda path: path.stem)
def test_captured_headers_are_read_and_written_byte_for_byte(path: Any) -> None:
    for pair in json.loads(path.read_text())["pairs"]:
        for side, kind in (("request", RequestHeader), ("response", ResponseHeader)):
            raw = bytes.fromhex(pair[side]["header_hex"])
            assert kind.unpack(raw).pack() == raw
            reader = ObjectReader(2**20, strict=True)
            reader.feed(raw + bytes.fromhex(pair[side]["body_hex"]))
            header, size = reader.next() or (None, 0)
            assert (size, kind.from_wire(header)) == (len(raw), kind.unpack(raw))
            if path.stem != "Internal.EventFire":
                assert reader.next() is not None
                assert reader.buffered == 0


VALUES = st.recursive(
    st.integers(-(2**31), 2**32) | st.binary(max_size=50) | st.booleans() | st.none(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.binary(max_size=9), inner, max_size=4),
    max_leaves=12,
)


@given(st.lists(VALUES, max_size=6), st.lists(st.integers(1, 40), min_size=1, max_size=8), st.booleans())
def test_objects_are_cut_at_their_ends_whatever_the_slicing(values: list[Any], cuts: list[int], strict: bool) -> None:
    """Trap 4: sizes stay right after partial objects."""
    encoded = [pack(value) for value in values]
    data, reader, found, position, turn = b"".join(encoded), ObjectReader(2**20, strict=strict), [], 0, 0
    while position < len(data):
        piece = data[position : position + cuts[turn % len(cuts)]]
        position, turn = position + len(piece), turn + 1
        reader.feed(piece)
        while (each := reader.next()) is not None:
            found.append(each)
    assert found == list(zip(values, map(len, encoded), strict=True))
    assert reader.buffered == 0


@given(st.binary(max_size=80))
def test_noise_only_raises_wire_errors(noise: bytes) -> None:
    reader = ObjectReader(1000, strict=True)
    try:
        reader.feed(noise)
        while reader.next() is not None:
            pass
    except WireError:
        pass


def test_an_object_may_not_grow_for_ever() -> None:
    reader = ObjectReader(1000)
    reader.feed(b"\xdb\x00\x10\x00\x00" + b"x" * 2000)
    with pytest.raises(WireError, match="more than 1000 bytes"):
        reader.next()


def test_calls_are_answered_in_order_and_the_second_waits_for_the_first() -> None:
    """docs/wire/rpc.md 16; while a call is answered, what follows is not consumed."""
    channel, methods = Channel(), Methods()
    end = ServerStream(channel, methods.serve)
    end.data_received(ping(1, "A.One"))
    end.data_received(ping(2, "A.Two"))
    assert [call[0] for call in methods.calls] == ["A.One"]
    assert channel.consumed_bytes == len(ping(1, "A.One"))
    methods.calls[0][2].callback("first")
    assert [call[0] for call in methods.calls] == ["A.One", "A.Two"]
    methods.calls[1][2].callback(True)
    assert bytes(channel.sent) == response(1, "A.One", b"\xa5first") + response(2, "A.Two", b"\xc3")


def test_thousands_of_calls_in_one_piece_are_answered() -> None:
    channel = Channel()
    end = ServerStream(channel, lambda _method, _body: succeed(None))
    end.data_received(b"".join(ping(number) for number in range(5000)))
    assert bytes(channel.sent) == b"".join(response(number, "Status.Ping", b"\xc0") for number in range(5000))


def test_an_error_keeps_the_stream_but_a_refused_call_closes_it() -> None:
    channel, methods = Channel(), Methods()
    end = ServerStream(channel, methods.serve)
    end.data_received(ping(1) + ping(2) + ping(3))
    methods.calls[0][2].errback(RPCError("No cluster leader"))
    assert not channel.is_closed
    methods.calls[1][2].errback(RefusedCall("rpc: can't find service Status.Ping"))
    assert channel.is_closed
    assert len(methods.calls) == 2, "the third is not answered"
    assert bytes(channel.sent) == error_response(1, "Status.Ping", "No cluster leader") + error_response(
        2, "Status.Ping", "rpc: can't find service Status.Ping"
    )


def test_a_callers_end_ends_a_wait_for_changes_but_not_a_write() -> None:
    for body, cancelled in (({"MinQueryIndex": 5}, True), ({}, False)):
        channel, methods = Channel(), Methods()
        end = ServerStream(channel, methods.serve)
        end.data_received(ping(1, "A.B", body))
        end.ended()
        assert (bool(methods.cancelled), channel.is_closed) == (cancelled, cancelled)
        if not cancelled:
            methods.calls[0][2].callback(None)
            assert channel.is_closed
            assert bytes(channel.sent) == response(1, "A.B", b"\xc0")


def test_a_lost_stream_cancels_its_call() -> None:
    channel, methods = Channel(), Methods()
    end = ServerStream(channel, methods.serve)
    end.data_received(ping(1))
    end.lost("EOF")
    assert methods.cancelled == ["Status.Ping"]
    assert not channel.sent


def test_unfinished_requests_are_accounted_for() -> None:
    held = [0]
    channel, methods = Channel(), Methods()

    def hold(change: int) -> None:
        held[0] += change

    end = ServerStream(channel, methods.serve, hold)
    end.data_received(ping(1)[:5])
    assert held == [2 * 5 + UNPACKER_BYTES]
    end.data_received(ping(1)[5:])
    assert held == [1], "the body, until it is answered"
    end.data_received(b"\x82")
    end.lost("EOF")
    assert held == [0]


def calling() -> tuple[ClientStream, Channel]:
    end, channel = ClientStream(), Channel()
    end.channel = channel
    return end, channel


def outcome(call: "Deferred[Any]") -> list[Any]:
    seen: list[Any] = []
    call.addCallbacks(seen.append, lambda failure: seen.append(failure.value))
    return seen


def test_a_stream_is_used_again_after_a_good_answer() -> None:
    end, channel = calling()
    for number in (1, 2):
        seen = outcome(end.call(number, "Status.Leader", b"\x80"))
        for byte in response(number, "Status.Leader", b"\xa1x"):
            end.data_received(bytes([byte]))
        assert seen == [b"x"]
    assert not end.is_broken
    assert not channel.is_closed


def test_a_stream_is_closed_after_an_error_a_cancel_and_unasked_bytes() -> None:
    end, channel = calling()
    seen = outcome(end.call(1, "A.B", b"\x80"))
    end.data_received(error_response(1, "A.B", "Query not found"))
    assert (type(seen[0]), str(seen[0]), end.is_broken, channel.is_closed) == (
        RemoteError,
        "Query not found",
        True,
        True,
    )
    end, channel = calling()
    call = end.call(1, "A.B", b"\x80")
    outcome(call)
    call.cancel()
    assert end.is_broken
    assert channel.is_closed
    end, channel = calling()
    end.data_received(b"\x80")
    assert end.is_broken
    assert channel.is_closed


def test_the_end_of_a_stream_fails_its_call() -> None:
    end, _ = calling()
    seen = outcome(end.call(1, "A.B", b"\x80"))
    end.ended()
    assert (type(seen[0]), str(seen[0])) == (ConnectionGone, "EOF")


@pytest.mark.parametrize("seq", [0, 1, 127, 128, 70000, 1 << 40])
def test_headers_are_packed_as_their_records(seq: int) -> None:
    for method in ("KVS.Apply", "Catalog.ListNodes"):
        assert request(seq, method, b"body") == RequestHeader(seq, method).pack() + b"body"
        assert response(seq, method, b"body") == ResponseHeader("", seq, method).pack() + b"body"
