"""The Go dialect of msgpack: what is refused, before it takes memory, and what is packed after a failure."""

import contextlib

import pytest

from consulpy.codec.msgpack import CONTAINERS_MAX, pack, unpack, unpack_whole
from consulpy.errors import WireError


@pytest.mark.parametrize("container", [b"\x80", b"\x90"])
def test_a_value_has_a_limit_of_containers(container: bytes) -> None:
    """Twenty megabytes of empty maps, as the user state of a gossip partner, became more than a gigabyte."""
    head = b"\xdd" + (CONTAINERS_MAX + 5).to_bytes(4, "big")
    with pytest.raises(WireError, match="maps and lists in one value"):
        unpack(head + container * (CONTAINERS_MAX + 5))


def test_large_values_of_few_containers_are_unpacked() -> None:
    value = {b"a": list(range(CONTAINERS_MAX)), b"b": [{b"c": None}] * 1000}
    assert unpack(pack(value)) == value


def test_a_value_that_cannot_be_packed_leaves_nothing_behind() -> None:
    for value in (object(), [b"x" * 1000, object()], {"a": b"x" * 100_000}):
        with contextlib.suppress(TypeError):
            pack(value)
        assert pack({"a": 1}) == b"\x81\xa1a\x01"


@pytest.mark.parametrize("data", [b"", b"\x01\x02", b"\x82\x01", b"\xc1"])
def test_a_whole_value_has_nothing_behind_it(data: bytes) -> None:
    with pytest.raises(WireError):
        unpack_whole(data)
    assert unpack_whole(b"\x92\x01\xa1a") == [1, b"a"]
