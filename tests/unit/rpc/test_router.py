"""Which server a client asks: rotation, pings, rebalances, with a clock of the test. Source: docs/wire/rpc.md 8."""

import itertools
from random import Random
from typing import Any

import pytest
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock

from consulpy.errors import RPCError
from consulpy.rpc.call import ClientCaller
from consulpy.rpc.router import Router
from consulpy.rpc.server_metadata import ServerInfo
from consulpy.serf.events import MemberEvent, MemberEventKind
from consulpy.serf.members import Member, Status
from consulpy.structs.requests import SpecificRequest

KINDS = MemberEventKind


def member(name: str, **changed: str) -> Member:
    tags = {"role": "consul", "dc": "dc1", "port": "8300", "vsn": "2", "vsn_max": "3", "build": "1.8.7:", "id": name}
    return Member(name, "127.88.2.1", 8301, {**tags, **changed}, Status.ALIVE)


class Site:
    """A router, what it pings and what answers."""

    def __init__(self, *names: str, members: int = 1, seed: int = 1) -> None:
        self.clock = Clock()
        self.members = members
        self.pinged: list[str] = []
        self.dead: set[str] = set()
        self.slow: dict[str, Deferred[Any]] = {}
        self.lines: list[str] = []
        self.router = Router(
            "dc1",
            self.clock,
            Random(seed),
            self.ping,
            lambda: self.members,
            log=lambda _, text: self.lines.append(text),
        )
        self.join(*names)

    def join(self, *names: str) -> None:
        self.router.member_event(MemberEvent(KINDS.JOIN, [member(name) for name in names]))

    def gone(self, name: str, kind: MemberEventKind = KINDS.FAILED) -> None:
        self.router.member_event(MemberEvent(kind, [member(name)]))

    def ping(self, server: ServerInfo) -> "Deferred[Any]":
        self.pinged.append(server.name)
        if server.name in self.slow:
            return self.slow[server.name]
        return fail(RPCError("connection refused")) if server.name in self.dead else succeed({})

    @property
    def order(self) -> list[str]:
        return [server.name for server in self.router.servers]


def test_new_servers_stand_at_the_end_and_known_ones_keep_their_place() -> None:
    site = Site("a", "b")
    site.join("c")
    site.router.member_event(MemberEvent(KINDS.UPDATE, [member("a", port="8400")]))
    assert site.order == ["a", "b", "c"]
    assert site.router.servers[0].port == 8400


@pytest.mark.parametrize("kind", [KINDS.LEAVE, KINDS.FAILED, KINDS.REAP])
def test_who_is_gone_is_not_asked(kind: MemberEventKind) -> None:
    site = Site("a", "b")
    site.gone("a", kind)
    assert site.order == ["b"]


def test_servers_of_other_datacenters_and_clients_are_none() -> None:
    site = Site()
    others = [member("x", dc="dc2"), member("y", role="node"), member("z", port="none")]
    assert not site.router.member_event(MemberEvent(KINDS.JOIN, others))
    assert site.router.find() is None


def test_the_one_that_failed_goes_to_the_end_and_only_if_it_was_the_one_to_ask() -> None:
    site = Site("a", "b", "c")
    first = site.router.servers[0]
    site.router.failed(first)
    assert site.order == ["b", "c", "a"]
    site.router.failed(first)  # a second call that failed meanwhile
    assert site.order == ["b", "c", "a"]
    alone = Site("a")
    alone.router.failed(alone.router.servers[0])
    assert alone.order == ["a"]


def test_a_server_whose_tags_changed_during_the_call_is_still_the_one_that_failed() -> None:
    site = Site("a", "b")
    asked = site.router.servers[0]
    site.router.member_event(MemberEvent(KINDS.UPDATE, [member("a", vsn_max="4")]))
    site.router.failed(asked)
    assert site.order == ["b", "a"]


def test_the_list_is_shuffled_after_120_seconds_and_the_one_in_front_was_pinged() -> None:
    orders = set()
    for seed in range(40):
        site = Site("a", "b", "c", seed=seed)
        site.router.start()
        site.clock.advance(119.9)
        assert site.pinged == []
        site.clock.advance(0.1)
        assert site.pinged == [site.order[0]]
        orders.add(tuple(site.order))
        site.router.stop()
    assert len(orders) == 6, "every order comes up"


def test_servers_that_answer_no_ping_are_passed_over() -> None:
    for seed in range(10):
        site = Site("a", "b", "c", "d", seed=seed)
        site.dead = {"a", "c"}
        site.router.rebalance()
        assert site.order[0] in ("b", "d")
        assert site.pinged[-1] == site.order[0]
        assert set(site.pinged[:-1]) <= site.dead


def test_when_nobody_answers_the_order_stays() -> None:
    site = Site("a", "b", "c")
    site.dead = {"a", "b", "c"}
    site.router.rebalance()
    assert sorted(site.pinged) == site.order == ["a", "b", "c"]


def test_who_joins_or_leaves_during_a_ping_is_not_forgotten() -> None:
    site = Site("a", "b", "c")
    site.slow = {name: Deferred() for name in ("a", "b", "c")}
    site.router.rebalance()
    (pinged,) = site.pinged
    left = next(name for name in ("a", "b", "c") if name != pinged)
    site.gone(left)
    site.join("d")
    site.slow[pinged].callback({})
    assert site.order[0] == pinged
    assert site.order[-1] == "d"
    assert left not in site.order
    assert len(site.order) == 3


def test_a_server_that_answers_and_leaves_does_not_bring_an_unpinged_one_to_the_front() -> None:
    site = Site("a", "b", "c")
    site.slow = {name: Deferred() for name in ("a", "b", "c")}
    site.router.rebalance()
    (pinged,) = site.pinged
    before = [name for name in site.order if name != pinged]
    site.gone(pinged)
    site.slow[pinged].callback({})
    assert site.order == before


@pytest.mark.parametrize(
    ("servers", "members", "least", "most"),
    [
        (3, 100, 120, 180),
        (3, 23040, 120, 180),
        (3, 100_000, 520.8, 520.9),  # 100000 members / (64 connections a second * 3 servers)
        (5, 100_000, 312.5, 312.5),
        (0, 100_000, 120, 180),
    ],
)
def test_the_pause_between_rebalances_grows_with_the_cluster(
    servers: int, members: int, least: float, most: float
) -> None:
    pauses = set()
    for seed in range(20):
        site = Site(*"abcde"[:servers], members=members, seed=seed)
        pauses.add(site.router.interval_s())
    assert all(least <= pause <= most for pause in pauses)
    assert least == most or max(pauses) - min(pauses) > 30 or least > 180


def test_it_goes_on_every_two_to_three_minutes_until_it_is_stopped() -> None:
    site = Site("a", "b", "c")
    site.router.start()
    times = []
    for _ in range(3600):
        before = len(site.pinged)
        site.clock.advance(1)
        if len(site.pinged) > before:
            times.append(site.clock.seconds())
    pauses = [later - earlier for earlier, later in itertools.pairwise(times)]
    assert times[0] == 120
    assert all(120 <= pause <= 181 for pause in pauses)
    assert len(times) >= 19
    site.router.stop()
    assert not site.clock.getDelayedCalls()


def test_a_ping_that_hangs_is_ended_with_the_router() -> None:
    site = Site("a")
    cancelled = []
    site.slow = {"a": Deferred(lambda _: cancelled.append("a"))}
    site.router.start()
    site.clock.advance(120)
    assert site.pinged == ["a"]
    site.router.stop()
    assert cancelled == ["a"]
    assert not site.clock.getDelayedCalls()


def test_a_call_without_a_leader_is_repeated_at_the_next_server_after_a_random_pause() -> None:
    """Pauses of 0 to 437 ms, for 7 seconds at most (docs/wire/rpc.md 6)."""
    site, asked = Site("a", "b", "c"), list[tuple[float, str]]()

    class NoLeader:
        def call(self, server: ServerInfo, method: str, body: bytes) -> "Deferred[Any]":
            asked.append((site.clock.seconds(), server.name))
            return fail(RPCError("rpc error making call: No cluster leader"))

    failed: list[str] = []
    caller = ClientCaller(site.router, NoLeader(), site.clock, Random(7))
    call = caller.call("Catalog.ListNodes", SpecificRequest(datacenter="dc1"))
    call.addErrback(lambda failure: failed.append(str(failure.value)))
    while not failed and site.clock.seconds() < 60:
        site.clock.advance(0.001)
    pauses = [later[0] - earlier[0] for earlier, later in itertools.pairwise(asked)]
    assert failed == ["rpc error making call: No cluster leader"]
    assert 7 <= asked[-1][0] < 7.5
    assert max(pauses) < 0.4385
    assert min(pauses) < 0.1
    assert [name for _, name in asked[:7]] == ["a", "b", "c", "a", "b", "c", "a"]
    assert not site.clock.getDelayedCalls()
