"""What a memberlist does with odd, broken and hostile input (tests/vectors/gossip/{tolerance,malformed}.json)."""

import base64
import gc
import resource
from functools import cache
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consulpy.codec.lzw import compress
from consulpy.codec.msgpack import pack
from consulpy.errors import WireError
from consulpy.memberlist import messages
from consulpy.memberlist.incoming import INCOMING_STREAMS_MAX, INCOMING_STREAMS_PER_SOURCE_MAX
from consulpy.memberlist.keyring import Keyring
from consulpy.memberlist.messages import Ack, Alive, Dead, Err, IndirectPing, Nack, Ping, Suspect
from consulpy.memberlist.node_state import NodeState
from consulpy.memberlist.packet import Sealer, compound, compressed
from consulpy.memberlist.stream import MessageReader, PushPull, encode_nodes, push_pull
from tests.harness.effort import cases
from tests.harness.memberlist import PEER, VSN, LoneMemberlist, vectors

PROBER = ("127.10.0.20", 8301)


def answers(lone: LoneMemberlist, vector: dict[str, Any]) -> list[dict[str, Any]]:
    """What is answered, as the vectors describe it."""
    data = bytes.fromhex(vector["hex"])
    if vector["transport"] == "stream":
        reply = lone.stream(data)
        if not reply:
            return []
        reader = MessageReader(lone.memberlist.sealer)
        assert reader.feed(reply)
        return [described(reader.message)]
    lone.get(data, source=PROBER)
    return [described(message) for _, message in lone.sent()]


def described(message: Any) -> dict[str, Any]:
    if isinstance(message, Err):
        return {"Error": message.error}
    return {"type": type(message).__name__.lower(), "SeqNo": message.seq_no}


def relayed(vector: dict[str, Any]) -> bool:
    return vector["name"].startswith("indirect")


@pytest.mark.parametrize(
    "vector", [each for each in vectors("tolerance") if not relayed(each)], ids=lambda vector: vector["name"]
)
def test_what_a_real_agent_tolerates(vector: dict[str, Any]) -> None:
    if vector["name"] == "ping bin8 node (c4)":  # a text that is typed as bytes: we take both
        assert answers(LoneMemberlist(), vector) == [{"type": "ack", "SeqNo": 12}]
        return
    assert answers(LoneMemberlist(), vector) == vector["reply_summary"]


@pytest.mark.parametrize(
    "vector", [each for each in vectors("tolerance") if relayed(each)], ids=lambda vector: vector["name"]
)
def test_what_a_real_agent_relays(vector: dict[str, Any]) -> None:
    lone = LoneMemberlist()
    request = messages.decode(bytes.fromhex(vector["hex"]))
    assert isinstance(request, IndirectPing)
    lone.knows("target", address=request.target)
    lone.get(request, source=PROBER)
    [(to, ping)] = lone.sent()
    assert to == (request.target, request.port)
    assert isinstance(ping, Ping)
    assert ping.node == request.node
    if vector["name"] == "indirect reachable":
        lone.get(Ack(ping.seq_no, b"coordinate"))
        assert lone.sent() == [((request.source_address, request.source_port), Ack(request.seq_no))]
        return
    lone.clock.advance(0.49)
    assert [message for _, message in lone.sent() if not isinstance(message, Ping)] == []
    lone.clock.advance(0.02)
    nacks = [message for _, message in lone.sent() if isinstance(message, Nack)]
    assert [described(nack) for nack in nacks] == vector["reply_summary"]


@cache
def bomb() -> bytes:
    return b"\x09" + pack({"Algo": 0, "Buf": compressed_zeros(40_000_000)})


def compressed_zeros(least: int) -> bytes:
    """`compress` of at least so many zeros, code by code: each stands for one zero more than that before it."""
    bits = size = written = 0
    while written < least:
        width, overflow = 9, 512
        for length in range(1, 4095 - 257 + 1):  # until the table is full
            bits |= (256 + length if length > 1 else 0) << size
            size += width
            written += length
            if 257 + length == overflow:
                width += 1
                overflow *= 2
        bits |= 256 << size  # clear
        size += width
    bits |= 257 << size  # end
    return bits.to_bytes((size + 9 + 7) // 8, "little")


def test_the_bomb_is_what_it_claims_to_be() -> None:
    assert compressed_zeros(1).startswith(compress(bytes(300_000))[:-4])


@pytest.mark.parametrize("vector", vectors("malformed"), ids=lambda vector: vector["name"])
def test_malformed(vector: dict[str, Any]) -> None:
    keys = [base64.b64decode(key) for key in vector.get("keys_base64", [])]
    lone = LoneMemberlist(keyring=Keyring(keys) if keys else None)
    data = bytes.fromhex(vector["hex"]) if vector["hex"] else bomb()
    before_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    lone.log.clear()
    if vector["transport"] == "packet":
        lone.get(data, source=PROBER)
        assert lone.sent() == []
    else:
        reply = lone.stream(data)
        if "accept" not in vector["wanted"] and "unknown type" not in vector["name"]:
            assert reply is None or len(reply) < 200, "nothing, or an error"
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kib < 50_000, "KiB"
    assert sum(not line.startswith("debug: ") for line in lone.log) <= 1
    evil = lone.memberlist.members.by_name.get("evil")
    accepted = "without user state" in vector["name"] or "unknown type" in vector["name"]
    assert (evil is not None) == accepted
    lone.clock.advance(60)
    lone.sent()
    lone.wire.packets.clear()
    ping = Ping(77, "c1").encode()
    lone.get(lone.memberlist.sealer.seal([ping], crc=False), source=PROBER)
    assert lone.sent() == [(PROBER, Ack(77))], "it goes on"


def test_a_bad_part_does_not_spoil_the_rest_of_a_packet() -> None:
    lone = LoneMemberlist()
    lone.get(compound([Ping(1, "c1").encode(), b"\x04\x81", b"\x63?", Ping(2, "c1").encode()]))
    assert lone.sent() == [(PEER, Ack(1)), (PEER, Ack(2))]
    assert lone.memberlist.counters["bad_packets"] == 2
    assert len(lone.log) == 1, "one line for each source in a while"


def test_a_bad_node_does_not_spoil_a_push_pull() -> None:
    lone = LoneMemberlist()
    good = NodeState("n2", "127.10.0.3", 8301, b"", 1, 0, VSN).encode()
    nameless = pack({"Addr": b"\x7f\0\0\1", "Incarnation": 1, "Meta": b"", "Name": "", "Port": 1, "State": 0})
    short = pack({"Addr": b"\x7f\0\1", "Incarnation": 1, "Meta": b"", "Name": "n3", "Port": 1, "State": 0})
    assert lone.stream(push_pull(True, nameless + good + short, 3, b""))
    assert sorted(lone.memberlist.members.by_name) == ["c1", "n2"]


@pytest.mark.parametrize("vsn", [b"\1", b"\1\5\2", b"\1\5\2\2\5", b"\0" * 65])
def test_versions_of_a_wrong_length_are_refused(vsn: bytes) -> None:
    lone = LoneMemberlist()
    body = {"Addr": b"\x7f\0\0\1", "Incarnation": 1, "Meta": b"", "Node": "n2", "Port": 1, "Vsn": vsn}
    lone.get(b"\4" + pack(body))
    assert "n2" not in lone.memberlist.members.by_name


@pytest.mark.parametrize("change", [{"Node": "n" * 513}, {"Meta": b"m" * 513}, {"Addr": b"\0" * 5}, {"Addr": b""}])
def test_what_could_not_be_gossiped_on_is_refused(change: dict[str, Any]) -> None:
    lone = LoneMemberlist()
    body = {"Addr": b"\x7f\0\0\1", "Incarnation": 1, "Meta": b"", "Node": "n2", "Port": 1, "Vsn": bytes(VSN)}
    lone.get(b"\4" + pack({**body, **change}))
    assert list(lone.memberlist.members.by_name) == ["c1"]


@pytest.mark.parametrize(
    "nested", [b"\x91" * 5000, b"\x81\xa1a" * 3000, b"\xdc\x03\xff" * 2000, b"\xdd\0\0\3\xff" * 4000]
)
def test_deep_nesting_costs_little_memory(nested: bytes) -> None:
    before_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    lone = LoneMemberlist()
    lone.get(b"\0" + nested)
    lone.stream(b"\6" + nested)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kib < 50_000, "KiB"


def test_compressed_twice_is_refused() -> None:
    lone = LoneMemberlist()
    ping = Ping(1, "c1").encode()
    lone.get(compressed(compressed(ping)), compressed(compound([compressed(ping), ping])))
    assert [message for _, message in lone.sent()] == []


def test_a_limited_number_of_streams_is_read() -> None:
    lone = LoneMemberlist()
    streams = [lone.memberlist.stream_opened((f"127.0.0.{number}", 1)) for number in range(INCOMING_STREAMS_MAX + 1)]
    replies = [stream.feed(Ping(1, "c1").encode()) for stream in streams]
    assert all(replies[:-1])
    assert replies[-1] == b""
    for stream in streams:
        stream.closed()
    assert lone.stream(Ping(1, "c1").encode())


def test_nobody_takes_all_streams() -> None:
    lone = LoneMemberlist()
    streams = [lone.memberlist.stream_opened(PEER) for _ in range(INCOMING_STREAMS_PER_SOURCE_MAX + 1)]
    other = lone.memberlist.stream_opened(PROBER)
    ping = Ping(1, "c1").encode()
    assert (streams[0].feed(ping), streams[-1].feed(ping), bool(other.feed(ping))) == (Ack(1).encode(), b"", True)
    for stream in (*streams, other):
        stream.closed()
        stream.closed()
    assert (lone.memberlist.incoming.count, lone.memberlist.incoming.bytes) == (0, 0)


def test_all_streams_together_bring_a_limited_number_of_bytes() -> None:
    lone = LoneMemberlist()
    header = b"\x08" + pack({"UserMsgLen": 19 * 1024 * 1024})
    streams = [lone.memberlist.stream_opened((f"127.0.0.{number}", 1)) for number in range(4)]
    replies = [stream.feed(header + bytes(18 * 1024 * 1024)) for stream in streams]
    assert replies[:3] == [None] * 3
    assert replies[3] is not None
    for stream in streams:
        stream.closed()
    assert lone.memberlist.incoming.bytes == 0


def test_a_user_message_on_a_stream() -> None:
    lone = LoneMemberlist()
    assert lone.stream(b"\x08" + pack({"UserMsgLen": 5}) + b"hello") == b""
    assert lone.delegate.messages == [b"hello"]


class TestLabel:
    def test_both_sides_need_the_same(self) -> None:
        lone, other = (
            LoneMemberlist(label="prod"),
            Sealer(None, verify_incoming=True, verify_outgoing=True, label="prod"),
        )
        ping = Ping(1, "c1").encode()
        lone.get(other.seal([ping], crc=False))
        assert len(lone.wire.packets) == 1
        assert lone.wire.packets[0][1].startswith(b"\xf4\x04prod\x02")
        lone.get(ping, b"\xf4\x03dev" + ping, b"\xf4\x00" + ping, b"\xf4\x09prod")
        assert len(lone.wire.packets) == 1

    def test_streams_too(self) -> None:
        lone = LoneMemberlist(label="prod", keyring=Keyring([b"k" * 16]))
        reply = lone.stream(lone.memberlist.seal_stream(Ping(1, "c1").encode()))
        assert reply
        assert reply.startswith(b"\xf4\x04prod\x0a")
        assert LoneMemberlist(keyring=Keyring([b"k" * 16])).stream(reply) != reply

    def test_without_one_labelled_packets_are_refused(self) -> None:
        lone = LoneMemberlist()
        lone.get(b"\xf4\x04prod" + Ping(1, "c1").encode())
        assert lone.wire.packets == []


class TestEncryption:
    def test_a_rotated_key(self) -> None:
        keyring = Keyring([b"a" * 16])
        lone = LoneMemberlist(keyring=keyring)
        other = Sealer(Keyring([b"b" * 32]), verify_incoming=True, verify_outgoing=True, label="")
        packet = other.seal([Ping(1, "c1").encode()], crc=False)
        lone.get(packet)
        assert lone.wire.packets == []
        keyring.add(b"b" * 32)
        keyring.use(b"b" * 32)
        lone.get(packet)
        assert list(other.open(lone.wire.packets[0][1])) == [Ack(1).encode()]

    def test_it_can_be_turned_on_in_a_running_pool(self) -> None:
        ping = Ping(1, "c1").encode()
        strict, lax = (
            LoneMemberlist(keyring=Keyring([b"a" * 16])),
            LoneMemberlist(keyring=Keyring([b"a" * 16]), encrypt_verify_incoming=False, encrypt_verify_outgoing=False),
        )
        strict.get(ping)
        lax.get(ping)
        assert (strict.wire.packets, lax.wire.packets) == ([], [(PEER, Ack(1).encode())])


name = st.text(min_size=1, max_size=40)
u32 = st.integers(0, 2**32 - 1)
address = st.ip_addresses().filter(lambda ip: getattr(ip, "ipv4_mapped", None) is None).map(str)
port = st.integers(0, 65535)
vsn = st.just(()) | st.tuples(*[st.integers(0, 255)] * 6)
source = st.tuples(address | st.just(""), port, name | st.just(""))
member = st.tuples(address, port, st.binary(max_size=512))
MESSAGES = st.one_of(
    st.builds(lambda seq, node, rest: Ping(seq, node, *rest), u32, name, source),
    st.builds(
        lambda s, t, p, n, k, rest: IndirectPing(s, t, p, n, k, *rest), u32, address, port, name, st.booleans(), source
    ),
    st.builds(Ack, u32, st.binary(max_size=200)),
    st.builds(Suspect, u32, name, name),
    st.builds(Dead, u32, name, name),
    st.builds(lambda inc, node, at, versions: Alive(inc, node, *at, versions), u32, name, member, vsn),
    st.builds(Nack, u32),
    st.builds(Err, name),
)
NODES = st.builds(
    lambda n, at, inc, state, v: NodeState(n, *at, inc, state, v), name, member, u32, st.integers(0, 3), vsn
)


class TestProperties:
    @given(MESSAGES)
    def test_messages_come_back(self, message: messages.Message) -> None:
        assert messages.decode(message.encode()) == message

    @given(st.lists(MESSAGES, min_size=1, max_size=20), st.booleans(), st.booleans(), st.sampled_from(["", "x"]))
    def test_packets_come_back(self, parts: list[messages.Message], crc: bool, secret: bool, label: str) -> None:
        keyring = Keyring([b"k" * 16]) if secret else None
        sealer = Sealer(keyring, verify_incoming=True, verify_outgoing=True, label=label)
        opened = list(sealer.open(sealer.seal([part.encode() for part in parts], crc)))
        assert [messages.decode(part) for part in opened] == parts

    @given(st.booleans(), st.lists(NODES, max_size=8), st.binary(max_size=50), st.integers(1, 400))
    def test_push_pulls_come_back_in_any_slices(
        self, join: bool, nodes: list[NodeState], state: bytes, size: int
    ) -> None:
        lone = LoneMemberlist()
        data = lone.memberlist.seal_stream(push_pull(join, encode_nodes(nodes), len(nodes), state))
        reader = MessageReader(lone.memberlist.sealer)
        whole = [reader.feed(data[at : at + size]) for at in range(0, len(data), size)]
        assert whole[-1]
        assert reader.message == PushPull(join, nodes, state)

    @settings(max_examples=cases(300))
    @given(st.binary(max_size=60), st.sampled_from([bytes([kind]) for kind in range(14)] + [b"\xf4", b""]))
    def test_any_packet_is_taken_or_dropped(self, data: bytes, kind: bytes) -> None:
        lone = LoneMemberlist()
        lone.get(kind + data, b"\x0c" + data, compressed(kind + data + b"x"))
        lone.clock.advance(0.7)

    @settings(max_examples=cases(300))
    @given(
        st.binary(max_size=60), st.sampled_from([bytes([kind]) for kind in range(14)] + [b"\xf4"]), st.integers(1, 9)
    )
    def test_any_stream_is_answered_or_closed(self, data: bytes, kind: bytes, size: int) -> None:
        for secret in (False, True):
            lone = LoneMemberlist(keyring=Keyring([b"k" * 16]) if secret else None)
            data = kind + data
            stream = lone.memberlist.stream_opened(PEER)
            for at in range(0, len(data), size):
                if stream.feed(data[at : at + size]) is not None:
                    break
            stream.closed()

    @settings(max_examples=cases(200))
    @given(st.data())
    def test_damaged_real_bytes(self, data: st.DataObject) -> None:
        vector = data.draw(st.sampled_from(DAMAGED))
        changed = bytearray(bytes.fromhex(vector["plain_hex"]))
        for at, byte in data.draw(
            st.lists(st.tuples(st.integers(0, len(changed) - 1), st.integers(0, 255)), max_size=6)
        ):
            changed[at] = byte
        lone = LoneMemberlist()
        if vector["transport"] == "packet":
            lone.get(bytes(changed))
        else:
            lone.stream(bytes(changed))

    @given(st.binary(max_size=80))
    def test_any_message_is_decoded_or_a_wire_error(self, data: bytes) -> None:
        try:
            message = messages.decode(data)
        except WireError:
            return
        if not (isinstance(message, Alive) and len(message.vsn) not in (0, 6)):
            assert messages.decode(message.encode()) == message


DAMAGED = [*vectors("packets_consul"), *vectors("streams")]


def test_what_one_packet_tells_is_heard_as_real_agents_hear_it() -> None:
    """docs/wire/gossip.md 5.10: alive before the rest, the last first, because broadcasts are packed newest first."""
    lone = LoneMemberlist()
    heard: list[str] = []
    alive = lone.memberlist.members.handle_alive
    lone.memberlist.members.handle_alive = lambda message: (heard.append(message.node), alive(message))[1]  # type: ignore[method-assign]
    lone.delegate.notify_message = lambda message: heard.append(message.decode())  # type: ignore[method-assign]
    parts = [b"\x08three", b"\x08two", Alive(1, "b", "127.10.0.12", 8301, b"", VSN).encode(), b"\x08one"]
    parts.append(Alive(1, "a", "127.10.0.11", 8301, b"", VSN).encode())
    lone.get(compound(parts), source=PROBER)
    assert heard == ["a", "b", "one", "two", "three"]


def test_a_stream_that_ends_early_is_freed_at_once() -> None:
    """Each has a buffer of 16 KiB: whoever only looks whether the port is open would make us grow."""
    lone = LoneMemberlist()
    gc.collect()
    gc.disable()
    try:
        for data in (b"", b"\x06", b"\x06\x83\xa5Nodes", bytes(20)) * 5:
            incoming = lone.memberlist.stream_opened(PROBER)
            if data:
                incoming.feed(data)
            incoming.closed()
        del incoming
        assert not [each for each in gc.get_objects() if isinstance(each, MessageReader)]
    finally:
        gc.enable()
