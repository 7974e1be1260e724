"""`consulpy lock` and `consulpy session` against our agent: our locks and the real program's exclude each other."""

import json
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.peers.cli import PATIENCE_S, environment, ours, theirs
from tests.peers.process import spawn

AGENT = "127.75.1.1"
PROGRAMS = {"ours": [sys.executable, "-m", "consulpy"], "real": ["consul"]}


def until(ready: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        try:
            found = ready()
        except OSError:
            found = None
        if found:
            return found
        time.sleep(0.05)
    raise AssertionError("not within patience")


def ask(path: str) -> Any:
    with urllib.request.urlopen(f"http://{AGENT}:8500{path}", timeout=60) as answer:
        return json.load(answer)


@pytest.fixture(scope="module", autouse=True)
def agent(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    words = ["agent", "-dev", "-bind", AGENT, "-client", AGENT, "-node", "one"]
    log = (tmp_path_factory.mktemp("agent") / "log").open("wb")
    process = spawn([*PROGRAMS["ours"], *words], env=environment(AGENT), stdout=log, stderr=log)
    until(lambda: ask("/v1/catalog/nodes"))
    yield
    process.terminate()
    process.wait(PATIENCE_S)


@pytest.mark.parametrize("program", ["ours", pytest.param("real", marks=pytest.mark.peers)])
@pytest.mark.parametrize("limit", ["1", "2"])
def test_who_comes_late_waits_for_a_holder_of_either_program(tmp_path: Path, program: str, limit: str) -> None:
    prefix, go = f"wait/{program}{limit}", tmp_path / "go"
    child = f"touch {tmp_path}/held$$; while ! test -e {go}; do sleep 0.05; done"
    holders = [
        spawn([*PROGRAMS[program], "lock", "-n", limit, prefix, child], env=environment(AGENT))
        for _ in range(int(limit))
    ]
    until(lambda: len(list(tmp_path.glob("held*"))) == int(limit))
    late = ["lock", "-n", limit, "-timeout", "300ms", prefix, "echo mine"]
    refused = (1, "", "Shutdown triggered or timeout during lock acquisition\n")
    assert ours(AGENT, *late) == refused
    go.touch()
    assert [holder.wait(PATIENCE_S) for holder in holders] == [0] * int(limit)
    assert ours(AGENT, *late) == (0, "mine\n", "")
    assert ours(AGENT, "kv", "get", "-recurse", prefix) == (0, "", ""), "the last one tidies up"


@pytest.mark.peers
@pytest.mark.parametrize(
    "words",
    [
        "",
        "p",
        "-n 0 p true",
        "-n 3 p true",
        "-timeout=-1s p true",
        "-monitor-retry -1 p true",
        "-child-exit-code p exit 3",
        "p exit 3",
        "-shell=false p nosuchprogram",
        "-shell=false p echo a b",
        "-verbose p echo $CONSUL_LOCK_HELD",
        "-verbose -n 2 p true",
        "-pass-stdin -verbose p cat",
    ],
)
def test_same_texts_and_exit_codes_as_the_real_program(words: str) -> None:
    assert ours(AGENT, "lock", *words.split()) == theirs(AGENT, "lock", *words.split())


def test_a_lost_lock_ends_the_child(tmp_path: Path) -> None:
    command = [
        "lock",
        "-verbose",
        "lost",
        f"trap 'touch {tmp_path}/told; exit' TERM; touch {tmp_path}/held; sleep 30 & wait",
    ]
    holder = spawn([*PROGRAMS["ours"], *command], env=environment(AGENT), stdout=subprocess.PIPE, text=True)
    until((tmp_path / "held").exists)
    session = ask("/v1/kv/lost/.lock")[0]["Session"]
    assert ours(AGENT, "session", "destroy", session)[0] == 0
    output, _ = holder.communicate(timeout=PATIENCE_S)
    assert "Lock lost, killing child\n" in output
    assert (tmp_path / "told").exists()


def test_a_signal_ends_the_child_and_releases(tmp_path: Path) -> None:
    command = ["lock", "signalled", f"touch {tmp_path}/held; exec sleep 30"]
    holder = spawn([*PROGRAMS["ours"], *command], env=environment(AGENT))
    until((tmp_path / "held").exists)
    holder.send_signal(signal.SIGTERM)
    assert holder.wait(PATIENCE_S) == 0
    assert ours(AGENT, "kv", "get", "-recurse", "signalled") == (0, "", "")


def test_the_life_of_a_session() -> None:
    code, created, _ = ours(AGENT, "session", "create", "-name", "deploy", "-ttl", "30s", "-behavior", "delete")
    session = created.strip()
    assert code == 0
    _, shown, _ = ours(AGENT, "session", "info", "-format", "json", session)
    assert json.loads(shown) == ask(f"/v1/session/info/{session}")
    assert json.loads(shown)[0]["TTL"] == "30s"
    assert session in ours(AGENT, "session", "list")[1]
    assert session in ours(AGENT, "session", "node", "one")[1]
    assert session not in ours(AGENT, "session", "node", "two")[1]
    assert session in ours(AGENT, "session", "renew", session)[1]
    assert ours(AGENT, "session", "destroy", session) == (0, f"Success! Destroyed session: {session}\n", "")
    gone = (1, "", f"Error! No session exists with ID: {session}\n")
    assert ours(AGENT, "session", "info", session) == gone
    assert ours(AGENT, "session", "renew", session) == gone


def test_what_a_session_cannot_be() -> None:
    code, _, error = ours(AGENT, "session", "create", "-ttl", "1s")
    assert (code, error.startswith("Error creating session: ")) == (1, True)
    assert ours(AGENT, "session", "info")[2].startswith("Missing ID argument")
