"""What `doctor` says of members; findings that follow from others are left out: the cause is named once."""

from types import SimpleNamespace
from typing import Any

import pytest
from twisted.internet.defer import Deferred

from consulpy.agent.features.diagnosis import CHECK_LIMIT_S, without_symptoms
from consulpy.agent.features.doctor import MembersCheck, joins
from consulpy.diagnosis.causes import Cause, Finding
from tests.harness.faults import Pool, Way


def test_a_server_that_is_gone_is_not_called_unreachable_too() -> None:
    gone = Finding("member s1", "fail", Cause.PROCESS_GONE, "s1 does not run.", "start it")
    follows = Finding("rpc s1", "fail", Cause.RPC_UNREACHABLE, "8300 is refused.", "open it")
    other = Finding("rpc s2", "fail", Cause.RPC_UNREACHABLE, "8300 is refused.", "open it")
    fine = Finding.passed("rpc s1", "s1 answers.")
    assert without_symptoms([gone, follows, other]) == [gone, other]
    assert without_symptoms([follows, Finding.passed("gossip s1", "s1 is alive.")])[0] == follows
    assert without_symptoms([gone, fine]) == [gone, fine]


def findings_of(pool: Pool) -> dict[str, Cause]:
    """Member -> cause, by the checks that `a` makes of the others, each within its limit."""
    check = MembersCheck(pool.serfs["a"], pool.clock)
    found: list[Finding] = []
    for member in (*check.unwell(), *check.living()):
        Deferred.fromCoroutine(check.verdict(member.name, member)).addCallback(found.extend)
    pool.run(CHECK_LIMIT_S - 0.5)
    return {finding.check: finding.cause for finding in found}


@pytest.mark.parametrize("lost_lately", [False, True])
@pytest.mark.parametrize("late_timers", [False, True])
def test_large_datagrams_that_are_lost_are_found(lost_lately: bool, late_timers: bool) -> None:
    """Of a member with a record of lost probes as well, and by an agent that runs late itself."""
    pool = Pool()
    if lost_lately:
        pool.serfs["a"].memberlist.evidence.bad("b", pool.clock.seconds(), "no ack")
    pool.network.ways.append(Way("", "10.0.0.2", least_bytes=1200))
    if late_timers:
        pool.serfs["a"].memberlist.late_ticks.extend([pool.clock.seconds()] * 4)
    well = Cause.SELF_SLOW if late_timers else Cause.HEALTHY
    assert findings_of(pool) == {"b": Cause.LARGE_DATAGRAMS_LOST, "c": well, "d": well}


@pytest.mark.parametrize("of", ["10.0.0.1", "10.0.0.2", "10.0.0.3"])
def test_an_address_to_join_that_is_a_members_is_not_judged_again(of: str) -> None:
    """Also our own one, and that of a member that failed, which has a finding of its own."""
    pool = Pool()
    pool.crash("c")
    pool.run(30)
    config = SimpleNamespace(retry_join=(of,), start_join=(), ports=SimpleNamespace(serf_lan=8301))
    status = SimpleNamespace(attempts=1, worked=True)
    agent: Any = SimpleNamespace(config=config, lan=pool.serfs["a"], datacenter="dc1", join_status=status)
    found: list[Finding] = []
    Deferred.fromCoroutine(joins(agent, pool.clock)).addCallback(found.extend)
    assert [finding.cause for finding in found] == [Cause.HEALTHY]
