"""Concurrent checks-and-sets on one key, while the server is killed and started again, form one order.

The history is checked as Wing and Gong do: operations whose times overlap may have happened in either order, and one
that was never answered may or may not have happened.
"""

import base64
import random
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.scenarios.programs import ask, eventually, hosts

OURS = "127.51.0.61"
KEYS = ("a", "b")
WRITERS = 3
ROUNDS = 3


@dataclass(eq=False)
class Operation:
    """`old` is the value that a write expects, None for a read, which saw `new`. `end` is inf when nobody answered."""

    begin: float
    end: float
    old: str | None
    new: str
    done: bool | None


def linearizable(history: list[Operation], start: str) -> bool:
    """Whether some order of the operations agrees with their times and with a register that begins as `start`."""
    history = sorted(history, key=lambda operation: operation.begin)
    seen: set[tuple[frozenset[int], str]] = set()
    todo = [(frozenset(range(len(history))), start)]
    while todo:
        left, value = todo.pop()
        if (left, value) in seen:
            continue
        seen.add((left, value))
        if all(history[number].done is None for number in left):
            return True
        first_end = min(history[number].end for number in left)
        for number in left:
            operation = history[number]
            if operation.begin > first_end:
                continue
            for after in outcomes(operation, value):
                todo.append((left - {number}, after))
    return False


def outcomes(operation: Operation, value: str) -> list[str]:
    """The values after an operation that finds `value`; none if it cannot have been answered as it was."""
    if operation.old is None:
        return [value] if operation.new == value else []
    fits = operation.old == value
    if operation.done is None:
        return [operation.new] if fits else [value]
    if operation.done is not fits:
        return []
    return [operation.new if fits else value]


@pytest.mark.parametrize(
    ("history", "verdict"),
    [
        ([Operation(0, 1, "0", "1", True), Operation(2, 3, None, "1", True)], True),
        ([Operation(0, 1, "0", "1", True), Operation(2, 3, None, "0", True)], False),
        ([Operation(0, 3, "0", "1", True), Operation(1, 2, None, "0", True)], True),
        ([Operation(0, 3, "0", "1", True), Operation(1, 2, "0", "2", True)], False),
        ([Operation(0, float("inf"), "0", "1", None), Operation(1, 2, None, "1", True)], True),
    ],
)
def test_the_checker_itself(history: list[Operation], verdict: bool) -> None:
    assert linearizable(history, "0") is verdict


@dataclass
class Clients:
    """Writers that read a key, then try to replace what they read."""

    done: threading.Event = field(default_factory=threading.Event)
    history: dict[str, list[Operation]] = field(default_factory=lambda: {key: [] for key in KEYS})

    def run(self, number: int) -> None:
        rng, count = random.Random(number), 0
        while not self.done.is_set():
            key = rng.choice(KEYS)
            try:
                entry = self.read(key)
            except (OSError, ValueError):
                time.sleep(0.02)
                continue
            count += 1
            self.write(key, entry, f"{number}-{count}")
            time.sleep(0.01)

    def read(self, key: str) -> tuple[int, str]:
        begin = time.monotonic()
        (found,) = ask(f"{OURS}:8500/v1/kv/{key}", within_s=2.0)
        value = base64.b64decode(found["Value"]).decode()
        self.history[key].append(Operation(begin, time.monotonic(), None, value, True))
        return found["ModifyIndex"], value

    def write(self, key: str, entry: tuple[int, str], new: str) -> None:
        begin = time.monotonic()
        operation = Operation(begin, float("inf"), entry[1], new, None)
        try:
            done = ask(f"{OURS}:8500/v1/kv/{key}?cas={entry[0]}", "PUT", new.encode(), within_s=2.0)
            operation.end, operation.done = time.monotonic(), bool(done)
        except (OSError, ValueError):
            pass  # nobody knows
        self.history[key].append(operation)


def test_checks_and_sets_through_kills_have_one_order(tmp_path: Path) -> None:
    rng, clients = random.Random(4), Clients()
    with hosts(tmp_path, None) as (host,):
        flags = ["-node", "a", "-bind", OURS, "-client", OURS, "-data-dir", "data", "-server", "-bootstrap-expect", "1"]
        threads = [threading.Thread(target=clients.run, args=(number,), daemon=True) for number in range(WRITERS)]
        for round_number in range(ROUNDS):
            program = host.start(f"run{round_number}", "consulpy", "agent", *flags)
            eventually(lambda: ask(f"{OURS}:8500/v1/status/leader"), "it leads")
            if round_number == 0:
                for key in KEYS:
                    eventually(lambda key=key: ask(f"{OURS}:8500/v1/kv/{key}", "PUT", b"0"), "written")
                for thread in threads:
                    thread.start()
            time.sleep(0.8 + rng.random() / 2)
            program.kill()
        host.start("last", "consulpy", "agent", *flags)
        eventually(lambda: ask(f"{OURS}:8500/v1/kv/a"), "it answers")
        time.sleep(0.5)
        clients.done.set()
        for thread in threads:
            thread.join(5)
    for key in KEYS:
        history = clients.history[key]
        assert sum(operation.done is True and operation.old is not None for operation in history) > 10
        assert linearizable(history, "0"), key
