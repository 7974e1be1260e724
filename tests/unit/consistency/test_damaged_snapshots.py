"""A snapshot cut at any byte, or with any byte flipped, is refused with what is wrong; the state stays as it was."""

import gzip
import io
import tarfile
import zlib
from collections.abc import Iterator

import pytest
from twisted.internet.task import Clock

from consulpy.errors import RPCError
from consulpy.rpc.server import Server
from consulpy.state import archive
from consulpy.state.snapshot import Snapshot
from tests.harness import archives
from tests.harness.effort import cases
from tests.harness.rpc import make_server, register

#: A tar is read in blocks of this size, in bytes.
TAR_BLOCK = 512


def saved() -> bytes:
    """The archive of a server with two nodes."""
    server = make_server(Clock())
    register(server, "n1", "web")
    register(server, "n2", "web")
    return archives.saved(server)


GOOD = saved()
TAR = gzip.decompress(GOOD)
#: What is said of a damaged header, and of damaged data.
REFUSALS = ("failed to decompress snapshot: ", "failed to read snapshot file: failed reading snapshot: ")


@pytest.fixture
def server() -> Server:
    server = make_server(Clock())
    register(server, "mine", "db")
    return server


def refusal(server: Server, data: bytes) -> str:
    """What a server says to it; empty if it took it."""
    told: list[str] = []
    archives.restored(server, data).addCallbacks(
        lambda _: told.append(""), lambda failure: told.append(str(failure.trap(RPCError) and failure.value))
    )
    return told[0]


def records(server: Server) -> list[bytes]:
    return list(Snapshot.of(server.store).records())


def flipped(data: bytes, at: int, mask: int) -> bytes:
    return data[:at] + bytes([data[at] ^ mask]) + data[at + 1 :]


def read(data: bytes) -> tuple[archive.Archive, list[bytes]] | str:
    """What stands in it, or what is wrong with it."""
    try:
        return archives.contents(data)
    except archive.BadArchive as error:
        return str(error)


def same(data: bytes) -> bool:
    """Whether it unpacks to the same bytes, with the right checksum."""
    try:
        return gzip.decompress(data) == TAR
    except (OSError, EOFError, zlib.error):
        return False


def contents() -> Iterator[tuple[str, int, int]]:
    """Name, start and size in the tar of each file in it."""
    with tarfile.open(fileobj=io.BytesIO(TAR)) as tar:
        for member in tar:
            yield member.name, member.offset_data, member.size


def test_the_whole_archive_is_taken(server: Server) -> None:
    assert refusal(server, GOOD) == ""
    assert [node.node for node in server.store.catalog.nodes(None)[1]] == ["n1", "n2"]


def test_an_archive_cut_at_any_byte_is_refused(server: Server) -> None:
    before, index = records(server), server.store.index
    for size in range(len(GOOD)):
        text = refusal(server, GOOD[:size])
        assert text.startswith("failed to decompress snapshot: "), size
    assert (records(server), server.store.index) == (before, index)


def test_a_flipped_bit_anywhere_is_refused_or_means_nothing(server: Server) -> None:
    before, good, taken = records(server), archives.contents(GOOD), []
    for at in range(len(GOOD)):
        for bit in range(8):
            bad = flipped(GOOD, at, 1 << bit)
            found = read(bad)
            if isinstance(found, str):
                assert found.startswith(REFUSALS), (at, bit)
                assert at != 2 or found == "failed to decompress snapshot: gzip: invalid header", bit
                assert refusal(server, bad) == found
            else:
                assert same(bad), (at, bit)
                assert found == good
                taken.append(at)
    assert records(server) == before
    assert len(taken) < 100, "time and program in the header of gzip, and another way to repeat the same bytes"


@pytest.mark.parametrize("mask", [1, 0x80, 0xFF][: cases(3)])
def test_a_flipped_byte_in_any_file_of_the_archive_is_refused(server: Server, mask: int) -> None:
    """As a file damaged before it was compressed: gzip finds nothing wrong with it."""
    before = records(server)
    for name, start, size in contents():
        for at in range(start, start + size):
            text = refusal(server, gzip.compress(flipped(TAR, at, mask), 1))
            assert text.startswith("failed to read snapshot file: "), (name, at - start)
    assert records(server) == before


def test_an_inner_archive_cut_at_any_block_is_refused(server: Server) -> None:
    before = records(server)
    ends = max(start + size for _, start, size in contents())
    for size in {*range(0, ends, TAR_BLOCK), *(start + size - 1 for _, start, size in contents())}:
        assert refusal(server, gzip.compress(TAR[:size], 1)).startswith("failed to read snapshot file: "), size
    assert records(server) == before
