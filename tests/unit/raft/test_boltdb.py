"""A real server's raft.db is read: term, vote and log; damaged files are errors, and nothing else."""

import base64
import contextlib
import gzip
import json
from collections.abc import Iterator
from random import Random

import pytest

from consulpy.errors import WireError
from consulpy.raft.boltdb import BoltFile, read_raft_db
from consulpy.raft.storage import HardState
from tests.conftest import VECTORS

VECTOR = json.loads((VECTORS / "raft" / "raft_db.json").read_text())
FILE = gzip.decompress(base64.b64decode(VECTOR["file_gzip_base64"]))


def test_a_captured_file_has_its_buckets() -> None:
    file = BoltFile(FILE)
    assert {key.decode(): value.hex() for key, value in file.bucket(b"conf")} == VECTOR["conf"]
    logs = {str(int.from_bytes(key, "big")): value.hex() for key, value in file.bucket(b"logs")}
    assert VECTOR["logs"].items() <= logs.items()
    with pytest.raises(WireError, match="no bucket nothing"):
        list(file.bucket(b"nothing"))


def test_term_vote_and_entries() -> None:
    hard, entries = read_raft_db(FILE)
    candidate = bytes.fromhex(VECTOR["conf"]["LastVoteCand"]).decode()
    assert hard == HardState(4, 4, candidate)
    assert [entry.index for entry in entries] == list(range(entries[0].index, entries[-1].index + 1))
    assert entries[-1].index == max(map(int, VECTOR["logs"]))


@pytest.mark.parametrize("data", [b"", b"no database", bytes(100_000), FILE[:4096], FILE[4096:]])
def test_what_is_no_database_is_an_error(data: bytes) -> None:
    with pytest.raises(WireError):
        read_raft_db(data)


def test_damaged_files_raise_nothing_else() -> None:
    rng = Random(5)
    for _ in range(300):
        damaged = bytearray(FILE)
        for _ in range(rng.randrange(1, 20)):
            damaged[rng.randrange(len(damaged))] = rng.randrange(256)
        with contextlib.suppress(WireError):
            read_raft_db(bytes(damaged[: rng.choice([len(damaged), rng.randrange(len(damaged))])]))


def test_a_page_of_zeros_or_another_page_is_no_shorter_log() -> None:
    """A hole of a crashed file system: the entries behind it were acknowledged."""
    hard, entries = read_raft_db(FILE)
    refused = 0
    for page in range(2, len(FILE) // 4096):
        for content in (bytes(4096), FILE[4096 * 3 : 4096 * 4]):
            damaged = FILE[: 4096 * page] + content + FILE[4096 * (page + 1) :]
            try:
                assert read_raft_db(damaged) == (hard, entries), page  # a free page
            except WireError:
                refused += 1
    assert refused >= 2


def test_entries_of_a_later_term_than_the_current_one_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that forgot its term would vote again."""
    real = BoltFile.bucket

    def without_term(self: BoltFile, name: bytes) -> Iterator[tuple[bytes, bytes]]:
        return ((key, value) for key, value in real(self, name) if key != b"CurrentTerm")

    monkeypatch.setattr(BoltFile, "bucket", without_term)
    with pytest.raises(WireError, match="after the current term 0"):
        read_raft_db(FILE)


def test_one_damaged_meta_page_is_made_up_by_the_other() -> None:
    for offset in (20, 4096 + 20):
        damaged = bytearray(FILE)
        damaged[offset] ^= 0xFF
        assert read_raft_db(bytes(damaged))[1]


def test_a_snapshot_may_stand_in_the_place_of_entries(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a restore, or a snapshot of the leader, the entries before the gap are still there."""
    whole = read_raft_db(FILE)[1]
    missing = whole[len(whole) // 2].index
    bucket = BoltFile.bucket

    def with_gap(self: BoltFile, name: bytes) -> Iterator[tuple[bytes, bytes]]:
        return (each for each in bucket(self, name) if each[0] != missing.to_bytes(8, "big"))

    monkeypatch.setattr(BoltFile, "bucket", with_gap)
    assert read_raft_db(FILE)[1] == whole[whole.index(next(each for each in whole if each.index == missing)) + 1 :]
