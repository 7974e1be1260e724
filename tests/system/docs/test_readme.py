"""The sessions of README.md, command by command, with the output that it shows.

Its two commands that do all of the set-up are run by `.ci/run readme`.
"""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.console import Action, Command, sessions
from tests.harness.console import matches as looks_like
from tests.peers.programs import BIN, ROOT, Host, Program, eventually, hosts
from tests.system.scenarios.test_walkthrough import two_hosts

__all__ = ["two_hosts"]  # a fixture

PAGE = (ROOT / "README.md").read_text()
SESSIONS = sessions(PAGE)


class Reader:
    """Follows a session on its hosts; agents run on in the background, as in a terminal of their own."""

    def __init__(self, places: dict[str, Host]) -> None:
        self.places = places
        self.agents: dict[str, Program] = {}
        self._begin = dict.fromkeys(places, "true")
        for host in places.values():
            (host.directory / ".venv").symlink_to(BIN.parent)

    def follow(self, step: Command | Action) -> None:
        host = self.places[step.host]
        if isinstance(step, Action):
            self._act(step)
        elif step.text.startswith("source "):
            self._begin[step.host] = step.text
        elif step.text.startswith(("consulpy agent ", "twistd ")):
            number = len(host.programs)
            agent = host.start(f"agent{number}", "bash", "-c", f"{self._begin[step.host]} && exec {step.text}")
            self.agents[step.host] = agent
            eventually(lambda: looks_like(step.output, agent.output), f"{step.text}\n{step.output}")
        else:
            eventually(lambda: looks_like(step.output, self._run(step)), f"{step.text}\n{step.output}")

    def _run(self, step: Command) -> str:
        done = self.places[step.host].run("bash", "-c", f"{self._begin[step.host]} && {step.text}", check=False)
        assert looks_like(step.output, done.stdout), done.stdout + done.stderr
        return done.stdout

    def _act(self, action: Action) -> None:
        agent = self.agents[action.host]
        if action.text == "Ctrl-C":
            assert agent.interrupt() == 0
        elif action.text == "kill -9":
            agent.kill()
        else:
            raise ValueError(f"what is {action.text}?")


@pytest.fixture
def one_host(tmp_path: Path) -> Iterator[Host]:
    with hosts(tmp_path, None) as (host,):
        yield host


def test_the_page_has_two_sessions_and_two_commands_of_set_up() -> None:
    assert [(name, len(steps) > 5) for name, steps in SESSIONS.items()] == [
        ("one agent on 127.0.0.1", True),
        ("two hosts", True),
    ]
    assert PAGE.count("```sh") == 2


def test_one_agent(one_host: Host) -> None:
    """Beside the agent of the page's first command."""
    reader = Reader({"": one_host})
    flags = "-server -bootstrap-expect 1 -bind 127.0.0.1 -data-dir ./consulpy-data"
    assert f"consulpy agent {flags}\n" in PAGE
    reader.follow(Command("", f"consulpy agent {flags}", "...running!...\n"))
    for step in SESSIONS["one agent on 127.0.0.1"]:
        reader.follow(step)


@pytest.mark.netns
@pytest.mark.skipif(os.geteuid() != 0, reason="network namespaces need root")
@pytest.mark.long
def test_a_cluster_of_two(two_hosts: tuple[Host, Host]) -> None:
    reader = Reader(dict(zip(("host1", "host2"), two_hosts, strict=True)))
    for step in SESSIONS["two hosts"]:
        reader.follow(step)
