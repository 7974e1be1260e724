"""Findings that follow from others are left out: the cause is named once."""

from consulpy.agent.features.diagnosis import without_symptoms
from consulpy.diagnosis.causes import Cause, Finding


def test_a_server_that_is_gone_is_not_called_unreachable_too() -> None:
    gone = Finding("member s1", "fail", Cause.PROCESS_GONE, "s1 does not run.", "start it")
    follows = Finding("rpc s1", "fail", Cause.RPC_UNREACHABLE, "8300 is refused.", "open it")
    other = Finding("rpc s2", "fail", Cause.RPC_UNREACHABLE, "8300 is refused.", "open it")
    fine = Finding.passed("rpc s1", "s1 answers.")
    assert without_symptoms([gone, follows, other]) == [gone, other]
    assert without_symptoms([follows, Finding.passed("gossip s1", "s1 is alive.")])[0] == follows
    assert without_symptoms([gone, fine]) == [gone, fine]
