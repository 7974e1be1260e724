"""What befalls one server of a quorum: another address, a full disk, another cluster's data."""

import errno
import itertools
import re
import shutil
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.peers.programs import Host, Program, ask, eventually, hosts
from tests.peers.quorum import MIXES, OWN, Quorum, Writer, begun

pytestmark = [pytest.mark.peers]

DISK_BYTES = 6 << 20


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    with hosts(tmp_path, None) as (only,):
        yield only


def servers(quorum: Quorum, number: int) -> dict[str, dict[str, Any]]:
    found = ask(quorum.url(number, "operator/raft/configuration"))["Servers"]
    return {server["Node"]: server for server in found}


class MovedQuorum(Quorum):
    """One server has another address."""

    moved: int | None = None

    def address(self, number: int) -> str:
        return f"{self.block}.{number + 10 if number == self.moved else number}"


@pytest.mark.parametrize("mix", ["own", "two real"])
def test_a_server_that_comes_back_at_another_address_is_the_same_server(host: Host, mix: str) -> None:
    """Gossip keeps the old address for half a minute after its failure; then the leader replaces it."""
    quorum = MovedQuorum(host, MIXES[mix])
    for number in quorum.kinds:
        quorum.start(number)
    moves = 2
    leader = eventually(quorum.leader, "a leader that all name")
    other = next(number for number in quorum.kinds if number not in (moves, leader))
    if leader == moves:
        other = min(number for number in quorum.kinds if number != moves)
    before = servers(quorum, other)["n2"]["ID"]
    assert quorum.put(other, "before", "x")
    quorum.running.pop(moves).terminate()
    quorum.moved = moves
    quorum.start(moves)

    def is_back() -> bool:
        found = servers(quorum, other).get("n2", {})
        return found.get("Address") == f"{quorum.address(moves)}:8300" and bool(found["Voter"])

    eventually(is_back, "it votes at its new address", 150)
    assert servers(quorum, other)["n2"]["ID"] == before
    assert quorum.value(moves, "before") == "x"
    assert quorum.put(moves, "after", "x")


@pytest.mark.parametrize("mix", ["own", "one real"])
def test_a_server_that_left_comes_back_and_gets_the_log_again(host: Host, mix: str) -> None:
    quorum = begun(host, mix)
    leader = quorum.leader()
    other = next(number for number in quorum.kinds if number != leader)
    program = quorum.running.pop(leader)
    host.run(quorum.kinds[leader], "leave", f"-http-addr={quorum.address(leader)}:8500")
    program.wait()
    eventually(lambda: f"n{leader}" not in servers(quorum, other), "it is removed")
    assert quorum.put(other, "meanwhile", "x")
    quorum.start(leader, "-rejoin")
    eventually(lambda: servers(quorum, other).get(f"n{leader}", {}).get("Voter"), "it votes again")
    for count in range(3):
        assert quorum.put(other, "again", str(count))
        eventually(lambda count=count: quorum.value(leader, "again") == str(count), "it gets what is written")


class SmallDisk:
    """A small disk at the data directory of one server, that only programs started through it see."""

    def __init__(self, host: Host, folder: str) -> None:
        self._host = host
        self.path = host.directory / folder
        self.path.mkdir()
        mount = f"mount -t tmpfs -o size={DISK_BYTES} tmpfs {self.path} && touch {self.path}/ready && exec sleep 280"
        self._holder = host.start("disk", "unshare", "--mount", "sh", "-c", mount)
        self._seen = Path(f"/proc/{self._holder.process.pid}/root{self.path}")
        eventually(lambda: (self._seen / "ready").exists(), "the disk is mounted")

    def start(self, name: str, *command: str) -> Program:
        """As `Host.start`, with the disk in its place."""
        enter = ["nsenter", "--mount", "--target", str(self._holder.process.pid)]
        here = ["sh", "-c", f'cd {self._host.directory} && exec "$@"', "sh"]  # entering leads to the root directory
        return self._host.start(name, *enter, *here, *command)

    def fill(self) -> None:
        """Take all room that is left."""
        with (self._seen / "filler").open("ab", buffering=0) as file:
            try:
                for size in itertools.chain(itertools.repeat(4096, DISK_BYTES // 4096), itertools.repeat(1)):
                    file.write(b"\0" * size)
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise

    def free(self) -> None:
        """Give it back."""
        (self._seen / "filler").unlink()


class SmallDiskQuorum(Quorum):
    """The first server has a small disk."""

    disk: SmallDisk

    def host_of(self, number: int) -> Any:
        return self.disk if number == 1 else self.host


@pytest.mark.netns
def test_a_leader_whose_disk_is_full_hands_over_and_nothing_is_lost(host: Host) -> None:
    quorum = SmallDiskQuorum(host, (OWN, OWN, OWN))
    quorum.disk = SmallDisk(host, "data1")
    for number in quorum.kinds:
        quorum.start(number)
    if eventually(quorum.leader, "a leader that all name") != 1:
        first = next(iter(server["ID"] for server in servers(quorum, 1).values() if server["Node"] == "n1"))
        where = f"-http-addr={quorum.address(quorum.leader())}:8500"
        host.run("consulpy", "operator", "raft", "transfer-leader", where, f"-id={first}")
        eventually(lambda: quorum.leader() == 1, "the server with the small disk leads")
    writer = Writer(quorum)
    writer.start()
    eventually(lambda: len(writer.handle_ack) > 30, "writes")
    quorum.disk.fill()

    def another_leads() -> bool:
        with suppress(ValueError):  # small writes find room in the file for long
            quorum.put(2, "large", "x" * 50_000)
        return quorum.leader(2) in (2, 3)

    eventually(another_leads, "another one leads")
    eventually(lambda: quorum.put(2, "meanwhile", "x"), "a write through the new leader")
    eventually(lambda: quorum.put(1, "meanwhile", "x"), "a write through the server whose disk is full", 5)
    quorum.disk.free()
    eventually(lambda: quorum.value(1, "meanwhile") == "x", "the first one has it when there is room again")
    writer.stop()
    writer.check()
    assert "handing over to" in quorum.running[1].output


@pytest.mark.parametrize("mix", ["own", "two real"])
def test_two_clusters_that_are_joined_by_mistake_stay_two(host: Host, mix: str) -> None:
    """Each server says so in a line; no quorum of ours takes a server of the other one's, and nothing is lost.

    A real leader takes ours in; among real servers both logs are mixed then.
    """
    quorum = begun(host, mix)
    assert quorum.put(1, "ours", "x")
    other = Quorum(host, (OWN,))
    other.kinds = {7: OWN}
    other.start(7, "-bootstrap-expect", "1")
    eventually(lambda: other.put(7, "theirs", "y"), "another cluster")
    host.run("consulpy", "join", f"-http-addr={quorum.address(1)}:8500", other.address(7))

    def complains() -> bool:
        return any("bootstrap" in line or "two clusters" in line for line in warnings(quorum, other))

    eventually(complains, "a line that says so")
    if mix == "own":
        assert set(servers(quorum, 1)) == {"n1", "n2", "n3"}
    else:
        eventually(
            lambda: quorum.kinds[quorum.leader()] == OWN or len(servers(quorum, 1)) == 4, "a real leader adds it"
        )
    assert set(servers(other, 7)) == {"n7"}
    assert quorum.value(1, "ours", "") == "x"
    assert other.value(7, "theirs", "") == "y"
    assert quorum.put(2, "ours", "z")
    assert other.put(7, "theirs", "z")


def warnings(*quorums: Quorum) -> list[str]:
    outputs = [program.output for quorum in quorums for program in quorum.running.values()]
    return [line for output in outputs for line in output.splitlines() if "[ERROR]" in line or "[WARN]" in line]


def test_a_copied_data_directory_throws_nobody_out(host: Host) -> None:
    """Started under another name: real servers take it for a move of the one that it was copied from."""
    quorum = begun(host, "own")
    copied = quorum.own
    leader = quorum.leader()
    writer = Writer(quorum)
    writer.start()
    before = {server["ID"]: server["Address"] for server in servers(quorum, leader).values()}
    shutil.copytree(host.directory / f"data{copied}", host.directory / "copy")
    place = ["-node", "copy", "-bind", quorum.address(9), "-client", quorum.address(9), "-data-dir", "copy"]
    joins = ["-retry-join", quorum.address(leader), "-retry-interval", "1s"]
    copy = host.start("copy", OWN, "agent", "-server", *place, *joins, "-hcl", quorum.settings)
    told = "has the node id of|conflicting node ID"
    eventually(lambda: re.search(told, quorum.running[leader].output + copy.output), "a line about it")
    time.sleep(12)  # longer than autopilot takes to promote a server
    copy.kill()
    time.sleep(12)  # longer than it takes to remove a dead one
    writer.stop()
    after = {server["ID"]: server["Address"] for server in servers(quorum, leader).values() if server["Voter"]}
    assert after == before
    writer.check()
