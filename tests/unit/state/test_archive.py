"""Snapshot archives: what a real server wrote is read, what we write holds the same; damage is found before any use."""

import gzip
import hashlib
import io
import json
import tarfile
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consulpy.codec.msgpack import pack
from consulpy.state import archive
from consulpy.state.archive import BadArchive, Voter
from consulpy.state.snapshot import CHUNKING, Snapshot, restore
from tests.harness.archives import contents, written
from tests.harness.effort import cases

VECTORS = Path(__file__).parents[2] / "vectors" / "rpc"
REAL: dict[str, Any] = json.loads((VECTORS / "snapshot_file.json").read_text())
STATE = bytes.fromhex(REAL["state_bin_hex"])
VOTER = Voter("11111111-2222-3333-4444-555555555501", "127.0.0.1:8300")


def real_archive(again: str = "", **changed: bytes) -> bytes:
    """The archive of a real server, with some of its files changed; the file `again` stands in it twice."""
    files = {"meta.json": REAL["meta_json"].encode(), "state.bin": STATE, "SHA256SUMS": REAL["sha256sums"].encode()}
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        files |= changed
        for name, data in [*files.items(), *((name, files[name]) for name in (again,) if name)]:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return gzip.compress(packed.getvalue(), mtime=0)


def test_a_real_archive_is_read() -> None:
    found, records = contents(real_archive())
    assert (found.id, found.index, found.term, found.version) == ("2-28-1795408202042", 28, 2, 1)
    assert found.size == len(STATE)
    assert records == [bytes.fromhex(record["record_hex"]) for record in REAL["records"]]


def test_what_real_wrote_is_restored_and_written_again() -> None:
    found, recorded = contents(real_archive())
    records = list(Snapshot.of(restore(found.index, recorded)).records())
    ours = {record for record in records if record[0] != 0}
    # Go writes the maps of nodes in random order; half-written large values (29) there are none
    theirs = {record for record in recorded if record[0] not in (0, CHUNKING)}
    assert ours == theirs
    assert len(records) == len(recorded) - 1


def test_what_we_write_is_read_again() -> None:
    found = contents(real_archive())
    assert contents(written(28, 2, [VOTER], found[1], unix_ms=1_795_408_202_042)) == found


def test_meta_data_say_what_raft_says() -> None:
    made = written(7, 1, [VOTER], [], unix_ms=5000)
    with tarfile.open(fileobj=io.BytesIO(gzip.decompress(made))) as tar:
        file = tar.extractfile("meta.json")
        assert file is not None
        meta = json.load(file)
    assert meta.keys() == json.loads(REAL["meta_json"]).keys()
    assert meta["Configuration"] == {"Servers": [{"Suffrage": 0, "ID": VOTER.id, "Address": VOTER.address}]}
    assert (meta["ID"], meta["Index"], meta["Peers"]) == ("1-7-5000", 7, "ka4xMjcuMC4wLjE6ODMwMA==")


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"garbage", "failed to decompress snapshot: unexpected EOF"),
        (b"", "failed to decompress snapshot: EOF"),
        (b"no archive, but long enough", "failed to decompress snapshot: gzip: invalid header"),
        (real_archive()[:-200], "failed to decompress snapshot: unexpected EOF"),
        (gzip.compress(b"x" * 2000, mtime=0), "failed to read snapshot file: failed reading snapshot"),
        (real_archive(**{"state.bin": STATE[:-1] + b"x"}), 'hash check failed for "state.bin"'),
        (real_archive(**{"meta.json": b"{}"}), 'hash check failed for "meta.json"'),
        (real_archive(other=b"{}"), 'unexpected file "other" in snapshot'),
        (real_archive(SHA256SUMS=b""), 'file missing for "meta.json"'),
        (real_archive(SHA256SUMS=b"00  else"), 'list missing hash for "else"'),
        (gzip.compress(b"", mtime=0), 'failed checking integrity of snapshot: file missing for "meta.json"'),
        (real_archive() + b"junk", "failed to decompress snapshot"),
        (real_archive() + real_archive(), "unread uncompressed bytes remain"),
        (real_archive() + gzip.compress(b"junk", mtime=0), "unread uncompressed bytes remain"),
        (real_archive("state.bin"), 'hash check failed for "state.bin"'),
    ],
)
def test_damage_is_told_in_consuls_words(data: bytes, text: str) -> None:
    with pytest.raises(BadArchive) as told:
        contents(data)
    assert text in str(told.value)


@settings(max_examples=cases(60), deadline=None)
@given(st.data())
def test_a_flipped_byte_is_never_believed(data: st.DataObject) -> None:
    good = written(7, 1, [VOTER], [b"\x10\x82\xa3Key\xa5nodes\xa5Value\x05"], unix_ms=5000)
    at = data.draw(st.integers(min_value=0, max_value=len(good) - 1))
    bad = good[:at] + bytes([good[at] ^ data.draw(st.integers(min_value=1, max_value=255))]) + good[at + 1 :]
    try:
        found = contents(bad)
    except BadArchive:
        return
    assert found == contents(good)  # only where nothing stands: in the headers of gzip and tar


def test_a_record_that_is_cut_short_is_named() -> None:
    state = STATE[:-3]
    meta = json.dumps({**json.loads(REAL["meta_json"]), "Size": len(state)}).encode()
    sums = "".join(
        f"{hashlib.sha256(data).hexdigest()}  {name}\n" for name, data in (("meta.json", meta), ("state.bin", state))
    )
    with pytest.raises(BadArchive, match=f"record {len(REAL['records']) - 1} of state.bin is damaged"):
        contents(real_archive(**{"meta.json": meta, "state.bin": state, "SHA256SUMS": sums.encode()}))


def test_what_nothing_here_acts_on_goes_back_as_it_came() -> None:
    area = b"\x0a" + b"\x81\xa2ID\xa1x"  # network areas are Consul Enterprise
    store = restore(9, [area])
    assert area in list(Snapshot.of(store).records())


class LargeState:
    """Records of forty megabytes, made one at a time."""

    def __iter__(self) -> Iterator[bytes]:
        for number in range(2000):
            yield b"\x02" + pack({"Key": f"key/{number}", "Value": b"x" * 20_000})


def test_a_large_state_is_never_whole_in_memory(tmp_path: Path) -> None:
    """Neither while it is written nor while it is read."""
    count = 0
    tracemalloc.start()
    try:
        with (tmp_path / "archive").open("w+b") as file, (tmp_path / "tar").open("w+b") as scratch:
            archive.write(file, 7, 1, [VOTER], LargeState(), unix_ms=5000)
            file.seek(0)
            for _ in archive.read(file, scratch).records():
                count += 1
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert count == 2000
    assert peak < 5_000_000


def with_metadata(meta: bytes) -> bytes:
    """An archive with these metadata, and sums that are right."""
    hashes = {"meta.json": hashlib.sha256(meta).hexdigest(), "state.bin": hashlib.sha256(STATE).hexdigest()}
    sums = "".join(f"{found}  {name}\n" for name, found in hashes.items())
    return real_archive(**{"meta.json": meta, "SHA256SUMS": sums.encode()})


@pytest.mark.parametrize(
    ("meta", "fault"),
    [
        (b"{", "unexpected EOF"),
        (b"[]", "json: cannot unmarshal array into Go value of type raft.SnapshotMeta"),
        (b'{"Index": "1"}', "json: cannot unmarshal string into Go struct field SnapshotMeta.Index of type uint64"),
        (b'{"Index": -1}', "json: cannot unmarshal number -1 into Go struct field SnapshotMeta.Index of type uint64"),
        (
            b'{"Term": 18446744073709551616}',
            "json: cannot unmarshal number 18446744073709551616 into Go struct field SnapshotMeta.Term of type uint64",
        ),
        (
            b'{"Version": true}',
            "json: cannot unmarshal bool into Go struct field SnapshotMeta.Version of type raft.SnapshotVersion",
        ),
        (b'{"ID": 5}', "json: cannot unmarshal number into Go struct field SnapshotMeta.ID of type string"),
        (b'{"Peers": "!!"}', "illegal base64 data at input byte 0"),
        (
            b'{"Configuration": {"Servers": [{"ID": 1}]}}',
            "json: cannot unmarshal number into Go struct field Server.Configuration.Servers.ID of type raft.ServerID",
        ),
    ],
)
def test_metadata_that_are_none_are_told_in_words(meta: bytes, fault: str) -> None:
    with pytest.raises(BadArchive) as told:
        contents(with_metadata(meta))
    assert str(told.value) == f"failed to read snapshot file: failed to decode snapshot metadata: {fault}"


@pytest.mark.parametrize(
    ("changed", "fault"),
    [
        (b"null", "unsupported snapshot version 0"),
        (b"{}", "unsupported snapshot version 0"),
        ({"Version": 2}, "unsupported snapshot version 2"),
        ({"Index": 2**63}, f"no log reaches the index {2**63}"),
        ({"Index": 2**64 - 1}, f"no log reaches the index {2**64 - 1}"),
        ({"Term": 2**64 - 1}, f"no log reaches the term {2**64 - 1}"),
        ({"Size": 0}, f"state.bin has {len(STATE)} bytes, not 0"),
    ],
)
def test_metadata_that_cannot_be_are_refused(changed: Any, fault: str) -> None:
    """An index of 64 bits left a server without a leader: what follows it fits into no log."""
    meta = changed if isinstance(changed, bytes) else json.dumps({**json.loads(REAL["meta_json"]), **changed}).encode()
    with pytest.raises(BadArchive) as told:
        contents(with_metadata(meta))
    assert str(told.value) == f"failed to read snapshot file: {fault}"


@pytest.mark.parametrize("target", ["meta.json", "state.bin", "nowhere"])
@pytest.mark.parametrize("kind", [tarfile.LNKTYPE, tarfile.SYMTYPE, tarfile.DIRTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE])
def test_only_plain_files_are_taken_from_an_archive(kind: bytes, target: str) -> None:
    """A link is not followed, to itself or elsewhere."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        info = tarfile.TarInfo("meta.json")
        info.type, info.linkname = kind, target
        tar.addfile(info)
    with pytest.raises(BadArchive, match="is no plain file"):
        contents(gzip.compress(packed.getvalue()))


def test_a_name_in_an_error_is_quoted() -> None:
    with pytest.raises(BadArchive) as told:
        contents(real_archive(**{"a\x1b[1m": b""}))
    assert str(told.value) == 'failed to read snapshot file: unexpected file "a\\x1b[1m" in snapshot'


def test_corrupt_data_are_not_called_a_wrong_header() -> None:
    good = real_archive()
    for bad, fault in (
        (good[:-8] + bytes([good[-8] ^ 1]) + good[-7:], "gzip: invalid checksum"),
        (good[:10] + b"\xff" * 20 + good[30:], "flate: corrupt input"),
    ):
        with pytest.raises(BadArchive) as told:
            contents(bad)
        assert str(told.value) == f"failed to read snapshot file: failed reading snapshot: {fault}"
