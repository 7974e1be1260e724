"""Where the other servers of a quorum are called."""

from types import SimpleNamespace
from typing import Any

import pytest
from twisted.internet.task import Clock

from consulpy.agent.build.quorum_peers import QuorumPeers
from consulpy.raft.configuration import Server
from consulpy.serf.members import Member, Status

OWN, OTHER = Server("10.0.0.1:8300", "a"), Server("10.0.0.2:8300", "b")


def member(name: str, address: str, status: Status = Status.ALIVE) -> Member:
    tags = {"role": "consul", "dc": "dc1", "id": "b", "port": "8300", "vsn": "2", "build": "1.8.7:", "raft_vsn": "3"}
    return Member(name, address, 8301, tags, status)


@pytest.mark.parametrize(
    ("members", "address"),
    [
        ([], "10.0.0.2:8300"),
        ([member("b", "10.0.0.9")], "10.0.0.9:8300"),
        ([member("b", "10.0.0.9", Status.FAILED)], "10.0.0.2:8300"),
        ([member("copy", "10.0.0.8"), member("b", "10.0.0.2")], "10.0.0.2:8300"),
        ([member("copy", "10.0.0.8"), member("b", "10.0.0.2", Status.FAILED)], "10.0.0.8:8300"),
    ],
)
def test_a_server_is_called_where_gossip_says_it_is_but_not_at_a_copy(members: list[Member], address: str) -> None:
    """A copy of its data directory has its id; votes and entries that it takes would count for the other one."""
    dialed: list[str] = []
    config: Any = SimpleNamespace(datacenter="dc1", uses_tls=False)
    lan: Any = SimpleNamespace(members={each.name: each for each in members})
    dialer: Any = SimpleNamespace(connect=lambda info, _make: dialed.append(info.rpc_address))
    pool: Any = None
    peers = QuorumPeers(config, Clock(), OWN, lan, dialer, pool, lambda: [OWN, OTHER], lambda: OTHER.address)
    peers.dial(OTHER, lambda: None)
    assert dialed == [address]
    leader = peers.leader()
    assert leader is not None
    assert leader.rpc_address == address
