"""Captured requests, replies and log entries of keys, sessions and transactions come out as they went in."""

import json
from pathlib import Path

import pytest

from consulpy.codec.msgpack import unpack
from consulpy.codec.record import Record
from consulpy.rpc.methods import METHODS
from consulpy.state.commands import decode

VECTORS = Path(__file__).parents[2] / "vectors" / "rpc"
CAPTURED = sorted(path.stem for family in ("KVS", "Session", "Txn") for path in VECTORS.glob(f"{family}.*.json"))


def same(ours: bytes, theirs: bytes) -> bool:
    """Go writes its maps in random order."""
    return ours == theirs or (len(ours) == len(theirs) and unpack(ours) == unpack(theirs))


@pytest.mark.parametrize("method", CAPTURED)
def test_captured_bodies(method: str) -> None:
    known = METHODS[method]
    for pair in json.loads((VECTORS / f"{method}.json").read_text())["pairs"]:
        body = bytes.fromhex(pair["request"]["body_hex"])
        if len(body) > 1:
            assert same(known.request.unpack(body).pack(), body)
        answer = bytes.fromhex(pair["response"]["body_hex"])
        is_record = isinstance(known.reply, type) and issubclass(known.reply, Record)
        if is_record and not pair["response"]["header"].get("Error") and len(answer) > 1:
            assert same(known.reply.unpack(answer).pack(), answer)


def test_captured_log_entries() -> None:
    entries = json.loads((VECTORS / "raft_log.json").read_text())["entries"]
    found = [bytes.fromhex(entry["data_hex"]) for entry in entries if entry["fsm_type"] in (2, 3, 5, 8)]
    assert found
    assert [decode(data).encode() for data in found] == found
