"""Captured requests, replies and log entries of keys, sessions and transactions come out as they went in."""

import json

import pytest

from consulpy.state.commands import decode
from tests.harness.vectors import VECTORS, assert_bodies_come_out_as_they_went_in

CAPTURED = sorted(path.stem for family in ("KVS", "Session", "Txn") for path in VECTORS.glob(f"{family}.*.json"))


@pytest.mark.parametrize("method", CAPTURED)
def test_captured_bodies(method: str) -> None:
    assert_bodies_come_out_as_they_went_in(method)


def test_captured_log_entries() -> None:
    entries = json.loads((VECTORS / "raft_log.json").read_text())["entries"]
    found = [bytes.fromhex(entry["data_hex"]) for entry in entries if entry["fsm_type"] in (2, 3, 5, 8)]
    assert found
    assert [decode(data).encode() for data in found] == found
