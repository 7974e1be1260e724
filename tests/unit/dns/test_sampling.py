"""Services of many instances: what an answer holds is drawn at random, and nothing else is looked at."""

from collections import Counter
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred, fail
from twisted.internet.task import Clock
from twisted.names import dns

from consulpy.dns import answer as answers
from consulpy.dns.cache import CacheableAnswer
from consulpy.dns.config import DnsConfig
from consulpy.dns.recursor import Recursor
from consulpy.dns.resolve import Resolver
from consulpy.dns.sampling import ALL_MAX, AT_ONCE, ManyInstances, Turns
from consulpy.dns.wire import decode
from consulpy.errors import RPCError
from consulpy.structs.check import HealthCheck
from consulpy.structs.node import Node
from consulpy.structs.requests import CheckServiceNodesReply
from consulpy.structs.service import CheckServiceNode, NodeService
from tests.harness import catalog
from tests.harness.effort import cases
from tests.unit.dns.test_load_balance import TTL, by_full_path

NAME = "web.service.consul"
MANY = 2 * ALL_MAX


def instance(number: int, status: str = "passing", address: str = "") -> CheckServiceNode:
    node = Node(node=f"node-{number}", address=f"10.9.{number // 250}.{number % 250 + 1}", datacenter="dc1")
    service = NodeService(service="web", address=address, port=80)
    return CheckServiceNode(node=node, service=service, checks=[HealthCheck(status=status)])


ROWS = [instance(number) for number in range(MANY)]


class Caller:
    """Has the instances of one service."""

    def __init__(self, rows: list[CheckServiceNode]) -> None:
        self.rows = rows

    def call(self, method: str, _request: Any, _dependencies: Any = None) -> Any:
        if method != "Health.ServiceNodes":
            return fail(RPCError("nothing else"))
        done: Deferred[Any] = Deferred()
        done.callback(CheckServiceNodesReply(nodes=self.rows))
        return done


def resolver(rows: list[CheckServiceNode], config: DnsConfig | None = None, turns: Turns = AT_ONCE) -> Resolver:
    rng, caller = Random(7), Caller(rows)
    return Resolver(
        config or DnsConfig(),
        caller,
        lambda: 0.0,
        rng,
        Recursor(None, rng),
        lambda _: 1,
        turns=turns,  # type: ignore[arg-type]
    )


def ask(
    rows: list[CheckServiceNode], kind: int, size: int = 0, config: DnsConfig | None = None, *, udp: bool = True
) -> CacheableAnswer:
    made: list[CacheableAnswer] = []
    question = decode(catalog.packet(NAME, kind, size))
    Deferred.fromCoroutine(resolver(rows, config).respond(question, udp=udp)).addCallback(made.append)
    return made[0]


def records(packet: bytes) -> list[dns.RRHeader]:
    message = dns.Message()
    message.fromStr(packet)
    return message.answers


def count_of(packet: bytes) -> int:
    return int.from_bytes(packet[6:8], "big")


def addresses(packet: bytes) -> list[str]:
    return [each.payload.dottedQuad() for each in records(packet)]


@pytest.mark.parametrize(("size", "held"), [(0, 3), (512, 3), (1232, 74), (4096, 253)])
def test_no_more_is_looked_at_than_an_answer_holds(size: int, held: int, monkeypatch: pytest.MonkeyPatch) -> None:
    looked_at: list[Any] = []
    plain = answers.may_serve
    monkeypatch.setattr(answers, "may_serve", lambda row, passing: looked_at.append(row) or plain(row, passing))
    answer = ask(ROWS, dns.A, size)
    found = addresses(answer.packet)
    assert len(set(found)) == len(found) == held
    assert len(looked_at) <= held + 5
    assert answer.shuffle is not None
    assert answer.choices > 1
    again = {tuple(addresses(answer.shuffle())) for _ in range(20)}
    assert len(again) == 20


def test_every_instance_is_drawn_equally_often() -> None:
    answer = ask(ROWS, dns.A)
    assert answer.shuffle is not None
    drawn: Counter[str] = Counter()
    for _ in range(10_000):
        drawn.update(addresses(answer.shuffle()))
    assert len(drawn) == MANY
    assert max(drawn.values()) < 40, "15 each"


@pytest.mark.parametrize("kind", [dns.A, dns.SRV])
def test_who_is_critical_is_not_drawn(kind: int) -> None:
    rows = [instance(number, "critical" if number % 2 else "passing") for number in range(MANY)]
    answer = ask(rows, kind, 4096)
    names = {f"10.9.{number // 250}.{number % 250 + 1}" for number in range(0, MANY, 2)}
    if kind == dns.A:
        assert set(addresses(answer.packet)) <= names
    else:
        assert {int(str(each.payload.target).split(".")[0][5:]) % 2 for each in records(answer.packet)} == {0}


@pytest.mark.parametrize("healthy", [0, 1, 2, 50])
def test_few_of_many_that_may_serve_are_all_in_the_answer(healthy: int) -> None:
    rows = [instance(number, "passing" if number < healthy else "critical") for number in range(MANY)]
    Random(3).shuffle(rows)
    answer = ask(rows, dns.A, 4096)
    assert len(records(answer.packet)) == answer.choices == healthy or not healthy
    assert answer.packet[3] & 0xF == (0 if healthy else dns.ENAME)


def test_no_address_of_the_requested_family_is_no_unknown_name() -> None:
    answer = ask(ROWS, dns.AAAA)
    assert (records(answer.packet), answer.packet[3] & 0xF) == ([], dns.OK)


@pytest.mark.parametrize(
    ("config", "udp", "count", "truncated"),
    [
        (DnsConfig(enable_truncate=True), True, 3, True),
        (DnsConfig(), True, 3, False),
        (DnsConfig(enable_truncate=True, a_record_limit=2), True, 2, False),
        (DnsConfig(enable_truncate=True, udp_answer_limit=8), True, 8, True),
        (DnsConfig(enable_truncate=True, a_record_limit=5), False, 5, False),
        (DnsConfig(enable_truncate=True), False, MANY, False),
    ],
)
def test_limits_are_those_of_the_settings(config: DnsConfig, udp: bool, count: int, truncated: bool) -> None:
    answer = ask(ROWS, dns.A, config=config, udp=udp)
    assert count_of(answer.packet) == count
    assert bool(answer.packet[2] & 2) == truncated
    if answer.shuffle is not None:
        assert len({answer.shuffle() for _ in range(5)}) > 1


def test_all_over_tcp_takes_several_turns() -> None:
    class Slow(Clock):
        """A clock on which each step takes 2 ms."""

        turns = 0

        def seconds(self) -> float:
            self.rightNow += 0.002
            return self.rightNow

        def callLater(self, *arguments: Any) -> Any:
            self.turns += 1
            return super().callLater(*arguments)

    clock, made = Slow(), []
    rows = [instance(number) for number in range(5000)]
    question = decode(catalog.packet(NAME, dns.SRV))
    done = Deferred.fromCoroutine(resolver(rows, turns=Turns(clock)).respond(question, udp=False))
    done.addCallback(made.append)
    assert made == []
    clock.advance(100.0)
    assert clock.turns > 20
    assert 60_000 < len(made[0].packet) <= 65535
    assert count_of(made[0].packet) > 500


@settings(max_examples=cases(60), deadline=None)
@given(
    st.sampled_from([dns.A, dns.SRV, dns.TXT, dns.ALL_RECORDS]),
    st.sampled_from([0, 512, 1232, 4096]),
    st.booleans(),
    st.builds(DnsConfig, enable_truncate=st.booleans(), a_record_limit=st.integers(0, 5)),
    st.integers(0, 1 << 32),
)
def test_the_packet_equals_that_of_the_full_path(kind: int, size: int, udp: bool, config: DnsConfig, seed: int) -> None:
    packet = catalog.packet(NAME, kind, size)
    rows = ROWS[:ALL_MAX] if not udp else ROWS
    many = ManyInstances(decode(packet), rows, config, TTL, Random(seed), udp=udp, wan=False)
    done: list[Any] = []

    async def both() -> None:
        drawn = await AT_ONCE.run(many.sample())
        done.extend([drawn, await AT_ONCE.run(many.answer(drawn))])

    Deferred.fromCoroutine(both()).addErrback(done.append)
    drawn, answer = done
    if drawn.has_more:
        others = [row for row in rows[: len(drawn.rows) + 1] if row not in drawn.rows]
        assert answer.packet == by_full_path(packet, drawn.rows + others, config, udp=udp)
    else:
        order = answer.order()
        assert answer.packet(order) == by_full_path(packet, [drawn.rows[at] for at in order], config, udp=udp)


def test_host_names_are_resolved_and_not_cached() -> None:
    rows = [instance(number, address=f"node-{number}.node.consul") for number in range(MANY)]
    answer = ask(rows, dns.SRV, 4096)
    assert answer.choices == 0
    assert len(records(answer.packet)) > 10
