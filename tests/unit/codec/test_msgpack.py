"""Values that would take far more memory than they have bytes are refused before they are built."""

import pytest

from consulpy.codec.msgpack import CONTAINERS_MAX, pack, unpack
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
