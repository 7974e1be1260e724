"""Concurrent reads, checks-and-sets, acquires, releases and ends of sessions, through kills, have one order per key."""

import base64
import http.client
import itertools
import json
import os
import random
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.harness.effort import cases
from tests.harness.history import Key, Operation, linearizable
from tests.peers.programs import ask, eventually, hosts

OURS = "127.76.0.1"
HTTP = f"{OURS}:8500"
KEYS = ("a", "b")
CLIENTS, ROUNDS, KILLS, WRITES = 4, 3, max(2, cases(5)), cases(1000)
#: The same seed gives each client the same choices, and the same times of kills.
SEED = int(os.environ.get("CONSULPY_SEED", "76"))
START = Key("0")
ONE = Key("1", "s", 1)
#: A key that was never written, as a writer looks at it.
ABSENT = {"Value": "", "ModifyIndex": 0, "LockIndex": 0}


@pytest.mark.parametrize(
    ("history", "verdict"),
    [
        ([Operation("acquire", 0, 1, True, "s", "1"), Operation("read", 2, 3, True, seen=ONE)], True),
        ([Operation("acquire", 0, 1, True, "s", "1"), Operation("read", 2, 3, True, seen=START)], False),
        ([Operation("acquire", 0, 1, True, "s", "1"), Operation("acquire", 0, 1, True, "t", "2")], False),
        ([Operation("acquire", 0, 1, True, "s", "1"), Operation("acquire", 2, 3, False, "t", "2")], True),
        ([Operation("release", 0, 1, True, "s", "1")], False),
        ([Operation("acquire", 0, session="s", value="1"), Operation("acquire", 1, 2, False, "t", "2")], True),
        (
            [Operation("cas", 0, 1, True, value="1", seen=START), Operation("cas", 0, 1, True, value="2", seen=START)],
            False,
        ),
        ([Operation("acquire", 0, 1, True, "s", "1"), Operation("read", 2, 3, True, seen=Key("1", "s", 2))], False),
        (
            [
                Operation("acquire", 0, 1, True, "s", "1"),
                Operation("destroy", 2, 3, True, "s"),
                Operation("acquire", 4, 5, True, "t", "2"),
                Operation("read", 6, 7, True, seen=Key("2", "t", 2)),
            ],
            True,
        ),
    ],
)
def test_the_checker_itself(history: list[Operation], verdict: bool) -> None:
    assert linearizable(history, START) is verdict


class Clients:
    """Clients with a session each; what they asked and were answered stands in `history`, key by key.

    `servers`: who is asked in turn, "host:port". `how`: a parameter of each read.
    """

    def __init__(self, servers: tuple[str, ...] = (HTTP,), how: str = "") -> None:
        self.servers = itertools.cycle(servers)
        self.how = how
        self.done = threading.Event()
        self.history: dict[str, list[Operation]] = {key: [] for key in KEYS}
        #: Every answer of a read: its times, the key, `ModifyIndex` and what was seen.
        self.reads: list[tuple[float, float, str, int, Key]] = []
        self.faults: list[BaseException] = []

    def run(self, number: int) -> None:
        """Until `done`; choices depend on the seed alone."""
        try:
            self._run(number)
        except BaseException as fault:
            self.faults.append(fault)
            raise

    def _run(self, number: int) -> None:
        rng, count, session = random.Random(f"{SEED}-{number}"), 0, ""
        while not self.done.is_set():
            time.sleep(0.01)
            count += 1
            key, kind = (
                rng.choice(KEYS),
                rng.choice(("cas", "cas", "acquire", "acquire", "release", "release", "destroy")),
            )
            try:
                session = session or new_session(next(self.servers))
                seen = self.read(key)
            except (OSError, ValueError, http.client.HTTPException):
                continue
            value, begin = f"{number}-{count}", time.monotonic()
            if kind == "destroy":
                if rng.random() < 0.3:
                    each = [Operation(kind, begin, session=session) for _ in KEYS]
                    self.note(each, KEYS, f"session/destroy/{session}", b"")
                    session = ""
            elif kind == "cas":
                operation = Operation(kind, begin, value=value, seen=seen[1])
                self.note([operation], (key,), f"kv/{key}?cas={seen[0]}", value.encode())
            else:
                operation = Operation(kind, begin, session=session, value=value)
                self.note([operation], (key,), f"kv/{key}?{kind}={session}", value.encode())

    def read(self, key: str) -> tuple[int, Key]:
        """`ModifyIndex`, and what is seen of the key."""
        begin = time.monotonic()
        (found,) = ask(f"{next(self.servers)}/v1/kv/{key}?{self.how}", within_s=2.0)
        end, index = time.monotonic(), found["ModifyIndex"]
        seen = Key(base64.b64decode(found["Value"]).decode(), found.get("Session", ""), found["LockIndex"])
        self.history[key].append(Operation("read", begin, end, True, seen=seen))
        self.reads.append((begin, end, key, index, seen))
        return index, seen

    def note(self, operations: list[Operation], keys: tuple[str, ...], path: str, body: bytes) -> None:
        """Ask, and note what was answered."""
        try:
            answer = ask(f"{next(self.servers)}/v1/{path}", "PUT", body, within_s=2.0)
            for operation in operations:
                operation.end, operation.done = time.monotonic(), answer is True
        except (OSError, ValueError, http.client.HTTPException):
            pass  # nobody knows
        for key, operation in zip(keys, operations, strict=True):
            self.history[key].append(operation)


def new_session(http: str = HTTP) -> str:
    body = b'{"LockDelay": "0s", "Behavior": "release"}'
    return str(ask(f"{http}/v1/session/create", "PUT", body, within_s=2.0)["ID"])


def server(host: Any) -> Callable[[str], Any]:
    """Starts the server under a name, and waits until it leads."""
    flags = ["-node", "a", "-bind", OURS, "-client", OURS, "-data-dir", "data", "-server", "-bootstrap-expect", "1"]

    def start(name: str) -> Any:
        program = host.start(name, "consulpy", "agent", *flags)
        eventually(lambda: ask(f"{HTTP}/v1/status/leader"), "it leads")
        return program

    return start


@pytest.mark.long
def test_locks_and_sets_through_kills_have_one_order(tmp_path: Path) -> None:
    print(f"CONSULPY_SEED={SEED}")
    rng, clients = random.Random(SEED), Clients()
    with hosts(tmp_path, None) as (host,):
        start = server(host)
        threads = [threading.Thread(target=clients.run, args=(number,), daemon=True) for number in range(CLIENTS)]
        for round_number in range(ROUNDS):
            program = start(f"run{round_number}")
            if round_number == 0:
                for key in KEYS:
                    eventually(lambda key=key: ask(f"{HTTP}/v1/kv/{key}", "PUT", b"0"), "written")
                for thread in threads:
                    thread.start()
            time.sleep(0.8 + rng.random())
            program.kill()
        start("last")
        time.sleep(0.5)
        clients.done.set()
        for thread in threads:
            thread.join(5)
    assert not clients.faults
    for key in KEYS:
        history = clients.history[key]
        for kind in ("cas", "acquire", "release"):
            assert {True, False} <= {each.done for each in history if each.kind == kind}, (key, kind)
        assert linearizable(history, START), (SEED, key)
    check_indexes(clients)


def check_indexes(clients: Clients) -> None:
    """`ModifyIndex` never goes back in real time, and stands for one content of its key."""
    for key in KEYS:
        reads = sorted(each for each in clients.reads if each[2] == key)
        content: dict[int, Key] = {}
        for _, _, _, index, seen in reads:
            assert content.setdefault(index, seen) == seen, (SEED, key, index)
        assert len(set(content.values())) == len(content), (SEED, key)
        for before in reads:
            assert all(before[3] <= after[3] for after in reads if after[0] > before[1]), (SEED, key, before)


class Writer(threading.Thread):
    """Sets, locks and unlocks keys of its own in turn; keeps what the last acknowledged write of each said of it."""

    def __init__(self, number: int, session: str, done: threading.Event) -> None:
        super().__init__(daemon=True)
        self.number, self.session, self.done = number, session, done
        self.acknowledged: list[int] = []
        self.last: dict[str, dict[str, Any]] = {}
        self.fault: BaseException | None = None

    def run(self) -> None:
        """Until `done`."""
        try:
            count = 0
            while not self.done.is_set():
                count += 1
                self.write(
                    f"w{self.number}/{count % 9}", f"{self.number}-{count}", ("set", "lock", "unlock")[count // 9 % 3]
                )
        except BaseException as fault:
            self.fault = fault
            raise

    def write(self, key: str, value: str, verb: str) -> None:
        """One write. One without an answer is looked at afterwards: it happened once, or not at all."""
        before = self.last.get(key, ABSENT)
        if verb == "unlock" and not before.get("Session"):
            verb = "lock"  # what would have locked it was not answered, and did not happen
        encoded = base64.b64encode(value.encode()).decode()
        body = [{"KV": {"Verb": verb, "Key": key, "Value": encoded, "Session": self.session}}]
        answered = self.ask(body)
        found = eventually(lambda: self.look(key), "the server answers")
        if not answered and found == before:
            return
        self.last[key] = found
        assert found["Value"] == encoded, "a write that was acknowledged is lost"
        assert found["ModifyIndex"] > before["ModifyIndex"]
        assert found["CreateIndex"] == before.get("CreateIndex", found["ModifyIndex"])
        taken = verb == "lock" and not before.get("Session")
        assert found["LockIndex"] == (0 if verb == "set" else before["LockIndex"] + taken)
        assert found.get("Session") == {"lock": self.session, "unlock": None, "set": before.get("Session")}[verb]
        if answered:
            self.acknowledged.append(found["ModifyIndex"])

    def ask(self, body: Any) -> bool:
        """Whether a transaction was acknowledged. One that is refused is a fault: nobody else writes these keys."""
        try:
            ask(f"{HTTP}/v1/txn", "PUT", json.dumps(body).encode())
        except (OSError, http.client.HTTPException):
            return False
        except ValueError as error:
            if str(error).startswith("409"):
                raise
            return False
        return True

    def look(self, key: str) -> dict[str, Any] | None:
        """The key as it stands; an empty one if it does not exist."""
        try:
            (found,) = ask(f"{HTTP}/v1/kv/{key}", within_s=2.0)
        except ValueError as error:
            if str(error).startswith("404") and key not in self.last:
                return ABSENT
            raise
        return dict(found)


@pytest.mark.long
def test_a_thousand_acknowledged_writes_through_kills_are_there_once(tmp_path: Path) -> None:
    print(f"CONSULPY_SEED={SEED}")
    rng, done = random.Random(SEED), threading.Event()
    with hosts(tmp_path, None) as (host,):
        start = server(host)
        program = start("first")
        sessions = [eventually(new_session, "a session") for _ in range(4)]
        writers = [Writer(number, session, done) for number, session in enumerate(sessions)]
        for writer in writers:
            writer.start()
        kills = 0
        while not any(each.fault for each in writers):
            if kills >= KILLS and sum(len(each.acknowledged) for each in writers) >= WRITES:
                break
            time.sleep(0.3 + rng.random() / 2)
            program.kill()
            kills += 1
            program = start(f"run{kills}")
        done.set()
        for writer in writers:
            writer.join(45)
        assert not [writer.fault for writer in writers if writer.fault]
        program.kill()
        start("last")
        found = {entry["Key"]: entry for entry in eventually(lambda: ask(f"{HTTP}/v1/kv/w?recurse"), "all keys")}
    assert found == {key: entry for writer in writers for key, entry in writer.last.items()}
    indexes = [index for writer in writers for index in writer.acknowledged]
    assert len(indexes) >= WRITES
    assert len(set(indexes)) == len(indexes)
    assert all(writer.acknowledged == sorted(writer.acknowledged) for writer in writers)
