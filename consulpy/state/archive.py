"""Snapshot archives: Consul's file format, compatible both ways (docs/wire/rpc.md 12, 15).

A gzip tar of `meta.json` (Raft's metadata of the snapshot), `state.bin` (a msgpack map `{LastIndex}`, then the records)
and `SHA256SUMS` of both. All checks are made before any record is used.
"""

import base64
import hashlib
import io
import json
import tarfile
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, Final

import msgpack

from consulpy.codec.msgpack import extension, pack
from consulpy.codec.strict_json import parse
from consulpy.errors import RPCError, WireError

META, STATE, SUMS = "meta.json", "state.bin", "SHA256SUMS"
#: Maximum bytes of an unpacked state.
STATE_LIMIT: Final = 2**31
_STEP: Final = 2**20
#: Bytes of the two empty blocks at the end of a tar.
_TAR_END: Final = 1024


class BadArchive(RPCError):
    """The archive is damaged, or not an archive. The texts are Consul's."""


@dataclass(frozen=True, slots=True)
class Voter:
    """A Raft voter when the snapshot was taken."""

    id: str
    address: str


@dataclass(frozen=True, slots=True)
class Archive:
    """Content of an archive: `index` and `term` of the last change, and the records of the state."""

    id: str
    index: int
    term: int
    version: int
    size: int
    records: list[bytes]


def write(index: int, term: int, voters: Sequence[Voter], records: Iterable[bytes], *, unix_ms: int) -> bytes:
    """Create the archive of a state at `index`; the file's bytes.

    `records` are iterated twice, as size and checksum of the state stand before it: it is never whole in memory.
    """
    header = pack({"LastIndex": index})
    size, digest = len(header), hashlib.sha256(header)
    for record in records:
        size += len(record)
        digest.update(record)
    meta = json.dumps(_meta(index, term, voters, size, unix_ms), separators=(",", ":")).encode() + b"\n"
    sums = f"{hashlib.sha256(meta).hexdigest()}  {META}\n{digest.hexdigest()}  {STATE}\n".encode()
    zipper = zlib.compressobj(6, zlib.DEFLATED, 31)
    written = bytearray()
    for name, length, pieces in (
        (META, len(meta), [meta]),
        (STATE, size, chain([header], records)),
        (SUMS, len(sums), [sums]),
    ):
        info = tarfile.TarInfo(name)
        info.size, info.mode, info.mtime = length, 0o600, unix_ms // 1000
        written += zipper.compress(info.tobuf(tarfile.USTAR_FORMAT))
        for piece in pieces:
            written += zipper.compress(piece)
        written += zipper.compress(bytes(-length % tarfile.BLOCKSIZE))
    # Go refuses data after the two empty blocks; Python's tarfile would pad to its record size.
    written += zipper.compress(bytes(_TAR_END)) + zipper.flush()
    return bytes(written)


def _meta(index: int, term: int, voters: Sequence[Voter], size: int, unix_ms: int) -> dict[str, Any]:
    return {
        "Version": 1,
        "ID": f"{term}-{index}-{unix_ms}",
        "Index": index,
        "Term": term,
        "Peers": base64.b64encode(pack([voter.address for voter in voters])).decode(),
        "Configuration": {
            "Servers": [{"Suffrage": 0, "ID": voter.id, "Address": voter.address} for voter in voters],
        },
        "ConfigurationIndex": 1,
        "Size": size,
    }


def read(data: bytes) -> Archive:
    """Read an archive after checking it. Raises `BadArchive`."""
    files = _files(_decompressed(data))
    _check_sums(files)
    try:
        meta = parse(files[META])
        index, term, version = int(meta["Index"]), int(meta["Term"]), int(meta["Version"])
        snapshot_id, size = str(meta["ID"]), int(meta["Size"])
    except (ValueError, KeyError, TypeError) as error:
        raise BadArchive(f"failed to read snapshot file: failed to decode snapshot metadata: {error}") from None
    if version != 1:
        raise BadArchive(f"failed to read snapshot file: unsupported snapshot version {version}")
    if size != len(files[STATE]):
        raise BadArchive(f"failed to read snapshot file: {STATE} has {len(files[STATE])} bytes, not {size}")
    return Archive(snapshot_id, index, term, version, size, split(files[STATE]))


def _decompressed(data: bytes) -> bytes:
    """Decompress the tar, limited to `STATE_LIMIT`."""
    if not data:
        raise BadArchive("failed to decompress snapshot: EOF")
    unzip = zlib.decompressobj(wbits=31)
    parts, size, rest = [], 0, data
    try:
        while True:
            part = unzip.decompress(rest, _STEP)
            rest, done = unzip.unconsumed_tail, unzip.eof
            size += len(part)
            if size > STATE_LIMIT:
                raise BadArchive(f"failed to decompress snapshot: more than {STATE_LIMIT} bytes")
            if not part and not rest and not done:
                raise BadArchive("failed to decompress snapshot: unexpected EOF")
            parts.append(part)
            if done and not unzip.unused_data:
                break
            if done:  # several gzip members may follow each other; other data is refused
                rest, unzip = unzip.unused_data, zlib.decompressobj(wbits=31)
    except zlib.error:
        short = len(data) < 10  # Go reads the whole header first
        raise BadArchive(
            f"failed to decompress snapshot: {'unexpected EOF' if short else 'gzip: invalid header'}"
        ) from None
    return b"".join(parts)


def _files(tar: bytes) -> dict[str, bytes]:
    files: dict[str, bytes] = {}
    end = 0
    try:
        with tarfile.open(fileobj=io.BytesIO(tar or bytes(_TAR_END)), mode="r:") as archive:
            for member in archive:
                if member.name not in (META, STATE, SUMS):
                    raise BadArchive(f'failed to read snapshot file: unexpected file "{member.name}" in snapshot')
                file = archive.extractfile(member)
                found = file.read() if file is not None else b""
                if file is None or len(found) != member.size:
                    raise BadArchive("failed to read snapshot file: failed to read snapshot: unexpected EOF")
                files[member.name] = files.get(member.name, b"") + found
            end = archive.offset
    except tarfile.TarError as error:
        raise BadArchive(f"failed to read snapshot file: failed reading snapshot: {error}") from None
    if tar[end:].strip(b"\0"):
        raise BadArchive(f"{len(tar) - end - _TAR_END} unread uncompressed bytes remain")
    return {name: files.get(name, b"") for name in (META, STATE, SUMS)}


def _check_sums(files: dict[str, bytes]) -> None:
    wanted: dict[str, str] = {}
    sums = files[SUMS].decode("utf-8", "replace")
    for line in sums.removesuffix("\n").split("\n") if sums else ():
        digest, _, name = line.partition("  ")
        wanted[name] = digest
    for name in wanted:
        if name not in (META, STATE):
            raise _integrity(f'list missing hash for "{name}"')
    for name in (META, STATE):
        if name not in wanted:
            raise _integrity(f'file missing for "{name}"')
        if hashlib.sha256(files[name]).hexdigest() != wanted[name]:
            raise _integrity(f'hash check failed for "{name}"')


def _integrity(text: str) -> BadArchive:
    return BadArchive(f"failed to read snapshot file: failed checking integrity of snapshot: {text}")


def split(state: bytes) -> list[bytes]:
    """Split a `state.bin` into records of type and value. Raises `BadArchive`.

    Types are below 128, which msgpack reads as integers: the whole file is one stream of values.
    """
    unpacker = msgpack.Unpacker(raw=True, strict_map_key=False, ext_hook=extension, max_buffer_size=max(len(state), 1))
    records: list[bytes] = []
    try:
        unpacker.feed(state)
        if not isinstance(unpacker.unpack(), dict):
            raise WireError("no header")
        start = unpacker.tell()
        while start < len(state):
            if state[start] >= 128:
                raise WireError(f"unknown type {state[start]}")
            unpacker.skip()
            unpacker.skip()
            end = unpacker.tell()
            records.append(state[start:end])
            start = end
    except (msgpack.OutOfData, msgpack.UnpackException, ValueError, RecursionError, WireError) as error:
        text = str(error) or type(error).__name__
        raise BadArchive(f"failed to restore snapshot: record {len(records)} of {STATE} is damaged: {text}") from None
    return records
