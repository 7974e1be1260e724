"""Snapshot archives: Consul's file format, compatible both ways (docs/wire/rpc.md 12, 15).

A gzip tar of `meta.json` (Raft's metadata of the snapshot), `state.bin` (a msgpack map `{LastIndex}`, then the records)
and `SHA256SUMS` of both. All checks are made before any record is used. An archive is never whole in memory.
"""

import base64
import hashlib
import json
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import field
from itertools import chain
from typing import IO, Any, Final, Protocol

from consulpy.codec.lazy_dataclass import dataclass
from consulpy.codec.msgpack import pack
from consulpy.codec.record import Record, go
from consulpy.errors import RPCError, WireError
from consulpy.gocompat.json_decode import GoError, Shape, decode, decode_bytes, loads
from consulpy.gocompat.literals import quoted
from consulpy.state.state_decoder import StateDecoder

META, STATE, SUMS = "meta.json", "state.bin", "SHA256SUMS"
#: Highest index and term: no log comes near it, and what follows it must fit into 64 bits.
INDEX_MAX: Final = 2**62
#: Maximum bytes of an unpacked archive, and of each file in it beside the state.
STATE_LIMIT: Final = 2**31
_META_LIMIT: Final = 2**20
#: Bytes that are read at a time.
_STEP: Final = 2**18
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
    """Content of an archive: `index` and `term` of the last change; `size`: of the state, in bytes."""

    id: str
    index: int
    term: int
    version: int
    size: int
    _state: Sequence[IO[bytes]] = field(compare=False, repr=False)

    def records(self) -> Iterator[tuple[bytes, Any]]:
        """The records of the state: each whole, and what follows its type decoded. Raises `BadArchive`."""
        return records_in(self._state)


@dataclass(slots=True)
class _Server(Record):
    """A server of the quorum, as the metadata has it."""

    suffrage: int = 0
    id: str = go("ID", default="")
    address: str = ""


@dataclass(slots=True)
class _Configuration(Record):
    """The quorum."""

    servers: list[_Server] | None = None


@dataclass(slots=True)
class SnapshotMeta(Record):
    """Content of `meta.json`."""

    version: int = 0
    id: str = go("ID", default="")
    index: int = 0
    term: int = 0
    peers: bytes = b""
    configuration: _Configuration = field(default_factory=_Configuration)
    configuration_index: int = 0
    size: int = 0


_META: Final = Shape(
    "raft.SnapshotMeta",
    strict=False,
    unsigned=frozenset({"Index", "Term", "ConfigurationIndex", "Version"}),
    types={"Version": "raft.SnapshotVersion"},
    readers={"Peers": decode_bytes},
    inner={
        _Configuration: Shape(
            "raft.Configuration",
            strict=False,
            inner={_Server: Shape("raft.Server", strict=False, types={"ID": "raft.ServerID"})},
        )
    },
)


class Writable(Protocol):
    """A file that is written from its beginning."""

    def write(self, data: bytes, /) -> Any:
        """Write at the end."""


def records_in(state: Sequence[IO[bytes]]) -> Iterator[tuple[bytes, Any]]:
    """See `Archive.records`; `state`: the parts of a `state.bin`."""
    decoder = StateDecoder()
    try:
        for piece in _pieces(state):
            decoder.feed(piece)
            while (found := decoder.next()) is not None:
                yield found
        decoder.end()
    except WireError as error:
        raise BadArchive(f"failed to restore snapshot: {error}") from None


def write(
    file: Writable, index: int, term: int, voters: Sequence[Voter], records: Iterable[bytes], *, unix_ms: int
) -> None:
    """Write the archive of a state at `index`. Raises OSError.

    `records` are iterated twice, as size and checksum of the state stand before it.
    """
    header = pack({"LastIndex": index})
    size, digest = len(header), hashlib.sha256(header)
    for record in records:
        size += len(record)
        digest.update(record)
    meta = json.dumps(_meta(index, term, voters, size, unix_ms), separators=(",", ":")).encode() + b"\n"
    sums = f"{hashlib.sha256(meta).hexdigest()}  {META}\n{digest.hexdigest()}  {STATE}\n".encode()
    import tarfile  # no agent at rest reads or writes archives

    zipper = zlib.compressobj(6, zlib.DEFLATED, 31)
    for name, length, pieces in (
        (META, len(meta), [meta]),
        (STATE, size, chain([header], records)),
        (SUMS, len(sums), [sums]),
    ):
        info = tarfile.TarInfo(name)
        info.size, info.mode, info.mtime = length, 0o600, unix_ms // 1000
        file.write(zipper.compress(info.tobuf(tarfile.USTAR_FORMAT)))
        for piece in pieces:
            file.write(zipper.compress(piece))
        file.write(zipper.compress(bytes(-length % tarfile.BLOCKSIZE)))
    # Go refuses data after the two empty blocks; Python's tarfile would pad to its record size.
    file.write(zipper.compress(bytes(_TAR_END)) + zipper.flush())


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


def read(file: IO[bytes], scratch: IO[bytes]) -> Archive:
    """The archive in `file`, from where it stands, after checking it. Raises `BadArchive`, and what the files raise.

    `scratch`: an empty file for the unpacked archive; the records can be read as long as it is open.
    """
    size = _decompress(file, scratch)
    files = _files(scratch, size)
    _check_sums(files)
    meta = read_metadata(_whole(files[META]))
    found = sum(map(len, _pieces(files[STATE])))
    if meta.size != found:
        raise BadArchive(f"failed to read snapshot file: {STATE} has {found} bytes, not {meta.size}")
    return Archive(meta.id, meta.index, meta.term, meta.version, meta.size, files[STATE])


def read_metadata(raw: bytes) -> SnapshotMeta:
    """The metadata. Raises `BadArchive`."""
    try:
        meta = decode(SnapshotMeta, loads(raw), _META)
    except GoError as error:
        raise BadArchive(f"failed to read snapshot file: failed to decode snapshot metadata: {error}") from None
    if meta.version != 1:
        raise BadArchive(f"failed to read snapshot file: unsupported snapshot version {meta.version}")
    for name, number in (("index", meta.index), ("term", meta.term)):
        if number > INDEX_MAX:
            raise BadArchive(f"failed to read snapshot file: no log reaches the {name} {number}")
    return meta


#: In zlib's errors about a header; other ones are about what comes behind it.
_OF_HEADERS: Final = ("header", "compression method")


def _decompress(file: IO[bytes], tar: IO[bytes]) -> int:
    """Decompress the tar, limited to `STATE_LIMIT`; its size in bytes."""
    rest = file.read(_STEP)
    if not rest:
        raise BadArchive("failed to decompress snapshot: EOF")
    is_short = len(rest) < 10  # Go reads the whole header first
    unzip = zlib.decompressobj(wbits=31)
    size = 0
    try:
        while True:
            part = unzip.decompress(rest, _STEP)
            rest = unzip.unconsumed_tail or unzip.unused_data or file.read(_STEP)
            size += tar.write(part)
            if size > STATE_LIMIT:
                raise BadArchive(f"failed to decompress snapshot: more than {STATE_LIMIT} bytes")
            if unzip.eof:
                if not rest:
                    return size
                unzip = zlib.decompressobj(wbits=31)  # several gzip members may follow each other
            elif not (part or rest):
                raise BadArchive("failed to decompress snapshot: unexpected EOF")
    except zlib.error as error:
        if not is_short and not any(word in str(error) for word in _OF_HEADERS):
            fault = "gzip: invalid checksum" if "check" in str(error) else "flate: corrupt input"
            raise BadArchive(f"failed to read snapshot file: failed reading snapshot: {fault}") from None
        raise BadArchive(
            f"failed to decompress snapshot: {'unexpected EOF' if is_short else 'gzip: invalid header'}"
        ) from None


def _files(tar: IO[bytes], size: int) -> dict[str, list[IO[bytes]]]:
    """The files in a tar; what stands there more than once has several parts. Reads of them move `tar`."""
    import tarfile

    files: dict[str, list[IO[bytes]]] = {META: [], STATE: [], SUMS: []}
    if not size:
        return files
    tar.seek(0)
    try:
        # Not closed: the files are read later.
        archive = tarfile.open(fileobj=tar, mode="r:")  # noqa: SIM115
        for member in archive:
            if member.name not in files:
                raise BadArchive(f"failed to read snapshot file: unexpected file {quoted(member.name)} in snapshot")
            if not member.isreg():  # a link is followed by tarfile, and may lead to itself
                raise BadArchive(f"failed to read snapshot file: {quoted(member.name)} is no plain file")
            file = archive.extractfile(member)
            if file is None or sum(map(len, _pieces([file]))) != member.size:
                raise BadArchive("failed to read snapshot file: failed to read snapshot: unexpected EOF")
            files[member.name].append(file)
    except tarfile.TarError as error:
        raise BadArchive(f"failed to read snapshot file: failed reading snapshot: {error}") from None
    tar.seek(archive.offset)
    if any(piece.strip(b"\0") for piece in iter(lambda: tar.read(_STEP), b"")):
        raise BadArchive(f"{size - archive.offset - _TAR_END} unread uncompressed bytes remain")
    return files


def _pieces(files: Sequence[IO[bytes]]) -> Iterator[bytes]:
    for file in files:
        file.seek(0)
        while piece := file.read(_STEP):
            yield piece


def _whole(files: Sequence[IO[bytes]]) -> bytes:
    """A small file. Raises `BadArchive`."""
    found = b""
    for piece in _pieces(files):
        found += piece
        if len(found) > _META_LIMIT:
            raise BadArchive(f"failed to read snapshot file: a file of more than {_META_LIMIT} bytes beside {STATE}")
    return found


def _check_sums(files: dict[str, list[IO[bytes]]]) -> None:
    wanted: dict[str, str] = {}
    sums = _whole(files[SUMS]).decode("utf-8", "replace")
    for line in sums.removesuffix("\n").split("\n") if sums else ():
        digest, _, name = line.partition("  ")
        wanted[name] = digest
    for name in wanted:
        if name not in (META, STATE):
            raise _integrity(f'list missing hash for "{name}"')
    for name in (META, STATE):
        if name not in wanted:
            raise _integrity(f'file missing for "{name}"')
        found = hashlib.sha256()
        for piece in _pieces(files[name]):
            found.update(piece)
        if found.hexdigest() != wanted[name]:
            raise _integrity(f'hash check failed for "{name}"')


def _integrity(text: str) -> BadArchive:
    return BadArchive(f"failed to read snapshot file: failed checking integrity of snapshot: {text}")
