"""The official command line of 1.8.7, unchanged, at our HTTP port: keys, watches, events and snapshots.

Its `lock` is in tests/system/cli/test_lock_and_session.py.
"""

import json
import os
import subprocess
from pathlib import Path

import pytest

from tests.peers.programs import Host, ask, eventually
from tests.system.clients.conftest import Agents

pytestmark = pytest.mark.peers


def consul(agent: str, *words: str, given: str | None = None) -> tuple[int, str]:
    """Exit status and output."""
    done = subprocess.run(
        ["consul", *words],
        env={**os.environ, "CONSUL_HTTP_ADDR": agent},
        input=given,
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def test_keys(agents: Agents) -> None:
    at = agents.client
    assert consul(at, "kv", "put", "-flags=42", "cli/a", "1") == (0, "Success! Data written to: cli/a\n")
    assert consul(at, "kv", "put", "cli/b/c", "-", given="from standard input")[0] == 0
    assert consul(at, "kv", "get", "cli/a") == (0, "1\n")
    assert consul(at, "kv", "get", "-keys", "-separator=/", "cli/") == (0, "cli/a\ncli/b/\n")
    status, out = consul(at, "kv", "get", "-detailed", "cli/a")
    assert status == 0
    assert "Flags            42" in out
    index = next(line.split()[1] for line in out.splitlines() if line.startswith("ModifyIndex"))
    assert consul(at, "kv", "put", "-cas", f"-modify-index={index}", "cli/a", "2")[0] == 0
    assert consul(at, "kv", "put", "-cas", f"-modify-index={index}", "cli/a", "3")[0] == 1
    exported = consul(at, "kv", "export", "cli/")[1]
    assert [each["key"] for each in json.loads(exported)] == ["cli/a", "cli/b/c"]
    assert consul(at, "kv", "delete", "-recurse", "cli/") == (0, "Success! Deleted keys with prefix: cli/\n")
    assert consul(at, "kv", "get", "cli/a") == (1, "Error! No key exists at: cli/a\n")
    assert consul(at, "kv", "import", "-", given=exported) == (0, "Imported: cli/a\nImported: cli/b/c\n")
    assert consul(at, "kv", "export", "cli/")[1] == exported
    consul(at, "kv", "delete", "-recurse", "cli/")


def watched(host: Host, agent: str, name: str, *flags: str) -> Path:
    """The file to which the handler of a watch adds a line for each call."""
    seen = Path(host.directory) / name
    host.start("watch", "consul", "watch", f"-http-addr={agent}", *flags, f"cat >> {seen}; echo >> {seen}")
    return seen


def test_an_event_is_fired_and_seen_by_a_watch(agents: Agents, host: Host) -> None:
    seen = watched(host, agents.server, "seen", "-type=event", "-name=cli-event")
    eventually(lambda: seen.exists() and "[]" in seen.read_text(), "the watch begins with nothing")
    status, out = consul(agents.client, "event", "-name=cli-event", "a payload")
    assert (status, out.split(":")[0]) == (0, "Event ID")
    eventually(lambda: "YSBwYXlsb2Fk" in seen.read_text(), "the handler got the payload")


def test_a_watch_of_a_key_runs_its_handler_once_for_each_change(agents: Agents, host: Host) -> None:
    ask(f"{agents.server}/v1/kv/watched", "PUT", b"one")
    seen = watched(host, agents.client, "keys", "-type=key", "-key=watched")
    eventually(lambda: seen.exists() and "b25l" in seen.read_text(), "the first value")
    ask(f"{agents.server}/v1/kv/unwatched", "PUT", b"x")
    ask(f"{agents.server}/v1/kv/watched", "PUT", b"two")
    eventually(lambda: "dHdv" in seen.read_text(), "the second value")
    assert len(seen.read_text().split()) == 2
    ask(f"{agents.server}/v1/kv/watched", "DELETE")


def test_a_snapshot_is_saved_inspected_and_restored(agents: Agents, tmp_path: Path) -> None:
    ask(f"{agents.server}/v1/kv/kept", "PUT", b"before")
    place = str(tmp_path / "backup.snap")
    status, out = consul(agents.client, "snapshot", "save", place)
    assert status == 0, out
    assert "Saved and verified snapshot" in out
    assert "Version      1" in consul(agents.client, "snapshot", "inspect", place)[1]
    ask(f"{agents.server}/v1/kv/kept", "PUT", b"after")
    assert consul(agents.client, "snapshot", "restore", place) == (0, "Restored snapshot\n")
    assert ask(f"{agents.server}/v1/kv/kept?raw") == "before"


@pytest.mark.parametrize(
    "words", [["members"], ["catalog", "nodes"], ["catalog", "services"], ["info"], ["operator", "raft", "list-peers"]]
)
def test_what_is_listed(agents: Agents, words: list[str]) -> None:
    status, out = consul(agents.client, *words)
    assert status == 0, out
    assert out.strip()
