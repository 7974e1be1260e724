"""Where the other servers of a quorum are called, and whether one has ended."""

from types import SimpleNamespace
from typing import Any

import pytest
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.error import ConnectionLost
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from consulpy.agent.build.quorum_peers import PROBE_HOLD_S, PROBES, QuorumPeers
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


@pytest.mark.parametrize(
    ("leader", "peers"),
    [
        ("", [OWN.address, OTHER.address]),  # it was of this quorum, and comes back
        (OTHER.address, [OWN.address, OTHER.address]),
        ("10.0.0.9:8300", [OTHER.address]),
    ],
)
def test_a_server_with_another_leader_is_of_another_quorum_even_if_that_one_has_taken_us_in(
    leader: str, peers: list[str]
) -> None:
    """Real leaders take in every server that they hear of."""
    replies = {"Status.Peers": [OWN.address.encode(), OTHER.address.encode()], "Status.Leader": leader.encode()}
    config: Any = SimpleNamespace(datacenter="dc1", uses_tls=False)
    pool: Any = SimpleNamespace(call=lambda _info, method, _body: succeed(replies[method]))
    nothing: Any = None
    asked = QuorumPeers(config, Clock(), OWN, nothing, nothing, pool, lambda: [OWN, OTHER], lambda: OWN.address)
    answers: list[Any] = []
    asked.peers(nothing, answers.append)
    assert answers == [peers]


class Dialer:
    """Answers each dial as `says` does: an open connection, one that is closed at once, or an error."""

    def __init__(self, *says: str) -> None:
        self.says = list(says)
        self.open: list[Any] = []

    def connect(self, _info: Any, make: Any) -> "Deferred[Any]":
        now = self.says.pop(0) if len(self.says) > 1 else self.says[0]
        if now not in ("open", "closed"):
            return fail(OSError(now))
        protocol = make()
        protocol.makeConnection(SimpleNamespace(abortConnection=lambda: self.open.remove(protocol)))
        self.open.append(protocol)
        if now == "closed":
            self.close()
        return succeed(protocol)

    def close(self) -> None:
        self.open.pop().connectionLost(Failure(ConnectionLost()))


def probed(*says: str) -> tuple[list[bool], Dialer, Clock]:
    config: Any = SimpleNamespace(datacenter="dc1", uses_tls=False)
    clock, dialer, answers = Clock(), Dialer(*says), list[bool]()
    lan: Any = SimpleNamespace(members={})
    pool: Any = None
    made: Any = dialer
    peers = QuorumPeers(config, clock, OWN, lan, made, pool, lambda: [OWN, OTHER], lambda: OTHER.address)
    peers.refuses(OTHER.address, answers.append)
    return answers, dialer, clock


@pytest.mark.parametrize(
    ("says", "has_ended"),
    [
        (["connect: connection refused"], True),
        (["closed", "connect: connection refused"], True),
        (["closed", "read: connection reset by peer", "EOF", "connect: connection refused"], True),
        (["i/o timeout"], False),
        (["closed"], False),
        (["closed", "open"], False),
        (["open"], False),
    ],
)
def test_a_server_has_ended_when_it_refuses_connections_even_if_it_accepts_one_while_it_ends(
    says: list[str], has_ended: bool
) -> None:
    """A killed process closes its descriptors in turn: its peers learn of it before its listener is gone."""
    answers, dialer, clock = probed(*says)
    clock.pump([0.02] * PROBES)
    clock.advance(PROBE_HOLD_S)
    assert answers == [has_ended]
    assert not dialer.open
    assert not clock.getDelayedCalls()


def test_a_probe_that_is_closed_after_a_moment_is_repeated() -> None:
    answers, dialer, clock = probed("open", "connect: connection refused")
    clock.advance(0.3)
    assert not answers
    dialer.close()
    clock.advance(0.1)
    assert answers == [True]
