"""Each cause that `why` names, set up on a simulated network: said when it must be, and not when it must not."""

from collections.abc import Callable
from random import Random

import pytest

from consulpy.diagnosis.causes import FINE, Cause
from consulpy.memberlist.evidence import TcpResult
from tests.harness.effort import cases
from tests.harness.faults import Pool, Way

A, B = "10.0.0.1", "10.0.0.2"


def crash(pool: Pool) -> None:
    pool.crash("b")


def vanish(pool: Pool) -> None:
    pool.crash("b", TcpResult.NOT_OPENED)


def freeze(pool: Pool) -> None:
    pool.network.frozen.add(B)


def block_udp(pool: Pool) -> None:
    pool.network.ways += [Way(A, B), Way(B, A)]


def block_udp_to_b(pool: Pool) -> None:
    pool.network.ways.append(Way(A, B))


def block_udp_to_a(pool: Pool) -> None:
    pool.network.ways.append(Way(B, A))


def lose_udp(pool: Pool) -> None:
    pool.network.ways += [Way(A, B, 0.25), Way(B, A, 0.1)]


def delay_b(pool: Pool) -> None:
    pool.network.ways.append(Way(B, "", 0.0, delay_s=0.8))


def block_tcp(pool: Pool) -> None:
    pool.network.tcp["", B] = TcpResult.NOT_OPENED


def refuse_tcp(pool: Pool) -> None:
    pool.network.tcp["", B] = TcpResult.REFUSED


def block_path(pool: Pool) -> None:
    block_udp(pool)
    pool.network.tcp[A, B] = TcpResult.NOT_OPENED


def rename(pool: Pool) -> None:
    pool.crash("b")
    pool.run(20)
    del pool.network.tcp["", B]
    pool.add("bee", B)
    pool.join("bee", A)


def rename_alone(pool: Pool) -> None:
    """Another agent, which has joined nobody, has the address of b."""
    pool.crash("b")
    del pool.network.tcp["", B]
    pool.network.ways.append(Way("", B))
    pool.add("bee", B)


def close_connections(pool: Pool) -> None:
    """Some program has the port."""
    pool.crash("b", TcpResult.CLOSED)


def filter_input(pool: Pool) -> None:
    """The host of b drops what comes in at the port, and lets out what b sends."""
    pool.network.ways.append(Way("", B))
    pool.network.tcp["", B] = TcpResult.NOT_OPENED


def leave(pool: Pool) -> None:
    pool.serfs["b"].leave(lambda: None)


def force_leave(pool: Pool) -> None:
    pool.crash("b")
    pool.run(25)
    pool.serfs["c"].force_leave("b")


def force_leave_and_prune(pool: Pool) -> None:
    pool.crash("b")
    pool.run(25)
    pool.serfs["a"].force_leave("b", prune=True)


def move_behind_translation(pool: Pool) -> None:
    """What b sends comes from another address, and nothing leads to the one that it advertises."""
    pool.network.translated[B] = "192.0.2.9"
    pool.network.ways.append(Way("", B))
    pool.network.tcp["", B] = TcpResult.NOT_OPENED


def take_name(pool: Pool) -> None:
    pool.add("b", "10.0.0.9", node_id="99999999-0000-0000-0000-000000000000")
    pool.join("b", A)


def nothing(pool: Pool) -> None:
    """All is well."""


def recover(pool: Pool) -> None:
    """A pause of half a minute that is over."""
    freeze(pool)
    pool.run(30)
    pool.network.frozen.clear()
    pool.run(30)


FAULTS: list[tuple[Callable[[Pool], None], Cause]] = [
    (nothing, Cause.HEALTHY),
    (recover, Cause.HEALTHY),
    (crash, Cause.PROCESS_GONE),
    (vanish, Cause.UNREACHABLE),
    (freeze, Cause.PROCESS_FROZEN),
    (block_udp, Cause.UDP_BLOCKED),
    (block_udp_to_b, Cause.UDP_ONE_WAY),
    (block_udp_to_a, Cause.UDP_BLOCKED),
    (lose_udp, Cause.UDP_LOSS),
    (delay_b, Cause.SLOW_NODE),
    (block_tcp, Cause.TCP_BLOCKED),
    (refuse_tcp, Cause.TCP_BLOCKED),
    (block_path, Cause.PATH_BLOCKED),
    (filter_input, Cause.UNREACHABLE),
    (close_connections, Cause.UNKNOWN),
    (rename, Cause.RENAMED),
    (rename_alone, Cause.RENAMED),
    (leave, Cause.LEFT),
    (force_leave, Cause.FORCE_LEFT),
    (force_leave_and_prune, Cause.FORCE_LEFT),
    (move_behind_translation, Cause.WRONG_ADVERTISE),
    (take_name, Cause.NAME_CONFLICT),
]


@pytest.mark.parametrize(("fault", "cause"), FAULTS, ids=lambda each: getattr(each, "__name__", ""))
@pytest.mark.parametrize("after_s", [6.0, 40.0])
def test_the_cause_is_named(fault: Callable[[Pool], None], cause: Cause, after_s: float) -> None:
    pool = Pool()
    fault(pool)
    pool.run(after_s)
    verdict = pool.why("b")
    assert verdict.cause is cause, verdict
    assert verdict.text
    assert verdict.evidence or cause in (Cause.HEALTHY, Cause.LEFT)
    assert verdict.fix or cause in FINE


@pytest.mark.parametrize(("fault", "cause"), FAULTS, ids=lambda each: getattr(each, "__name__", ""))
def test_the_others_are_healthy(fault: Callable[[Pool], None], cause: Cause) -> None:
    pool = Pool()
    fault(pool)
    pool.run(15)
    for name in ("a", "c", "d"):
        assert pool.why(name).cause is Cause.HEALTHY


def test_nineteen_of_twenty_seeded_faults_are_named() -> None:
    wrong = []
    for seed in range(cases(60)):
        rng = Random(seed)
        fault, cause = rng.choice(FAULTS)
        pool = Pool(rng.choice((3, 4, 6)), seed)
        fault(pool)
        pool.run(rng.uniform(3, 60))
        if (verdict := pool.why("b")).cause is not cause:
            wrong.append((seed, fault.__name__, verdict))
    assert len(wrong) <= cases(60) // 20, wrong


def test_two_faults_in_a_row_are_two() -> None:
    """What was heard of a member between them is no sign that the second one lets its datagrams pass."""
    for seed in range(cases(20)):
        pool = Pool(6, seed)
        block_udp(pool)
        pool.run(8)
        pool.network.ways.clear()
        assert pool.why("b").cause is Cause.HEALTHY
        block_udp(pool)
        pool.run(1)
        assert pool.why("b").cause is Cause.UDP_BLOCKED, seed


def test_in_a_pool_of_two_nobody_else_is_asked() -> None:
    for fault, cause in ((crash, Cause.PROCESS_GONE), (vanish, Cause.UNREACHABLE), (block_path, Cause.UNREACHABLE)):
        pool = Pool(2)
        fault(pool)
        pool.run(6)
        assert pool.why("b").cause is cause


def test_our_own_address_is_wrong_when_answers_come_only_where_we_send_from() -> None:
    pool = Pool()
    pool.network.ways.append(Way("", "10.0.0.9"))
    pool.network.tcp["", "10.0.0.9"] = TcpResult.NOT_OPENED
    pool.add("z", "10.0.0.8", advertise="10.0.0.9")
    pool.join("z", A)
    pool.run(3)
    assert pool.why("a", asked="z").cause is Cause.WRONG_ADVERTISE


def test_who_forced_a_member_out_is_named_where_that_is_known() -> None:
    pool = Pool()
    force_leave_and_prune(pool)
    assert "force-leave at a" in pool.why("b").text


def test_the_new_name_is_named_with_what_to_do() -> None:
    pool = Pool()
    rename(pool)
    pool.run(5)
    verdict = pool.why("b")
    assert "bee" in verdict.text
    assert verdict.fix == "consulpy force-leave b"


def test_late_timers_are_our_own_fault() -> None:
    pool = Pool()
    late = pool.serfs["a"].memberlist.late_ticks
    late.extend(pool.clock.seconds() - seconds for seconds in (1, 2, 3))
    assert pool.why("b").cause is Cause.SELF_SLOW
    assert pool.why("a").cause is Cause.SELF_SLOW
    crash(pool)
    assert pool.why("b").cause is Cause.PROCESS_GONE
    late.clear()
    assert pool.why("c").cause is Cause.HEALTHY


def test_nothing_is_stored_while_all_is_well() -> None:
    pool = Pool()
    pool.run(120)
    assert all(len(serf.memberlist.evidence) == 0 for serf in pool.serfs.values())
    assert all(not serf.memberlist.evidence.refusals for serf in pool.serfs.values())


def test_a_record_ends_some_good_probes_after_the_trouble() -> None:
    pool = Pool()
    freeze(pool)
    pool.run(8)
    assert pool.serfs["a"].memberlist.evidence.of("b") is not None
    pool.network.frozen.clear()
    pool.run(200)
    assert pool.serfs["a"].memberlist.evidence.of("b") is None


def test_a_diagnosis_leaves_nothing_behind() -> None:
    pool = Pool()
    prober = pool.serfs["a"].memberlist._prober
    crash(pool)
    for _ in range(3):
        pool.why("b")
    assert prober._expected == 0
    assert len(prober._by_seq) <= 1  # a probe of its own
