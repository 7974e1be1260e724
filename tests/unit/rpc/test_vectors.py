"""Every captured byte of port 8300: decoded by our records and machines, and encoded equal where the form is unique.

tests/vectors/rpc holds what real programs exchanged (docs/wire/rpc.md 17): 61 methods, whole yamux conversations, Raft,
snapshots, odd input. What comes out is compared byte for byte, except where the lists below say why it cannot be.
"""

import json
from typing import Any

import pytest

from consulpy.codec.msgpack import pack, unpack, unpack_from
from consulpy.errors import WireError
from consulpy.rpc.messages import ObjectReader, RequestHeader, ResponseHeader, pack_reply, reply_of
from consulpy.rpc.methods import METHODS, load_all
from consulpy.rpc.yamux import HEADER, Connection, frame
from tests.conftest import VECTORS

load_all()

RPC = VECTORS / "rpc"
#: Vectors that are no pairs of request and reply, and where else they are read.
OTHERS = {
    "odd_input": "tests/integration/rpc/test_wire.py, over sockets",
    "raft_log": "here, and by record in tests/endpoints, tests/state",
    "raft_messages": "here",
    "snapshot_file": "tests/unit/state/test_archive.py",
    "snapshot_stream": "tests/unit/rpc/test_snapshots.py",
    "yamux_busy_client": "here",
    "yamux_client_start": "here, and replayed in tests/unit/rpc/test_yamux.py",
    "yamux_reconnect": "here",
}
CAPTURED = sorted(path.stem for path in RPC.glob("*.json") if path.stem not in OTHERS)

_MAPS = "a Go map with two keys (TaggedAddresses, Meta): Go writes them in random order, we sort them"
#: Messages whose bytes are not unique, and why. They are compared with all maps sorted.
NOT_UNIQUE = {
    ("Catalog.ListNodes", "response"): _MAPS,
    ("Catalog.NodeServiceList", "response"): _MAPS,
    ("Catalog.NodeServices", "response"): _MAPS,
    ("Catalog.Register", "request"): _MAPS,
    ("Catalog.ServiceNodes", "response"): _MAPS,
    ("ConnectCA.ConfigurationGet", "response"): _MAPS,
    ("Health.ServiceNodes", "response"): _MAPS,
    ("Internal.NodeDump", "response"): _MAPS,
    ("Internal.NodeInfo", "response"): _MAPS,
    ("Internal.ServiceDump", "response"): _MAPS,
    ("PreparedQuery.Execute", "response"): _MAPS,
    ("Txn.Apply", "response"): _MAPS,
}
#: Families of which this server has no records: their bodies are read and written as plain objects.
WITHOUT_RECORDS = {
    "ACL": "there are no ACLs: such a call is answered with `rpc: can't find service`",
    "DiscoveryChain": "there is no Connect",
}


def captured(name: str) -> Any:
    return json.loads((RPC / f"{name}.json").read_text())


def messages() -> list[Any]:
    """One parameter for each captured request and each captured reply."""
    return [
        pytest.param(method, side, pair[side], id=f"{method}-{number}-{side}")
        for method in CAPTURED
        for number, pair in enumerate(captured(method)["pairs"])
        for side in ("request", "response")
    ]


def ours(method: str, side: str, raw: bytes, failed: bool) -> bytes:
    """A body, through whatever takes and makes it here."""
    value = unpack(raw)
    if method.partition(".")[0] in WITHOUT_RECORDS or failed or value is None:
        return pack(value)
    if side == "request":
        return METHODS[method].request.from_wire(value).pack()
    return pack_reply(reply_of(METHODS[method].reply, value))


def sorted_maps(value: Any) -> Any:
    """The same value with the keys of every map in order."""
    if isinstance(value, dict):
        return {key: sorted_maps(value[key]) for key in sorted(value)}
    return [sorted_maps(each) for each in value] if isinstance(value, list) else value


@pytest.mark.parametrize(("method", "side", "message"), messages())
def test_every_captured_message_comes_out_as_it_went_in(method: str, side: str, message: dict[str, Any]) -> None:
    header, body = bytes.fromhex(message["header_hex"]), bytes.fromhex(message["body_hex"])
    kind: Any = RequestHeader if side == "request" else ResponseHeader
    known = kind.unpack(header)
    assert known.pack() == header
    assert known.service_method == method
    made = ours(method, side, body, bool(getattr(known, "error", "")))
    if (method, side) in NOT_UNIQUE:
        made, body = pack(sorted_maps(unpack(made))), pack(sorted_maps(unpack(body)))
    assert made == body


def test_nothing_stands_on_the_lists_without_need() -> None:
    """Each exception is one: some of its messages do come out in another order, or cannot be read at all."""
    assert len(CAPTURED) == 61
    differing = {
        (method, side)
        for method in CAPTURED
        if method.partition(".")[0] not in WITHOUT_RECORDS
        for pair in captured(method)["pairs"]
        for side in ("request", "response")
        if (body := bytes.fromhex(pair[side]["body_hex"]))
        != ours(method, side, body, bool(pair[side]["header"].get("Error")))
    }
    assert differing == set(NOT_UNIQUE)
    assert {name.partition(".")[0] for name in CAPTURED if name not in METHODS} <= set(WITHOUT_RECORDS)
    assert {path.stem for path in RPC.glob("*.json")} == {*CAPTURED, *OTHERS}


@pytest.mark.parametrize("method", CAPTURED)
def test_a_captured_conversation_is_cut_into_its_objects_byte_by_byte(method: str) -> None:
    for side in ("request", "response"):
        for pair in captured(method)["pairs"]:
            header, body = bytes.fromhex(pair[side]["header_hex"]), bytes.fromhex(pair[side]["body_hex"])
            reader, sizes = ObjectReader(2**20), []
            for byte in header + body:
                reader.feed(bytes([byte]))
                if (found := reader.next()) is not None:
                    sizes.append(found[1])
            assert sizes == [len(header), len(body)]


@pytest.mark.parametrize("name", ["yamux_busy_client", "yamux_client_start", "yamux_reconnect"])
def test_every_captured_frame_is_read_and_written(name: str) -> None:
    """The machines at both ends take what the real ones said, in order, without an objection."""
    ends = {
        "client->server": Connection(client=False, write=bytes, on_open=lambda stream: stream.accept()),
        "server->client": Connection(client=True, write=bytes),
    }
    kinds = ["data", "window", "ping", "goaway"]
    for each in captured(name)["frames"]:
        raw = bytes.fromhex(each["header_hex"])
        version, kind, flags, stream, length = HEADER.unpack(raw)
        assert (version, kinds[kind], stream) == (0, each["type"], each.get("stream", 0))
        assert frame(kind, flags, stream, length) == raw
        # of large payloads only the hash was kept
        payload = bytes.fromhex(each["payload_hex"]) if "payload_hex" in each else bytes(length if kind == 0 else 0)
        ends[each["dir"]].receive(raw + payload)
        assert len(payload) == (length if kind == 0 else 0)


def test_every_captured_raft_message_is_read_and_written_as_objects() -> None:
    """Behind the type byte stands one object; an answer is a text and another one (docs/wire/rpc.md 15)."""
    for each in captured("raft_messages")["messages"]:
        asked = bytes.fromhex(each["request_hex"])
        value, size = unpack_from(asked[1:])
        assert pack(value) == asked[1 : 1 + size]
        answered = bytes.fromhex(each["response_hex"])
        error, size = unpack_from(answered)
        assert error == each["response_error"].encode()
        assert pack(error) + pack(unpack(answered[size:])) == answered


def test_every_captured_log_entry_is_read_and_written_as_an_object() -> None:
    for each in captured("raft_log")["entries"]:
        data = bytes.fromhex(each["data_hex"])
        if each["type"] == 0:  # a command: its type, then one object
            assert data[0] == each["fsm_type"]
            assert pack(unpack(data[1:])) == data[1:]


def test_every_odd_input_is_taken_or_refused_with_the_one_error() -> None:
    """Behind the first byte 4: three of these connections were ended by the real server, and are by us."""
    refused = []
    for each in captured("odd_input")["sessions"]:
        if each["first_byte"] == "04":
            end = Connection(client=False, write=bytes, on_open=lambda stream: stream.accept())
            try:
                end.receive(bytes.fromhex(each["client_hex"])[1:])
            except WireError as error:
                refused.append(str(error))
    assert refused == ["yamux: stream 1 is opened twice", "yamux: version 1, not 0", "yamux: unknown frame type 7"]
