"""Reads, checks-and-sets, locks and ends of sessions through all servers of a quorum have one order per key.

While leaders are killed, frozen, and made to hand over. Default reads are in it where all servers are ours: theirs are
confirmed, real Consul's may be old after a freeze.
"""

import random
import signal
import threading
import time
from pathlib import Path

import pytest

from tests.peers.programs import ask, eventually, hosts
from tests.peers.quorum import MIXES, Quorum
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


@pytest.mark.parametrize(("mix", "how"), [("own", ""), ("own", "consistent"), ("one real", "consistent")])
def test_a_quorum_has_one_order_for_each_key(tmp_path: Path, mix: str, how: str) -> None:
    print(f"CONSULPY_SEED={SEED}")
    rng = random.Random(SEED)
    with hosts(tmp_path, None) as (host,):
        quorum = Quorum(host, MIXES[mix])
        for number in quorum.kinds:
            quorum.start(number)
        eventually(quorum.leader, "a leader that all name")
        for key in KEYS:
            eventually(lambda key=key: ask(quorum.url(1, f"kv/{key}"), "PUT", b"0"), "written")
        clients = Clients(tuple(f"{quorum.address(number)}:8500" for number in quorum.kinds), how)
        threads = [threading.Thread(target=clients.run, args=(number,), daemon=True) for number in range(CLIENTS)]
        for thread in threads:
            thread.start()
        for _ in range(FAULTS):
            time.sleep(0.5 + rng.random())
            fault(quorum, rng)
        time.sleep(0.5)
        clients.done.set()
        for thread in threads:
            thread.join(10)
    assert not clients.faults
    for key in KEYS:
        history = clients.history[key]
        assert len(history) > 100
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
