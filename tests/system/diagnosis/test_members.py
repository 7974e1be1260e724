"""`why` and `doctor` about members, with faults of processes and of the network between hosts (CODES.md).

Each fault is made for real. Asked is consulpy's agent `a`; the faulty member is a real Consul agent, and one of ours.
"""

import signal
import time
from collections.abc import Callable, Iterator

import pytest

from tests.harness.lan import Machine, alive, cluster, lan
from tests.peers.programs import PATIENCE_S, eventually, logged_warnings

pytestmark = [pytest.mark.peers, pytest.mark.netns, pytest.mark.timeout(400)]

OTHERS = ("real", "ours")
Machines = dict[str, Machine]


PROGRAMS = {"a": "consulpy", "real": "consul", "ours": "consulpy", "b": "consul", "c": "consulpy"}


@pytest.fixture(scope="module")
def machines(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machines]:
    """One cluster for all faults; after each test it is well again."""
    with lan(tmp_path_factory.mktemp("lan"), *PROGRAMS) as made:
        cluster(made, PROGRAMS)
        yield made


@pytest.fixture(autouse=True)
def _well_again(machines: Machines) -> Iterator[None]:
    """A test that fails half-way leaves nothing to the next ones."""
    yield
    for name, machine in machines.items():
        machine.filter()
        machine.signal(signal.SIGCONT)
        assert machine.agent is not None
        if name in OTHERS and (machine.node != name or machine.agent.process.poll() is not None):
            renamed = machine.node
            machine.agent.kill()
            machine.start_agent(PROGRAMS[name], name, retry_join=[machines["a"].address], retry_interval="1s")
            eventually(lambda name=name: name in alive(machines["a"]), f"{name} is back")
            if renamed != name:
                machines["a"].run("consulpy", "force-leave", renamed)
    eventually(lambda: alive(machines["a"]) >= set(machines), "the cluster is well again")
    for name in OTHERS:
        eventually(lambda name=name: machines["a"].why(name)["cause"] == "healthy", f"{name} is healthy again")


def says(machines: Machines, victim: str, *causes: str, within_s: float = PATIENCE_S) -> str:
    """Wait for `why` at `a` to name one of the causes; then `doctor` blames nothing else. The text of the verdict."""
    a = machines["a"]
    verdict = eventually(lambda: (found := a.why(victim))["cause"] in causes and found, f"{victim}: {causes}", within_s)
    assert verdict["evidence"]
    eventually(lambda: a.fails() <= set(causes), f"doctor blames nothing else: {causes}", within_s)
    return str(verdict["text"])


def blames(machines: Machines, *causes: str) -> None:
    """`doctor` at `a` comes to name these causes, and no other ones."""
    eventually(lambda: machines["a"].fails() == set(causes), f"doctor says {causes}")


def test_nothing_is_wrong(machines: Machines) -> None:
    """On a healthy cluster all findings pass, and no peer logs a warning because of the questions."""
    before = {name: len(machine.agent.output) for name, machine in machines.items() if machine.agent is not None}
    for name in ("a", "c"):  # on a machine that is busy itself an agent says that it is slow, and is right
        eventually(
            lambda name=name: {each["status"] for each in machines[name].doctor()} == {"pass"}, "all is well", 60
        )
    for name in OTHERS:
        verdict = machines["a"].why(name)
        assert (verdict["cause"], verdict["evidence"]) == ("healthy", [])
        assert machines["a"].fails("-target", machines[name].address) == set()
    for name, machine in machines.items():
        assert machine.agent is not None
        assert logged_warnings(machine.agent.output[before[name] :]) == [], name


@pytest.mark.parametrize("victim", OTHERS)
def test_a_process_that_is_stopped_is_frozen(machines: Machines, victim: str) -> None:
    machines[victim].signal(signal.SIGSTOP)
    text = says(machines, victim, "process-frozen")
    assert machines[victim].address in text


def blocked(*rules: str) -> Callable[[Machines, str], None]:
    """The victim's packet filter; `{a}` is the address of `a`."""

    def act(machines: Machines, victim: str) -> None:
        machines[victim].filter(*(rule.format(a=machines["a"].address) for rule in rules))

    return act


@pytest.mark.parametrize("victim", OTHERS)
@pytest.mark.parametrize(
    ("fault", "cause"),
    [
        (blocked("input meta l4proto udp drop", "output meta l4proto udp drop"), "udp-blocked"),
        (blocked("input ip saddr {a} udp dport 8301 drop"), "udp-one-way"),
        (blocked("input udp dport 8301 numgen random mod 100 < 45 drop"), "udp-loss"),
        (blocked("input tcp dport 8301 drop"), "tcp-blocked"),
        (blocked("input tcp dport 8301 reject with tcp reset"), "tcp-blocked"),
        (blocked("input ip saddr {a} drop", "output ip daddr {a} drop"), "path-blocked"),
        (blocked("input drop", "output drop"), "unreachable"),
    ],
    ids=["udp", "one-way", "loss", "tcp-dropped", "tcp-refused", "path", "all"],
)
def test_the_way_between_is_named(
    machines: Machines, victim: str, fault: Callable[[Machines, str], None], cause: str
) -> None:
    fault(machines, victim)
    says(machines, victim, cause)
    others = [name for name in ("b", "c") if name != victim]
    for name in others:
        eventually(lambda name=name: machines["a"].why(name)["cause"] == "healthy", f"{name} is not blamed")


@pytest.mark.parametrize("victim", OTHERS)
def test_large_datagrams_that_are_lost_are_found_by_doctor(machines: Machines, victim: str) -> None:
    machines[victim].filter("input udp dport 8301 meta length > 1200 drop")
    for flags in ((), ("-target", machines[victim].address)):

        def finds(*flags: str) -> bool:
            assert machines["a"].fails(*flags) == {"large-datagrams-lost"}
            return True

        # members on a busy machine are slow for a while
        eventually(lambda flags=flags: finds(*flags), f"doctor {flags} finds it")


@pytest.mark.parametrize("victim", OTHERS)
def test_a_member_that_stutters_is_slow(machines: Machines, victim: str) -> None:
    with machines[victim].stuttering(0.8, 0.4):
        says(machines, victim, "slow-node")


def test_an_agent_that_stutters_distrusts_itself(machines: Machines) -> None:
    """Accusations of members that are fine are its own fault; it is no fault of theirs."""
    with machines["a"].stuttering(0.9, 0.5):
        time.sleep(8)
        eventually(lambda: machines["a"].why("real")["cause"] == "self-slow", "it says so")
        causes = machines["a"].fails()
    assert causes <= {"self-slow"}


@pytest.mark.parametrize("victim", OTHERS)
def test_a_killed_process_is_gone_and_a_forced_leave_is_no_fault(machines: Machines, victim: str) -> None:
    machine = machines[victim]
    assert machine.agent is not None
    machine.agent.kill()
    says(machines, victim, "process-gone")
    eventually(lambda: victim not in alive(machines["a"]), "it has failed")
    machines["a"].run("consulpy", "force-leave", victim)
    verdict = eventually(
        lambda: (found := machines["a"].why(victim))["cause"] == "force-left" and found, "it was made to leave"
    )
    assert "removed" in verdict["text"]
    blames(machines)


@pytest.mark.parametrize("victim", OTHERS)
def test_a_member_that_leaves_has_left(machines: Machines, victim: str) -> None:
    machine = machines[victim]
    assert machine.agent is not None
    machine.run(PROGRAMS[victim], "leave")
    machine.agent.wait()
    eventually(lambda: machines["a"].why(victim)["cause"] == "left", "it has left")
    blames(machines)


@pytest.mark.parametrize("victim", OTHERS)
def test_a_renamed_agent_is_named(machines: Machines, victim: str) -> None:
    machine = machines[victim]
    assert machine.agent is not None
    machine.agent.kill()
    new = f"{victim}-new"
    machine.start_agent(PROGRAMS[victim], new, retry_join=[machines["a"].address], retry_interval="1s")
    eventually(lambda: new in alive(machines["a"]) and victim not in alive(machines["a"]), "it has another name")
    verdict = eventually(lambda: (found := machines["a"].why(victim))["cause"] == "renamed" and found, "why says so")
    assert new in verdict["text"]

    def the_only_finding() -> str:
        (finding,) = [each for each in machines["a"].doctor() if each["status"] != "pass"]
        assert (finding["status"], finding["cause"]) == ("warn", "renamed")
        return str(finding["fix"])

    # on a machine that is busy itself `a` says that it is slow too, and is right
    assert f"force-leave {victim}" in eventually(the_only_finding, "doctor warns of nothing else")


def test_an_unknown_member_is_one_line(machines: Machines) -> None:
    done = machines["a"].run("consulpy", "why", "-format=json", "nobody", check=False)
    assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (1, "", 1)


def test_a_frozen_agent_is_named_by_doctor(machines: Machines) -> None:
    machines["a"].signal(signal.SIGSTOP)
    blames(machines, "agent-frozen")
    done = machines["a"].run("consulpy", "why", "-format=json", "real", check=False)
    assert (done.returncode, done.stdout) == (1, "")
