"""Requests and replies of real agents and servers go through our records and come out byte for byte.

The bytes are those of tests/vectors/rpc (docs/wire/rpc.md 17). Go writes its maps in random order, so where a record
holds one, the decoded values are compared.
"""

import json

import pytest

from consulpy.rpc.methods import METHODS, load_all
from consulpy.state.commands import decode
from tests.harness.vectors import VECTORS, assert_bodies_come_out_as_they_went_in, same

load_all()

OURS = sorted(
    name for name in METHODS if name.split(".")[0] in ("Status", "Catalog", "Health", "Coordinate", "Internal")
)


def test_every_captured_method_of_these_families_is_there() -> None:
    captured = {path.stem for path in VECTORS.glob("*.*.json")}
    wanted = {
        name for name in captured if name.split(".")[0] in ("Status", "Catalog", "Health", "Coordinate", "Internal")
    }
    assert wanted - set(OURS) <= {"Internal.KeyringOperation"}


@pytest.mark.parametrize("method", [name for name in OURS if (VECTORS / f"{name}.json").exists()])
def test_captured_bodies_come_out_as_they_went_in(method: str) -> None:
    assert_bodies_come_out_as_they_went_in(method)


def test_captured_log_entries_decode_and_encode() -> None:
    """Entries of a real cluster's Raft log (docs/wire/rpc.md 15)."""
    entries = json.loads((VECTORS / "raft_log.json").read_text())["entries"]
    seen = set()
    for entry in entries:
        if entry["fsm_type"] in (0, 1, 9, 30, 134):
            data = bytes.fromhex(entry["data_hex"])
            command = decode(data)
            assert same(command.encode()[1:], data[1:])
            assert command.encode()[0] == data[0]
            seen.add(entry["fsm_type"])
    assert seen == {0, 1, 9, 30, 134}
