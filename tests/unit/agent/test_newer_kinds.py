"""Servers of a quorum are asked whether they know newer kinds of config entries: the others would end."""

from types import SimpleNamespace
from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock

from consulpy.agent.build.quorum_peers import QuorumPeers
from consulpy.errors import RPCError
from consulpy.raft.configuration import Server
from consulpy.rpc.server_metadata import ServerInfo
from consulpy.structs.newer_config_entry import NEWER_KINDS

SERVERS = [Server(f"127.0.0.{number}:8300", f"id{number}") for number in (1, 2, 3)]


class Pool:
    """Servers 2 and 3; `real` ones are of 1.8.7, `mute` ones do not answer."""

    def __init__(self, real: tuple[str, ...] = (), mute: tuple[str, ...] = ()) -> None:
        self.real, self.mute = real, mute
        self.calls: list[str] = []

    def call(self, info: ServerInfo, method: str, _body: bytes) -> "Deferred[Any]":
        self.calls.append(f"{info.name} {method}")
        if info.name in self.mute:
            return Deferred()
        if method == "Status.Peers":
            return succeed([b"127.0.0.1:8300"])
        if info.name in self.real:
            return fail(RPCError(f"rpc: can't find method {method}"))
        return succeed([kind.encode() for kind in NEWER_KINDS])


def peers_of(pool: Pool) -> tuple[QuorumPeers, Clock]:
    config: Any = SimpleNamespace(datacenter="dc1", uses_tls=False)
    clock, lan = Clock(), SimpleNamespace(members={})
    peers = QuorumPeers(
        config, clock, SERVERS[0], lan, None, pool, lambda: SERVERS, lambda: ""  # type: ignore[arg-type]
    )  # fmt: skip
    return peers, clock


def lacking(pool: Pool) -> list[str]:
    peers, clock = peers_of(pool)
    found: list[list[str]] = []
    Deferred.fromCoroutine(peers.without_newer_kinds()).addCallback(found.append)
    clock.advance(2)
    return found[0]


def test_each_other_server_is_asked() -> None:
    pool = Pool()
    assert lacking(pool) == []
    assert pool.calls == ["id2 Status.ConfigEntryKinds", "id3 Status.ConfigEntryKinds"]


def test_a_server_of_1_8_7_and_one_that_is_silent_are_named() -> None:
    assert lacking(Pool(real=("id3",))) == ["127.0.0.3:8300"]
    assert lacking(Pool(real=("id3",), mute=("id2",))) == ["127.0.0.2:8300", "127.0.0.3:8300"]


def test_a_server_of_1_8_7_does_not_join_a_state_that_would_end_it() -> None:
    peers, _ = peers_of(Pool(real=("id3",)))
    real = ServerInfo("id3", "127.0.0.3", 8300, "dc1", id="id3")
    ours = ServerInfo("id2", "127.0.0.2", 8300, "dc1", id="id2")
    answers: list[Any] = []
    peers.peers_if_it_may_join(real, answers.append)
    peers.needs_newer_kinds = lambda: True
    peers.peers_if_it_may_join(real, answers.append)
    peers.peers_if_it_may_join(ours, answers.append)
    assert answers == [["127.0.0.1:8300"], None, ["127.0.0.1:8300"]]
