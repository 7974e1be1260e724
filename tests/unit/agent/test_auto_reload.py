"""The configuration is reloaded when its files change (`auto_reload_config`, since Consul 1.12)."""

from pathlib import Path
from typing import Any

import pytest
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock

from consulpy.agent.features.auto_reload import INTERVAL_S, LOOKS_MAX, AutoReload, signatures, watched_paths
from consulpy.config.flags import read_flags
from consulpy.config.load import read
from consulpy.errors import RPCError
from tests.fakes.config import FakeHost


class Agent:
    def __init__(self) -> None:
        self.clock, self.state, self.reloads = Clock(), {"a.hcl": (1, 1, 1, 1)}, 0
        self.result: Any = succeed
        self.watch = AutoReload(self.clock, lambda: succeed(dict(self.state)), self.reload)
        self.watch.start()

    def reload(self) -> "Deferred[Any]":
        self.reloads += 1
        done: Deferred[Any] = self.result(None)
        return done

    def change(self, name: str = "a.hcl") -> None:
        self.state[name] = (1, 1, len(self.state), self.state.get(name, (0, 0, 0, 0))[3] + 1)

    def look(self, times: int = 1) -> int:
        for _ in range(times):
            self.clock.advance(INTERVAL_S)
        return self.reloads


def test_nothing_changes_nothing_is_reloaded() -> None:
    assert Agent().look(20) == 0


def test_a_change_is_applied_once_it_is_whole() -> None:
    agent = Agent()
    agent.change()
    assert agent.look() == 0
    agent.change()
    assert agent.look() == 0
    assert agent.look() == 1
    assert agent.look(20) == 1


@pytest.mark.parametrize("change", ["new file", "file gone"])
def test_files_that_come_and_go_count(change: str) -> None:
    agent = Agent()
    if change == "new file":
        agent.change("b.hcl")
    else:
        agent.state.clear()
    assert agent.look(2) == 1


def test_a_file_that_never_rests_is_read_all_the_same() -> None:
    agent = Agent()
    for _ in range(LOOKS_MAX):
        agent.change()
        agent.look()
    assert agent.reloads == 1


def test_a_change_that_is_taken_back_is_none() -> None:
    agent = Agent()
    before = dict(agent.state)
    agent.change()
    agent.look()
    agent.state = before
    assert agent.look(5) == 0


def test_a_refused_reload_is_tried_again_with_the_next_change_only() -> None:
    agent = Agent()
    agent.result = lambda _: fail(RPCError("no"))
    agent.change()
    assert agent.look(10) == 1
    agent.change()
    assert agent.look(10) == 2


def test_a_reload_that_lasts_is_waited_for_and_the_end_ends_it() -> None:
    agent = Agent()
    running: Deferred[Any] = Deferred()
    agent.result = lambda _: running
    agent.change()
    agent.look(2)
    agent.change()
    assert agent.look(10) == 1
    agent.watch.stop()
    running.callback(None)
    assert agent.look(10) == 1
    assert agent.clock.getDelayedCalls() == []


def test_what_is_looked_at(tmp_path: Path) -> None:
    folder = tmp_path / "conf.d"
    folder.mkdir()
    (folder / "a.hcl").write_text("")
    (folder / "b.json").write_text("")
    (folder / "c.txt").write_text("")
    (tmp_path / "alone.hcl").symlink_to(folder / "b.json")
    paths = [str(folder), str(tmp_path / "alone.hcl"), str(tmp_path / "absent.pem")]
    before = signatures(paths)
    assert set(before) == {*(str(folder / name) for name in ("a.hcl", "b.json")), *paths[1:]}
    assert before[paths[2]] is None
    (folder / "c.txt").write_text("x")
    assert signatures(paths) == before
    (folder / "next").write_text("")
    (folder / "next").replace(folder / "a.hcl")  # the same size, and maybe the same time
    assert signatures(paths) != before
    (tmp_path / "alone.hcl").unlink()
    (tmp_path / "alone.hcl").symlink_to(folder / "a.hcl")
    assert signatures(paths)[paths[1]] != before[paths[1]]


def test_certificates_of_both_ports_are_looked_at(tmp_path: Path) -> None:
    file = tmp_path / "a.hcl"
    file.write_text('tls { defaults { ca_file = "/ca" } internal_rpc { cert_file = "/c" key_file = "/k" } }')
    config = read(read_flags(["-data-dir", "/x", "-config-file", str(file), "-auto-reload-config"]), FakeHost())
    assert config.auto_reload_config
    assert set(watched_paths(config)) == {str(file), "/ca", "/c", "/k"}
