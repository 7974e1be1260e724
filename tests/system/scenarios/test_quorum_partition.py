"""Quorums of real programs on hosts of their own, and a network between them that is cut without a word."""

import itertools
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.peers.programs import Host, ask, eventually, hosts
from tests.peers.quorum import FIVES, MIXES, OWN, Quorum, Writer

pytestmark = [pytest.mark.peers, pytest.mark.netns]

SERVERS = (1, 2, 3, 4, 5)
#: Both sides of a cut reach this host, where the tests' clients are: by its first address, and by its second one.
CLIENTS = ("10.78.0.254", "10.78.0.253")
_names = itertools.count()


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)


class Network:
    """One namespace for each server; two bridges: all on the first one, what is cut off on the second one."""

    def __init__(self) -> None:
        prefix = f"q{os.getpid()}-{next(_names)}"
        self.bridges = [f"br{number}-{next(_names)}" for number in (0, 1)]
        self.namespaces = {number: f"{prefix}-{number}" for number in SERVERS}
        self.links = {number: f"v{number}-{next(_names)}" for number in SERVERS}
        for bridge, address, bits in zip(self.bridges, CLIENTS, ("24", "32"), strict=True):
            ip("link", "add", bridge, "type", "bridge")
            ip("addr", "add", f"{address}/{bits}", "dev", bridge)
            ip("link", "set", bridge, "up")
        for number, namespace in self.namespaces.items():
            ip("netns", "add", namespace)
            ip("link", "add", self.links[number], "type", "veth", "peer", "name", "eth0", "netns", namespace)
            ip("link", "set", self.links[number], "master", self.bridges[0], "up")
            ip("-n", namespace, "link", "set", "lo", "up")
            ip("-n", namespace, "addr", "add", f"{self.address(number)}/24", "dev", "eth0")
            ip("-n", namespace, "link", "set", "eth0", "up")

    def address(self, number: int) -> str:
        return f"10.78.0.{number}"

    def cut_off(self, number: int) -> None:
        """A server that only this host reaches."""
        ip("link", "set", self.links[number], "master", self.bridges[1])
        ip("route", "add", f"{self.address(number)}/32", "dev", self.bridges[1], "src", CLIENTS[1])

    def heal(self, number: int) -> None:
        ip("link", "set", self.links[number], "master", self.bridges[0])
        ip("route", "del", f"{self.address(number)}/32", "dev", self.bridges[1])

    def cut_apart(self, apart: bool) -> None:
        """Every server on its own, or all together again; this host reaches them."""
        for link in self.links.values():
            subprocess.run(
                ["bridge", "link", "set", "dev", link, "isolated", "on" if apart else "off"],
                check=True,
                capture_output=True,
            )

    def close(self) -> None:
        for namespace in self.namespaces.values():
            subprocess.run(["ip", "netns", "del", namespace], check=False, capture_output=True)
        for bridge in self.bridges:
            subprocess.run(["ip", "link", "del", bridge], check=False, capture_output=True)


class SpreadQuorum(Quorum):
    """Each server on a host of its own."""

    def __init__(self, machines: dict[int, Host], network: Network, programs: tuple[str, ...]) -> None:
        super().__init__(machines[1], programs)
        self.machines = machines
        self.network = network

    def address(self, number: int) -> str:
        return self.network.address(number)

    def host_of(self, number: int) -> Host:
        return self.machines[number]


@pytest.fixture
def network() -> Iterator[Network]:
    made = Network()
    yield made
    made.close()


@pytest.fixture
def machines(network: Network, tmp_path: Path) -> Iterator[dict[int, Host]]:
    with hosts(tmp_path, *network.namespaces.values()) as made:
        yield dict(zip(network.namespaces, made, strict=True))


def refuses(quorum: Quorum, number: int, path: str, method: str = "GET") -> bool:
    try:
        ask(quorum.url(number, path), method, b"x" if method == "PUT" else None, within_s=12)
    except (OSError, ValueError):
        return True
    return False


@pytest.mark.parametrize("mix", [*MIXES, "five"])
def test_a_leader_that_is_cut_off_is_replaced_and_comes_back_as_a_follower(
    machines: dict[int, Host], network: Network, mix: str
) -> None:
    """The minority acknowledges nothing and tells nothing old as new; its return unseats nobody."""
    quorum = SpreadQuorum(machines, network, (MIXES | FIVES)[mix])
    for number in quorum.kinds:
        quorum.start(number)
    leader = eventually(quorum.leader, "a leader that all name")
    assert quorum.put(leader, "before", "x")
    writer = Writer(quorum)
    writer.start()
    time.sleep(1)

    followers = [number for number in quorum.running if number != leader]
    minority = {number: quorum.running.pop(number) for number in (leader, *followers[: (len(followers) - 1) // 2])}
    for number in minority:
        network.cut_off(number)
    began_s = time.monotonic()
    other = min(quorum.running)
    eventually(lambda: quorum.put(other, "after", "x"), "a write of the majority")
    took_s = time.monotonic() - began_s
    assert took_s < 15, "a few election timeouts"
    eventually(lambda: ask(quorum.url(leader, "status/leader")) == "", "the old leader has stepped down")
    assert refuses(quorum, leader, "kv/minority", "PUT")
    assert refuses(quorum, leader, "kv/before")
    assert refuses(quorum, leader, "kv/before?consistent")
    assert quorum.value(leader, "before", "stale") == "x"

    before = {number: (quorum.leader(number), quorum.term(number)) for number in quorum.running}
    for number in minority:
        network.heal(number)
    eventually(lambda: quorum.value(leader, "after") == "x", "the old leader has what it missed")
    eventually(lambda: quorum.put(leader, "again", "x"), "a write through it")
    if quorum.kinds[leader] == OWN:  # real Consul's stands for election
        assert {number: (quorum.leader(number), quorum.term(number)) for number in quorum.running} == before
    quorum.running |= minority
    time.sleep(1)
    writer.stop()
    writer.check()
    keys = ask(quorum.url(other, "kv/?keys&consistent"))
    assert "minority" not in keys, "what was refused did not happen"


def test_without_a_majority_nothing_is_acknowledged_until_it_is_back(
    machines: dict[int, Host], network: Network
) -> None:
    quorum = SpreadQuorum(machines, network, MIXES["own"])
    for number in quorum.kinds:
        quorum.start(number)
    leader = eventually(quorum.leader, "a leader that all name")
    assert quorum.put(leader, "before", "x")
    before = quorum.term(leader)
    network.cut_apart(True)
    eventually(lambda: ask(quorum.url(leader, "status/leader")) == "", "the leader has stepped down")
    for number in quorum.kinds:
        assert refuses(quorum, number, "kv/alone", "PUT")
        eventually(lambda number=number: quorum.value(number, "before", "stale") == "x", "stale reads are answered")
    time.sleep(5)
    assert {quorum.term(number) for number in quorum.kinds} == {before}, "terms do not rise without a chance"
    network.cut_apart(False)
    eventually(lambda: quorum.put(leader, "after", "x"), "a write")
    eventually(quorum.leader, "a leader that all name")
    keys = eventually(lambda: ask(quorum.url(leader, "kv/?keys&consistent")), "connections are made anew")
    assert "alone" not in keys
