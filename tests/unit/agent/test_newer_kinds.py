"""Servers of a quorum are asked whether they know newer kinds of config entries: the others would end."""

from types import SimpleNamespace
from typing import Any

import pytest
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock

from consulpy.agent.build.newer_kinds import NewerKindsGuard
from consulpy.agent.build.quorum_peers import QuorumPeers
from consulpy.errors import RPCError
from consulpy.raft.configuration import Server
from consulpy.raft.messages import COMMAND, LogEntry
from consulpy.rpc.server_metadata import ServerInfo
from consulpy.state.commands import ConfigEntry
from consulpy.structs.config_entry import ServiceDefaults
from consulpy.structs.config_entry_requests import EntryRequest
from consulpy.structs.newer_config_entry import NEWER_KINDS, NewerEntry

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


def entry(index: int, kind: str, op: str = "upsert") -> LogEntry:
    made: Any = NewerEntry(kind=kind, name="x") if kind in NEWER_KINDS else ServiceDefaults(kind=kind, name="mesh")
    data = ConfigEntry(EntryRequest(op=op, entry=made, leading_kind=kind)).encode()
    return LogEntry(index=index, term=1, type=COMMAND, data=data)


class Guarded:
    """A guard of a log on disk that begins at entry 3, and the lines that it says."""

    def __init__(self, *entries: LogEntry, cached: bool = False) -> None:
        self.has_newer_kinds = False
        self.newer_field = ""
        self.lines: list[str] = []
        self.clock = Clock()
        self.entries = list(entries)
        log = SimpleNamespace(
            first_index=entries[0].index,
            cached=lambda first, _n, _b: self._from(first) if cached else None,
            stored_count=lambda _first: 1,
        )
        storage = SimpleNamespace(read=lambda first, count, _b, done: done(self._from(first)[:count]))
        self.raft: Any = SimpleNamespace(log=log, commit_index=entries[-1].index, storage=storage)
        self.guard = NewerKindsGuard(
            self.raft, self.clock, self._store(), lambda info: succeed(info.id == "ours"),
            lambda _info, answered: answered(["a:1"]), lambda _level, text: self.lines.append(text),
        )  # fmt: skip

    def _store(self) -> Any:
        entries = SimpleNamespace(
            has_newer_kinds=lambda: self.has_newer_kinds, with_newer_fields=lambda: self.newer_field
        )
        return SimpleNamespace(config_entries=entries)

    def _from(self, first: int) -> list[LogEntry]:
        return [each for each in self.entries if each.index >= first]

    def asks(self, server_id: str) -> list[str] | None:
        answers: list[Any] = []
        self.guard.peers(ServerInfo(server_id, "127.0.0.3", 8300, "dc1", id=server_id), answers.append)
        for _ in range(10):
            self.clock.advance(0)
        assert len(answers) == 1
        return answers[0]  # type: ignore[no-any-return]


NOTHING = [LogEntry(index=3, term=1, type=COMMAND, data=b"\x02x"), entry(4, "service-defaults")]


@pytest.mark.parametrize("cached", [True, False])
def test_a_server_of_1_8_7_joins_what_it_understands(cached: bool) -> None:
    guarded = Guarded(*NOTHING, cached=cached)
    assert guarded.asks("real") == ["a:1"]
    assert guarded.lines == []


@pytest.mark.parametrize("cached", [True, False])
def test_it_does_not_join_a_log_that_would_end_it(cached: bool) -> None:
    """Also a deleted entry is in the log, until that is compacted."""
    guarded = Guarded(*NOTHING, entry(5, "mesh"), entry(6, "mesh", "delete"), cached=cached)
    assert guarded.asks("ours") == ["a:1"]
    assert guarded.asks("real") is None
    assert guarded.asks("real") is None
    (line,) = guarded.lines
    assert "restore" in line
    guarded.raft.log.first_index = 7
    assert guarded.asks("real") == ["a:1"]


def test_it_does_not_join_a_state_that_would_end_it() -> None:
    guarded = Guarded(*NOTHING)
    guarded.has_newer_kinds = True
    assert guarded.asks("real") is None
    assert "delete them" in guarded.lines[0]
    guarded.has_newer_kinds = False
    assert guarded.asks("real") == ["a:1"]


def test_it_does_not_join_a_state_that_it_would_drop_fields_of() -> None:
    """Once it leads, the others have what it has."""
    guarded = Guarded(*NOTHING)
    guarded.newer_field = "service-defaults/web: Mode"
    assert guarded.asks("ours") == ["a:1"]
    assert guarded.asks("real") is None
    assert "would drop fields" in guarded.lines[0]
    assert "service-defaults/web: Mode" in guarded.lines[0]
    guarded.newer_field = ""
    assert guarded.asks("real") == ["a:1"]
