"""Quorums of three servers: writes and reads through each, and how long clients notice that a leader is gone."""

import http.client
import json
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import count, pairwise
from pathlib import Path

import load_generators
from dns import text
from http_writes import PUTS, SCRIPT
from processes import NETWORKS, Running, fill
from report import Row, Sample
from task import Settings, Task, task

CONNECTIONS = (16, 64)
NODES, SERVICES = 10, 0
#: How long a server is frozen that comes back, in seconds: longer than gossip and elections take.
FROZEN_S = 20.0
#: How long the servers that are left may take to go on, in seconds.
PATIENCE_S = 90.0
_numbers = count(1)


class Quorum:
    """Three running servers."""

    def __init__(self, program: str, place: Path) -> None:
        self.program = program
        self._place = place / f"quorum-{program}-{next(_numbers)}"
        self._place.mkdir()
        self._network = f"{NETWORKS[program]}"
        self.servers = {f"s{number}": self._start(number) for number in (1, 2, 3)}
        self.wait_whole()

    def _start(self, number: int) -> Running:
        others = [flag for each in (1, 2, 3) for flag in ("-retry-join", f"{self._network}.{10 + each}")]
        flags = ["-server", "-bootstrap-expect", "3", "-rejoin", "-retry-interval", "1s", *others]
        return Running(self.program, f"s{number}", f"{self._network}.{10 + number}", self._place, *flags)

    def restart(self, node: str) -> None:
        """Start a server that has ended, and wait until it votes."""
        self.servers[node].close()
        self.servers[node] = self._start(int(node[1:]))
        self.wait_whole()

    def wait_whole(self) -> None:
        """Wait for a leader and three healthy voters."""
        end_s = time.monotonic() + PATIENCE_S
        while not self._is_whole():
            if time.monotonic() > end_s:
                raise TimeoutError(f"no quorum of three: {[each.log_end() for each in self.servers.values()]}")
            time.sleep(0.2)

    def _is_whole(self) -> bool:
        servers = [
            json.loads(each.http("/v1/operator/raft/configuration") or b"{}").get("Servers", [])
            for each in self.servers.values()
        ]
        if not all(len(each) == 3 and all(server["Voter"] for server in each) for each in servers):
            return False
        return self.leader.http("/v1/operator/autopilot/health") is not None

    @property
    def leader(self) -> Running:
        """The server that all name. Raises `TimeoutError` if they do not agree."""
        end_s = time.monotonic() + PATIENCE_S
        while True:
            named = {(each.http("/v1/status/leader") or b"").strip() for each in self.servers.values()}
            for each in self.servers.values():
                if named == {json.dumps(f"{each.address}:8300").encode()}:
                    return each
            if time.monotonic() > end_s:
                raise TimeoutError(f"{self.program}: leaders {named}")
            time.sleep(0.2)

    @property
    def follower(self) -> Running:
        """A server that does not lead."""
        leader = self.leader
        return next(each for each in self.servers.values() if each is not leader)

    def term(self, server: Running) -> int:
        return int(json.loads(server.http("/v1/agent/self") or b"{}")["Stats"]["raft"]["term"])

    def close(self) -> None:
        for each in self.servers.values():
            each.close()


@contextmanager
def setup(program: str, place: Path) -> Iterator[Quorum]:
    quorum = Quorum(program, place)
    try:
        fill(quorum.leader, NODES, SERVICES, {"three": 3}, agents=3)
        quorum.leader.put("/v1/kv/benchmark", b"a value of some thirty bytes")
        for each in quorum.servers.values():
            each.wait_idle()
        yield quorum
    finally:
        quorum.close()


def tasks(settings: Settings, directory: Path) -> list[Task]:
    path, body, _ = PUTS["kv"]
    script = directory / "quorum-kv.lua"
    script.write_text(SCRIPT.format(path=path, body=body))
    questions = directory / "quorum-dns"
    questions.write_bytes(text(["three.service.consul"], "A"))
    found = [task(Row("memory of a server of three", "RSS MiB", "<= 1.0", 1), _memory, rounds_max=1)]
    for where in ("the leader", "a follower"):
        found += [_writes(settings, script, where, connections) for connections in CONNECTIONS]
    for name, url in (
        ("kv?stale", "/v1/kv/benchmark?stale"),
        ("health/service?passing&stale", "/v1/health/service/three?passing&stale"),
    ):
        found.append(
            task(
                Row(f"quorum of three: GET {name} on a follower", "requests/s", ">= 2"),
                lambda quorum, url=url: load_generators.http(quorum.follower, url, settings.seconds, 16),
            )
        )
    found.append(
        task(
            Row("quorum of three: DNS service 3 A on a follower", "queries/s", ">= 2"),
            lambda quorum: load_generators.dns(quorum.follower, questions, settings.seconds),
        )
    )
    return found


def life_tasks() -> list[Task]:
    """Rows whose servers end, freeze and come back."""
    killed = Row("quorum of three: leader killed until the next accepted write", "s", "<= 0.3", 3)
    leaves = Row("quorum of three: leader leaves until the next accepted write", "s", "<= 0.1", 3)
    unseated = Row("quorum of three: terms begun because a frozen server came back", "terms", "<= 0.0", 1)
    return [
        task(killed, _kill, rounds_max=3),
        task(leaves, _leave, rounds_max=2),
        task(unseated, _freeze, rounds_max=2),
    ]


def _memory(quorum: Quorum) -> Sample:
    return Sample(sum(each.resident_mib() for each in quorum.servers.values()) / len(quorum.servers))


def _writes(settings: Settings, script: Path, where: str, connections: int) -> Task:
    name = f"quorum of three: PUT kv through {where}, {connections} connections"
    rate, p99 = Row(name, "writes/s", ">= 1.0"), Row(f"{name}, p99", "ms", "<= 1.0", 2)

    def measure(quorum: Quorum) -> dict[Row, Sample]:
        server = quorum.leader if where == "the leader" else quorum.follower
        sample = load_generators.http(server, "/", settings.seconds, connections, "-s", str(script))
        assert sample.p99_ms is not None
        return {rate: sample, p99: Sample(sample.p99_ms)}

    return Task((rate, p99), measure)


def _kill(quorum: Quorum) -> Sample:
    leader = quorum.leader
    gap_s = longest_gap(quorum, leader, leader.process.kill)
    quorum.restart(leader.node)
    return Sample(gap_s)


def _leave(quorum: Quorum) -> Sample:
    leader = quorum.leader

    def leave() -> None:
        with suppress(OSError, http.client.HTTPException):  # the answer may come after a minute, or not at all
            connection = http.client.HTTPConnection(leader.address, 8500, timeout=PATIENCE_S)
            connection.request("PUT", "/v1/agent/leave")
            connection.getresponse()
        leader.process.wait(PATIENCE_S)

    gap_s = longest_gap(quorum, leader, leave)
    quorum.restart(leader.node)
    return Sample(gap_s)


def _freeze(quorum: Quorum) -> Sample:
    follower = quorum.follower
    others = [each for each in quorum.servers.values() if each is not follower]
    follower.process.send_signal(signal.SIGSTOP)
    time.sleep(FROZEN_S)
    before = max(map(quorum.term, others))
    follower.process.send_signal(signal.SIGCONT)
    time.sleep(10)
    quorum.wait_whole()
    return Sample(max(map(quorum.term, others)) - before)


def longest_gap(quorum: Quorum, without: Running, act: Callable[[], None]) -> float:
    """Seconds without an accepted write, through any server but one, from before `act` until two seconds after it."""
    accepted_s: list[float] = []
    ended = threading.Event()

    def write(server: Running) -> None:
        for number in count():
            if ended.is_set():
                return
            with suppress(OSError, http.client.HTTPException):
                connection = http.client.HTTPConnection(server.address, 8500, timeout=12)
                connection.request("PUT", f"/v1/kv/gap/{server.node}", str(number))
                if connection.getresponse().status == 200:
                    accepted_s.append(time.monotonic())
                connection.close()
            time.sleep(0.002)

    others = [each for each in quorum.servers.values() if each is not without]
    writers = [threading.Thread(target=write, args=(each,), daemon=True) for each in others]
    for writer in writers:
        writer.start()
    time.sleep(1)
    act()
    end_s = acted_s = time.monotonic()
    while not (accepted_s and accepted_s[-1] > acted_s and time.monotonic() > end_s + 2):
        if time.monotonic() > acted_s + PATIENCE_S:
            raise TimeoutError(f"{quorum.program}: no write was accepted any more")
        if not accepted_s or time.monotonic() - accepted_s[-1] > 0.5:
            end_s = time.monotonic()
        time.sleep(0.05)
    ended.set()
    for writer in writers:
        writer.join(15)
    times = sorted(accepted_s)
    return max(later - earlier for earlier, later in pairwise(times))
