"""Reads, checks-and-sets, locks and ends of sessions through all servers of a quorum have one order per key.

While leaders are killed, frozen, and made to hand over. Default reads are in it where all servers are ours: theirs are
confirmed, real Consul's may be old after a freeze.
"""

import random
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.peers.programs import Host, ask, eventually, hosts
from tests.peers.quorum import FIVES, MIXES, Quorum, Writer
from tests.system.consistency.test_locks_linearizable import CLIENTS, KEYS, SEED, Clients, check_indexes

pytestmark = [pytest.mark.peers]

FAULTS = 6


def fault(quorum: Quorum, rng: random.Random) -> None:
    """Something happens to the leader; afterwards all servers run again."""
    any_server = rng.choice(list(quorum.running))
    leader = eventually(lambda: quorum.leader(any_server), "a leader")
    kind = rng.choice(["kill", "freeze", "terminate"])
    program = quorum.running[leader]
    if kind == "freeze":
        program.process.send_signal(signal.SIGSTOP)
        time.sleep(rng.uniform(0.5, 3.0))
        program.process.send_signal(signal.SIGCONT)
    else:
        program.kill() if kind == "kill" else program.terminate()
        time.sleep(rng.uniform(0.1, 1.0))
        quorum.start(leader)
    eventually(quorum.leader, "a leader that all name")


class Faults:
    """What happens to the servers of five, one after the other; afterwards all run again."""

    def __init__(self, host: Host, quorum: Quorum) -> None:
        self._host = host
        self._quorum = quorum

    def run(self) -> None:
        for fault in (
            self.two_are_killed_at_once,
            self.a_follower_is_killed,
            self.the_leader_is_frozen,
            self.a_follower_leaves,
            self.two_followers_are_frozen,
            self.the_leader_is_stopped,
            self.all_are_killed,
        ):
            time.sleep(1)
            fault()
            eventually(self._quorum.leader, f"a leader that all name, after {fault.__name__}")

    def _leader_and_followers(self) -> tuple[int, list[int]]:
        leader = int(eventually(self._quorum.leader, "a leader"))
        return leader, [number for number in self._quorum.running if number != leader]

    def _kill(self, *numbers: int) -> None:
        for number in numbers:
            self._quorum.running[number].process.kill()
        time.sleep(1)
        for number in numbers:
            self._quorum.running[number].close()
            self._quorum.start(number)

    def _freeze(self, *numbers: int) -> None:
        for number in numbers:
            self._quorum.running[number].process.send_signal(signal.SIGSTOP)
        time.sleep(3)
        for number in numbers:
            self._quorum.running[number].process.send_signal(signal.SIGCONT)

    def two_are_killed_at_once(self) -> None:
        leader, followers = self._leader_and_followers()
        self._kill(leader, followers[0])

    def a_follower_is_killed(self) -> None:
        self._kill(self._leader_and_followers()[1][1])

    def the_leader_is_frozen(self) -> None:
        self._freeze(self._leader_and_followers()[0])

    def two_followers_are_frozen(self) -> None:
        self._freeze(*self._leader_and_followers()[1][:2])

    def a_follower_leaves(self) -> None:
        number = self._leader_and_followers()[1][0]
        program = self._quorum.running[number]
        self._host.run("consulpy", "leave", f"-http-addr={self._quorum.address(number)}:8500")
        program.wait()
        self._quorum.start(number)

    def the_leader_is_stopped(self) -> None:
        number = self._leader_and_followers()[0]
        self._quorum.running[number].terminate()
        self._quorum.start(number)

    def all_are_killed(self) -> None:
        self._kill(*self._quorum.running)


@pytest.mark.parametrize(("mix", "how"), [("five", ""), ("five, two real", "consistent")])
def test_five_servers_have_one_order_for_each_key_whatever_befalls_two_of_them(
    tmp_path: Path, mix: str, how: str
) -> None:
    """And when all are killed at once. What was acknowledged is on every server afterwards."""
    print(f"CONSULPY_SEED={SEED}")
    with hosts(tmp_path, None) as (host,):
        quorum = Quorum(host, FIVES[mix])
        for number in quorum.kinds:
            quorum.start(number)
        eventually(quorum.leader, "a leader that all name")
        with load(quorum, how) as clients:
            writer = Writer(quorum)
            writer.start()
            Faults(host, quorum).run()
            time.sleep(1)
            writer.stop()
        writer.check()
    check(clients)


@pytest.mark.parametrize(("mix", "how"), [("own", ""), ("own", "consistent"), ("one real", "consistent")])
def test_a_quorum_has_one_order_for_each_key(tmp_path: Path, mix: str, how: str) -> None:
    print(f"CONSULPY_SEED={SEED}")
    rng = random.Random(SEED)
    with hosts(tmp_path, None) as (host,):
        quorum = Quorum(host, MIXES[mix])
        for number in quorum.kinds:
            quorum.start(number)
        eventually(quorum.leader, "a leader that all name")
        with load(quorum, how) as clients:
            for _ in range(FAULTS):
                time.sleep(0.5 + rng.random())
                fault(quorum, rng)
            time.sleep(0.5)
    check(clients)


@contextmanager
def load(quorum: Quorum, how: str) -> Iterator[Clients]:
    """Clients of all servers, while this lasts."""
    for key in KEYS:
        eventually(lambda key=key: ask(quorum.url(1, f"kv/{key}"), "PUT", b"0"), "written")
    clients = Clients(tuple(f"{quorum.address(number)}:8500" for number in quorum.kinds), how)
    threads = [threading.Thread(target=clients.run, args=(number,), daemon=True) for number in range(CLIENTS)]
    for thread in threads:
        thread.start()
    yield clients
    clients.done.set()
    for thread in threads:
        thread.join(10)


def check(clients: Clients) -> None:
    assert not clients.faults
    assert all(len(clients.history[key]) > 100 for key in KEYS)
    check_indexes(clients)
    check_writes(clients)


def check_writes(clients: Clients) -> None:
    """Each value is written once: when it was acknowledged, reads before and after agree on where it stands.

    (Too many requests are never answered here to try all orders; the index of each read says which one it was.)
    """
    for key in KEYS:
        reads = [each for each in clients.reads if each[2] == key]
        index_of = {seen.value: index for _, _, _, index, seen in sorted(reads, key=lambda each: each[3], reverse=True)}
        checked = 0
        for operation in clients.history[key]:
            index = index_of.get(operation.value) if operation.kind in ("cas", "acquire", "release") else None
            if index is None:
                continue
            assert operation.done is not False, (SEED, key, operation, "was refused, and happened")
            checked += operation.done is True
            for begin, end, _, seen_index, _ in reads:
                if begin > operation.end:
                    assert seen_index >= index, (SEED, key, operation, "is not seen any more")
                if end < operation.begin:
                    assert seen_index < index, (SEED, key, operation, "was seen before it was asked")
        assert checked > 20
