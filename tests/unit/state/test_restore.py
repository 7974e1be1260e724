"""A whole new state in the place of the old one: at an index of its own, stored before it counts, never undone."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from consulpy.errors import RPCError
from consulpy.state.commands import Register
from consulpy.state.log import LocalLog, MemoryLog
from consulpy.state.store import Store
from consulpy.structs.requests import RegisterRequest


def node(name: str) -> Register:
    return Register(RegisterRequest(datacenter="dc1", node=name, address="10.0.0.1"))


def state_with(*names: str) -> Store:
    log = MemoryLog(Store())
    for name in names:
        log.submit(node(name), lambda _: None)
    return log.store


def names(store: Store) -> list[str]:
    return [each.node for each in store.catalog.nodes(None)[1]]


def inline(job: Callable[[], None]) -> None:
    job()


def opened(path: Path, run: Any = inline, **options: Any) -> LocalLog:
    return LocalLog(Store(), str(path / "log"), run=run, hand_back=inline, entries_per_row=0, **options)


def test_the_index_goes_beyond_both_states(tmp_path: Path) -> None:
    for log in (MemoryLog(Store()), opened(tmp_path)):
        for name in ("a", "b", "c"):
            log.submit(node(name), lambda _: None)
        log.restore(state_with("x"), lambda _: None)
        assert (names(log.store), log.store.index) == (["x"], 4)
        log.restore(state_with(*"abcdefgh"), lambda _: None)
        assert log.store.index == 9
        log.submit(node("y"), lambda _: None)
        assert log.store.index == 10


def test_a_restored_state_survives(tmp_path: Path) -> None:
    log = opened(tmp_path)
    log.submit(node("old"), lambda _: None)
    log.restore(state_with("x"), lambda _: None)
    log.submit(node("y"), lambda _: None)
    log.close()
    again = opened(tmp_path)
    assert (names(again.store), again.store.index) == (["x", "y"], 3)
    again.close()


def test_it_counts_only_once_it_is_stored_and_waits_for_its_turn(tmp_path: Path) -> None:
    jobs: list[Callable[[], None]] = []
    log = opened(tmp_path, jobs.append)
    told: list[Any] = []
    log.submit(node("before"), lambda _: told.append("before"))
    log.restore(state_with("x"), lambda _: told.append("restored"))
    log.submit(node("after"), lambda _: told.append("after"))
    jobs.pop(0)()
    assert (told, names(log.store)) == (["before"], ["before"])
    jobs.pop(0)()
    assert (told, names(log.store)) == (["before", "restored"], ["x"])
    jobs.pop(0)()
    assert (told, names(log.store)) == (["before", "restored", "after"], ["after", "x"])
    log.close()


def test_a_compaction_of_the_old_state_is_dropped(tmp_path: Path) -> None:
    jobs: list[Callable[[], None]] = []
    log = opened(tmp_path, jobs.append, compact_after=1)
    log.submit(node("old"), lambda _: None)
    jobs.pop(0)()  # stored; now the old state is being encoded
    encode = jobs.pop(0)
    log.restore(state_with("x"), lambda _: None)
    jobs.pop(0)()
    encode()
    while jobs:
        jobs.pop(0)()
    log.close()
    again = opened(tmp_path)
    assert names(again.store) == ["x"]
    again.close()


def test_a_closed_log_takes_none(tmp_path: Path) -> None:
    log = opened(tmp_path)
    log.close()
    told: list[Any] = []
    log.restore(Store(), told.append)
    assert isinstance(told[0], RPCError)


def test_who_waits_is_woken() -> None:
    from consulpy.state.watch import WatchSet

    log = MemoryLog(Store())
    watch, woken = WatchSet(), []
    log.store.catalog.nodes(watch)
    log.store.watchers.wait(watch, lambda: woken.append(True))
    log.restore(Store(), lambda _: None)
    assert woken == [True]


@pytest.mark.parametrize("fault", ["disk"])
def test_a_state_that_cannot_be_stored_does_not_count(tmp_path: Path, fault: str) -> None:
    log = opened(tmp_path)
    log.submit(node("old"), lambda _: None)
    error = RPCError(fault)
    log._database.replace = lambda *_: error  # type: ignore[method-assign]
    told: list[Any] = []
    log.restore(state_with("x"), told.append)
    assert told == [error]
    assert (names(log.store), log.store.index) == (["old"], 1)
