"""Notifications to the service manager: when an agent is ready, reloads, stops, and is alive."""

from twisted.internet.task import Clock

from consulpy.agent.process.systemd import Notifier, install


class Manager:
    """The service manager's end: the datagrams that came."""

    def __init__(self, *, joins: bool = False, keep_alive_s: float = 0.0) -> None:
        self.clock = Clock()
        self.heard: list[str] = []
        self.notifier = Notifier(
            self.clock, lambda message: self.heard.append(message.decode()), waits_for_join=joins,
            keep_alive_s=keep_alive_s,
        )  # fmt: skip

    @property
    def states(self) -> list[str]:
        return [message.split("\n")[0] for message in self.heard]


def test_an_agent_with_nothing_to_join_is_ready_when_it_has_started() -> None:
    manager = Manager()
    manager.notifier.started()
    assert manager.states == ["READY=1"]


def test_an_agent_with_something_to_join_is_ready_once_after_the_first_join() -> None:
    manager = Manager(joins=True)
    manager.notifier.started()
    assert manager.states == ["STATUS=waiting for the first join"]
    manager.notifier.changed("joined")
    manager.notifier.changed("joined")
    assert manager.states[1:] == ["READY=1"]


def test_a_reload_is_announced_with_its_monotonic_time_and_ends_with_ready() -> None:
    manager = Manager()
    manager.notifier.started()
    manager.clock.advance(2.5)
    manager.notifier.changed("reloading")
    assert manager.heard[-1].split("\n")[:2] == ["RELOADING=1", "MONOTONIC_USEC=2500000"]
    manager.notifier.changed("reloaded")
    assert manager.states == ["READY=1", "RELOADING=1", "READY=1"]


def test_a_reload_before_the_first_join_does_not_make_ready() -> None:
    manager = Manager(joins=True)
    manager.notifier.started()
    manager.notifier.changed("reloading")
    manager.notifier.changed("reloaded")
    assert "READY=1" not in manager.states


def test_stopping_is_said_once_and_nothing_is_ready_afterwards() -> None:
    manager = Manager()
    manager.notifier.started()
    for state in ("stopping", "stopping", "joined", "reloaded"):
        manager.notifier.changed(state)
    assert manager.states == ["READY=1", "STOPPING=1"]


def test_the_watchdog_hears_of_each_half_interval_while_the_reactor_turns() -> None:
    manager = Manager(keep_alive_s=4.0)
    manager.notifier.started()
    manager.clock.pump([2.0, 2.0, 2.0])
    assert manager.states == ["READY=1"] + ["WATCHDOG=1"] * 4


def test_without_a_manager_nothing_is_installed_and_children_inherit_nothing() -> None:
    environment = {"NOTIFY_SOCKET": "vsock:2:1234", "WATCHDOG_USEC": "5", "WATCHDOG_PID": "1", "PATH": "/bin"}
    install(None, None, environment)  # type: ignore[arg-type]
    assert environment == {"PATH": "/bin"}
