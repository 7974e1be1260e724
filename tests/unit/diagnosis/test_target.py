"""Each cause that a join to an address can meet, on a simulated network; the target is left as it was."""

from collections.abc import Callable
from typing import Any

import pytest

from consulpy.diagnosis.causes import Cause
from consulpy.memberlist.evidence import TcpResult
from tests.harness.faults import Pool, Way

A, X = "10.0.0.1", "10.0.0.99"
KEY, OTHER_KEY = b"1" * 16, b"2" * 16
OTHER_ID = "99999999-0000-0000-0000-000000000000"


def alone(**facts: Any) -> Callable[[Pool], None]:
    """The target is an agent `x` with a pool of its own."""

    def set_up(pool: Pool) -> None:
        pool.add(facts.pop("name", "x"), X, **facts)
        pool.run(1)

    return set_up


def ending(result: TcpResult) -> Callable[[Pool], None]:
    """Connections to the target end so, and no datagram is answered."""

    def set_up(pool: Pool) -> None:
        pool.network.tcp["", X] = result

    return set_up


def with_ways(*ways: Way, **tcp: TcpResult) -> Callable[[Pool], None]:
    def set_up(pool: Pool) -> None:
        alone()(pool)
        pool.network.ways += ways
        for result in tcp.values():
            pool.network.tcp["", X] = result

    return set_up


TARGETS: list[tuple[Callable[[Pool], None], Cause]] = [
    (alone(), Cause.HEALTHY),
    (alone(server=False), Cause.HEALTHY),
    (alone(datacenter="dc2"), Cause.WRONG_DATACENTER),
    (alone(name="b", node_id=OTHER_ID), Cause.NAME_CONFLICT),
    (alone(tags={}), Cause.NOT_CONSUL),
    (alone(tags={"role": "web"}), Cause.NOT_CONSUL),
    (alone(name="x.dc1", wan=True), Cause.WAN_PORT),
    (alone(name="x.dc2", wan=True, datacenter="dc2"), Cause.WAN_PORT),
    (alone(key=KEY), Cause.ENCRYPTION_MISMATCH),
    (ending(TcpResult.REFUSED), Cause.NOTHING_LISTENS),
    (ending(TcpResult.NOT_OPENED), Cause.UNREACHABLE),
    (ending(TcpResult.NO_ROUTE), Cause.NO_ROUTE),
    (ending(TcpResult.CLOSED), Cause.NOT_GOSSIP),
    (ending(TcpResult.GARBLED), Cause.NOT_GOSSIP),
    (ending(TcpResult.SILENT), Cause.UNKNOWN),
    (with_ways(Way("", X)), Cause.UDP_BLOCKED),
    (with_ways(Way("", X, 0.3)), Cause.UDP_LOSS),
    (with_ways(Way("", X, least_bytes=1200)), Cause.LARGE_DATAGRAMS_LOST),
    (with_ways(tcp=TcpResult.NOT_OPENED), Cause.TCP_BLOCKED),
    (with_ways(tcp=TcpResult.REFUSED), Cause.TCP_BLOCKED),
    (alone(advertise="10.0.0.98"), Cause.WRONG_ADVERTISE),
]


@pytest.mark.parametrize(("set_up", "cause"), TARGETS)
def test_the_cause_is_named(set_up: Callable[[Pool], None], cause: Cause) -> None:
    pool = Pool()
    pool.network.tcp["", "10.0.0.98"] = TcpResult.NOT_OPENED
    set_up(pool)
    verdict = pool.target(X)
    assert verdict.cause is cause, verdict
    assert (verdict.fix == "") == (cause is Cause.HEALTHY)


def test_our_own_name_is_taken_there() -> None:
    pool = Pool()
    ours = pool.serfs["a"]
    pool.add("a", X, node_id=OTHER_ID)
    pool.serfs["a"] = ours
    assert pool.target(X).cause is Cause.NAME_CONFLICT


def test_two_that_lead_alone_are_named() -> None:
    pool = Pool(1)
    pool.add("lead", "10.0.0.50", bootstrap=True)
    pool.join("lead", A)
    pool.add("x", X, bootstrap=True)
    pool.run(5)
    verdict = pool.target(X)
    assert verdict.cause is Cause.TWO_BOOTSTRAPPED
    assert "lead" in verdict.text


def test_a_cloned_node_id_is_named() -> None:
    pool = Pool()
    node_id = pool.serfs["b"].tags["id"]
    pool.add("x", X, node_id=node_id)
    pool.run(11)
    assert pool.target(X).cause is Cause.NODE_ID_CONFLICT


def test_keys_that_do_not_fit_and_one_side_without() -> None:
    pool = Pool(1)
    pool.add("k", "10.0.0.50", key=KEY)
    pool.add("x", X, key=OTHER_KEY)
    pool.run(1)
    assert pool.target(X, asked="k").cause is Cause.KEY_MISMATCH
    assert pool.target(A, asked="k").cause is Cause.ENCRYPTION_MISMATCH
    assert pool.target("10.0.0.50").cause is Cause.ENCRYPTION_MISMATCH
    refused = pool.serfs["k"].memberlist.evidence.refusals
    assert {each.cause for each in refused} == {"encryption-mismatch"}


def test_what_sends_back_our_own_state_is_no_agent() -> None:
    pool = Pool()
    pool.network.echoes.add(X)
    verdict = pool.target(X)
    assert verdict.cause is Cause.NOT_GOSSIP
    assert "8301" in verdict.fix


def test_the_advice_for_a_closed_gossip_port_is_not_to_take_8301_instead_of_8301() -> None:
    pool = Pool()
    ending(TcpResult.REFUSED)(pool)
    assert pool.target(X).fix == f"start an agent at {X}, or name the port where it gossips"


def test_the_advice_for_another_program_at_the_gossip_port_is_not_to_join_that_port() -> None:
    pool = Pool()
    ending(TcpResult.CLOSED)(pool)
    verdict = pool.target(X)
    assert verdict.cause is Cause.NOT_GOSSIP
    assert f"{X}:8301 instead" not in verdict.fix
    assert f"instead: {X}:8301" not in verdict.fix


def test_a_member_is_no_fault() -> None:
    pool = Pool()
    for name in ("a", "b", "c"):
        assert pool.target(pool.address(name)).cause is Cause.HEALTHY


def test_a_member_whose_process_is_gone() -> None:
    pool = Pool()
    pool.crash("b")
    assert pool.target("10.0.0.2").cause is Cause.PROCESS_GONE


def test_the_target_learns_of_nobody_and_warns_of_nothing() -> None:
    pool = Pool()
    x = pool.add("x", X)
    lines: list[str] = []
    x.memberlist._log = lambda level, text: lines.append(f"{level}: {text}")
    pool.target(X)
    pool.run(10)
    assert list(x.members) == ["x"]
    assert "x" not in pool.serfs["a"].members
    assert [line for line in lines if line.startswith(("warn", "error"))] == []


def test_without_an_agent_only_what_the_target_shows_is_judged() -> None:
    pool = Pool()
    pool.add("x", X, key=KEY)
    verdict = pool.target(X, with_agent=False)
    assert verdict.cause is Cause.UNKNOWN
    assert "encrypts" in verdict.text


@pytest.mark.parametrize(
    ("begin", "answer", "what"),
    [
        (b"GET ", b"HTTP/1.1 200 OK\r\n\r\n", "HTTP"),
        (b"\4\0\2\0", b"\0\2\0\2\0\0\0\0\0\0\0\7", "RPC"),
        (b"\0\x11CP", b"\0\x14CP\x81\x80" + bytes(14), "DNS"),
    ],
)
def test_what_speaks_another_protocol_is_known_within_half_a_second(begin: bytes, answer: bytes, what: str) -> None:
    """It is silent to a push/pull, as Consul's DNS and HTTP ports are for seconds."""
    pool = Pool()
    pool.network.speaks[X] = {begin: answer}
    began_s = pool.clock.seconds()
    ended_s: list[float] = []

    verdict = pool.target(X, ended=ended_s)

    assert verdict.cause is Cause.NOT_GOSSIP
    assert what in verdict.text
    assert ended_s[0] - began_s < 0.5
