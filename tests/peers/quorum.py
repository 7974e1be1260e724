"""Quorums of real programs, ours, real Consul's, and both."""

import base64
import itertools
import json
import threading
import time

from tests.peers.programs import Host, Program, ask, eventually

FAST = json.dumps({"performance": {"raft_multiplier": 1, "leave_drain_time": "200ms"}, "limits": {}})
_blocks = itertools.count(1)

OWN, REAL = "consulpy", "consul"
MIXES = {
    "own": (OWN, OWN, OWN),
    "one real": (OWN, REAL, OWN),
    "two real": (REAL, OWN, REAL),
}
FIVES = {
    "five": (OWN, OWN, OWN, OWN, OWN),
    "five, two real": (OWN, REAL, OWN, REAL, OWN),
}


class Quorum:
    """Servers on addresses of their own. `settings`: for all of them, beside the fast ones."""

    settings = FAST

    def __init__(self, host: Host, programs: tuple[str, ...]) -> None:
        self.host = host
        self.block = f"127.{200 + next(_blocks)}.1"
        self.kinds = dict(enumerate(programs, 1))
        self.running: dict[int, Program] = {}

    def address(self, number: int) -> str:
        return f"{self.block}.{number}"

    def host_of(self, number: int) -> Host:
        return self.host

    def start(self, number: int, *flags: str) -> None:
        place = ["-node", f"n{number}", "-bind", self.address(number), "-client", self.address(number)]
        joins = [flag for other in self.kinds for flag in ("-retry-join", self.address(other))]
        expect = flags or ("-bootstrap-expect", str(len(self.kinds)))
        self.running[number] = self.host_of(number).start(
            f"n{number}",
            self.kinds[number],
            "agent",
            "-server",
            *place,
            *joins,
            *expect,
            "-retry-interval",
            "1s",
            "-data-dir",
            f"data{number}",
            "-hcl",
            self.settings,
        )

    def url(self, number: int, path: str) -> str:
        return f"{self.address(number)}:8500/v1/{path}"

    def leader(self, seen_by: int | None = None) -> int:
        """The number of the server that all (or one) name."""
        asked = [seen_by] if seen_by is not None else list(self.running)
        named = {ask(self.url(number, "status/leader")) for number in asked}
        numbers = [number for number in self.kinds if named == {f"{self.address(number)}:8300"}]
        assert numbers, named
        return numbers[0]

    @property
    def own(self) -> int:
        """A server of ours, if possible one that does not lead."""
        leader = self.leader()
        return max((number for number, kind in self.kinds.items() if kind == OWN), key=lambda number: number != leader)

    def servers(self, number: int = 1) -> set[str]:
        """Names of the servers in the configuration that this one has."""
        return {server["Node"] for server in ask(self.url(number, "operator/raft/configuration"))["Servers"]}

    def put(self, number: int, key: str, value: str) -> bool:
        return bool(ask(self.url(number, f"kv/{key}"), "PUT", value.encode(), within_s=12))

    def value(self, number: int, key: str, how: str = "stale") -> str:
        found = ask(self.url(number, f"kv/{key}?{how}"))
        return base64.b64decode(found[0]["Value"]).decode()

    def term(self, number: int) -> int:
        """The term that a server is in."""
        return int(ask(self.url(number, "agent/self"))["Stats"]["raft"]["term"])


def begun(host: Host, mix: str) -> Quorum:
    quorum = Quorum(host, (MIXES | FIVES)[mix])
    for number in quorum.kinds:
        quorum.start(number)
    eventually(quorum.leader, "a leader that all name")
    return quorum


def begun_by(host: Host, first: str, *others: str) -> Quorum:
    """A quorum that the first server began alone, and so leads."""
    quorum = Quorum(host, (first, *others))
    quorum.start(1, "-bootstrap-expect", "1")
    eventually(lambda: quorum.put(1, "x", "x"), "the first leads")
    for number in range(2, len(others) + 2):
        quorum.start(number, "-hcl", "")
    return quorum


class Writer(threading.Thread):
    """Writes new keys through all servers in turn, and notes what was acknowledged and how long each write took."""

    def __init__(self, quorum: Quorum) -> None:
        super().__init__(daemon=True)
        self.quorum = quorum
        self.ended = threading.Event()
        self.handle_ack: list[str] = []
        self.failed = 0
        self.gaps_s: list[float] = []

    def run(self) -> None:
        last_s = time.monotonic()
        for count in itertools.count():
            if self.ended.is_set():
                return
            numbers = list(self.quorum.running)
            key = f"written/{count}"
            try:
                if self.quorum.put(numbers[count % len(numbers)], key, str(count)):
                    self.handle_ack.append(key)
                    self.gaps_s.append(time.monotonic() - last_s)
                    last_s = time.monotonic()
            except (OSError, ValueError):
                self.failed += 1
            time.sleep(0.005)

    def stop(self) -> None:
        self.ended.set()
        self.join(20)

    def check(self) -> None:
        """Nothing acknowledged is lost, on any server."""
        assert len(self.handle_ack) > 20
        for number in self.quorum.running:

            def missing(number: int = number) -> list[str]:
                stored = set(ask(self.quorum.url(number, "kv/written?keys&stale")))
                return [key for key in self.handle_ack if key not in stored]

            eventually(lambda missing=missing: not missing(), f"all acknowledged writes on server {number}")
