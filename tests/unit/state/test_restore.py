"""A whole new state in the place of the old one, in a log that stores nothing."""

from consulpy.state.commands import Register
from consulpy.state.log import MemoryLog
from consulpy.state.store import Store
from consulpy.state.watch import WatchSet
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


def test_the_index_goes_beyond_both_states() -> None:
    log = MemoryLog(Store())
    for name in ("a", "b", "c"):
        log.submit(node(name), lambda _: None)
    log.restore(state_with("x"), lambda _: None)
    assert (names(log.store), log.store.index) == (["x"], 4)
    log.restore(state_with(*"abcdefgh"), lambda _: None)
    assert log.store.index == 9
    log.submit(node("y"), lambda _: None)
    assert log.store.index == 10


def test_a_receiver_that_fails_harms_nobody() -> None:
    lines: list[str] = []
    log = MemoryLog(Store(), say=lambda _level, text: lines.append(text))
    log.submit(node("a"), lambda _: 1 // 0)
    log.submit(node("b"), lambda _: None)
    assert names(log.store) == ["a", "b"]
    assert lines == ["the receiver of a command's result failed: ZeroDivisionError: integer division or modulo by zero"]


def test_a_command_that_a_result_leads_to_waits_for_its_turn() -> None:
    log, done = MemoryLog(Store()), list[str]()
    log.submit(node("a"), lambda _: (log.submit(node("b"), lambda _: done.append("b")), done.append("a")))
    assert done == ["a", "b"]


def test_who_waits_is_woken() -> None:
    log = MemoryLog(Store())
    watch, woken = WatchSet(), []
    log.store.catalog.nodes(watch)
    log.store.watchers.wait(watch, lambda: woken.append(True))
    log.restore(Store(), lambda _: None)
    assert woken
