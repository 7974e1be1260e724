"""Nodes of a push/pull: the fast path of decoding, and the node that a member has ready (docs/wire/gossip.md 4.1)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consulpy.memberlist.keyring import Keyring
from consulpy.memberlist.member import Member
from consulpy.memberlist.node_state import NodeState, node_of, shared
from consulpy.memberlist.packet import Sealer
from consulpy.memberlist.stream import MessageReader, PushPull, encode_nodes, push_pull, seal
from consulpy.testing.simulation.cluster import Cluster
from consulpy.testing.simulation.network import Conditions

VSN = (1, 5, 2, 2, 5, 4)
#: What each node begins with, in places where it does not begin one.
BEGIN = b"\x87\xa4Addr"
NODES = [
    NodeState("n1", "127.0.0.1", 8301, b"", 1, 0, VSN),
    NodeState("n2", "127.0.0.2", 8301, BEGIN, 2**32 - 1, 1, ()),
    NodeState("n3", "::1", 8301, b"meta" + BEGIN * 3, 1, 2, VSN),
    NodeState("\x87\xa4Addr", "127.0.0.4", 1, b"", 0, 3, VSN),
]


def read(data: bytes, slices: int, secret: bool = False) -> PushPull:
    """What is read of a push/pull that comes in slices of so many bytes."""
    sealer = Sealer(Keyring([b"k" * 16]) if secret else None, verify_incoming=True, verify_outgoing=True, label="")
    reader, sealed = MessageReader(sealer), seal(sealer, data, compress_it=False)
    assert [reader.feed(sealed[at : at + slices]) for at in range(0, len(sealed), slices)][-1]
    assert isinstance(reader.message, PushPull)
    return reader.message


@given(st.lists(st.sampled_from(NODES), max_size=9), st.sampled_from([b"", BEGIN, b"x" + BEGIN * 2]), st.booleans())
def test_what_looks_like_the_start_of_a_node_is_none(nodes: list[NodeState], state: bytes, secret: bool) -> None:
    data = push_pull(True, encode_nodes(nodes), len(nodes), state)
    for slices in (7, 100, len(data) + 100):
        assert read(data, slices, secret) == PushPull(True, nodes, state)


@pytest.mark.parametrize("at", range(4))
@pytest.mark.parametrize("slices", [9, 10_000])
def test_a_bad_node_among_good_ones_is_skipped(at: int, slices: int) -> None:
    encoded = [NODES[0].encode()] * 4
    encoded[at] = encoded[at].replace(b"\xa2n1", b"\xa0")  # it has no name
    found = read(push_pull(False, b"".join(encoded), 4, b"state"), slices)
    assert (found.nodes, found.bad_nodes, found.user_state) == ([NODES[0]] * 3, ["a member has no name"], b"state")


def test_nodes_that_say_the_same_are_one_object() -> None:
    data = push_pull(False, encode_nodes(NODES[:1] * 3), 3, b"")
    first, second = read(data, 10_000).nodes[:2]
    assert first is second is shared(NODES[0])


def test_a_member_has_its_node_until_it_changes() -> None:
    """In a cluster with loss, crashes, and restarts under other metadata; each node says what its member is."""
    cluster = Cluster(8, seed=3, conditions=Conditions(loss=0.2), settled=True, push_pull_interval_s=2.0)
    seen = 0
    for turn in range(12):
        if turn == 2:
            cluster.nodes[3].host.crash()
        if turn == 8:
            cluster.nodes[5].delegate.meta = b"changed"
            cluster.nodes[5].memberlist.update_meta()
        cluster.run(3)
        for node in cluster.nodes:
            for member in node.memberlist.members:
                seen += member.node is not None
                assert member.node in (None, as_node(member)), member
                assert node_of(member) == as_node(member)
    assert seen > 400
    assert {member.state.name for node in cluster.nodes for member in node.memberlist.members} >= {"ALIVE"}


def as_node(member: Member) -> NodeState:
    """What a member is."""
    return NodeState(
        member.name, member.address, member.port, member.meta, member.incarnation, int(member.state), member.vsn
    )
