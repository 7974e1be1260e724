"""`consulpy watch` beside the real `consul watch`, both at the same real server."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.peers.cli import PATIENCE_S, RealAgent, environment, ours, theirs
from tests.peers.process import spawn

pytestmark = pytest.mark.peers

SERVER = "127.75.1.2"


@pytest.fixture(scope="module", autouse=True)
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with RealAgent(SERVER, tmp_path_factory.mktemp("real")):
        for key in ("w/a", "w/b"):
            assert ours(SERVER, "kv", "put", key, "1")[0] == 0
        assert ours(SERVER, "event", "-name", "deploy", "now")[0] == 0
        yield


@pytest.mark.parametrize(
    "words",
    [
        "-type key",
        "-type key -key w/a",
        "-type key -key nothing",
        "-type key -key w/a -prefix w",
        "-type keyprefix",
        "-type keyprefix -prefix w/",
        "-type keyprefix -prefix nothing/",
        "-type services",
        "-type service",
        "-type service -service nobody",
        "-type service -service consul -passingonly x",
        "-type service -service consul",
        "-type checks",
        "-type checks -service consul",
        "-type checks -service a -state b",
        "-type event",
        "-type event -name nothing",
        "-type connect_roots",
        "-type connect_leaf",
        "-type agent_service",
        "-type what",
    ],
)
def test_same_results_and_errors(words: str) -> None:
    assert ours(SERVER, "watch", *words.split()) == theirs(SERVER, "watch", *words.split())


@pytest.mark.parametrize("program", [["consul"], [sys.executable, "-m", "consulpy"]], ids=["real", "ours"])
@pytest.mark.parametrize("words", ["-type key -key {0}/x", "-type keyprefix -prefix {0}/"], ids=["key", "keyprefix"])
def test_a_script_is_run_for_each_change_and_for_nothing_else(tmp_path: Path, program: list[str], words: str) -> None:
    prefix = f"t/{tmp_path.name}"
    script = f'(cat; echo) >> {tmp_path}/new; test "$CONSUL_INDEX" -gt 0 && echo run >> {tmp_path}/runs'
    command = [*program, "watch", *words.format(prefix).split(), script]
    watching = spawn(command, env=environment(SERVER))
    try:
        _runs(tmp_path, 1)
        assert ours(SERVER, "kv", "put", f"{prefix}/x", "1")[0] == 0
        _runs(tmp_path, 2)
        assert ours(SERVER, "kv", "put", "elsewhere", "1")[0] == 0
        assert ours(SERVER, "kv", "put", f"{prefix}/x", "2")[0] == 0
        _runs(tmp_path, 3)
    finally:
        watching.terminate()
        watching.wait(PATIENCE_S)
    seen = (tmp_path / "new").read_text().splitlines()
    assert seen[0] == "null"
    assert ['"MQ=="' in line for line in seen if line] == [False, True, False]


@pytest.mark.parametrize("program", [["consul"], [sys.executable, "-m", "consulpy"]], ids=["real", "ours"])
def test_a_handler_gets_each_event_once(tmp_path: Path, program: list[str]) -> None:
    name = tmp_path.name
    watching = spawn(
        [*program, "watch", "-type", "event", "-name", name, f"cat >> {tmp_path}/runs"], env=environment(SERVER)
    )
    try:
        for count in range(1, 5):
            _runs(tmp_path, count)
            assert ours(SERVER, "event", "-name", name, str(count))[0] == 0
        _runs(tmp_path, 5)
    finally:
        watching.terminate()
        watching.wait(PATIENCE_S)
    got = [json.loads(line) for line in (tmp_path / "runs").read_text().splitlines()]
    assert [[event["Payload"] for event in events] for events in got] == [[], ["MQ=="], ["Mg=="], ["Mw=="], ["NA=="]]


@pytest.mark.parametrize("program", [["consul"], [sys.executable, "-m", "consulpy"]], ids=["real", "ours"])
def test_a_handler_gets_one_line(tmp_path: Path, program: list[str]) -> None:
    """A shell's `read` fails without the line's end."""
    assert ours(SERVER, "kv", "put", "w/line", "\u00fc")[0] == 0
    script = f'read -r line && echo "$line" > {tmp_path}/line; exit 3'
    command = [*program, "watch", "-type", "keyprefix", "-prefix", "w/line", script]
    subprocess.run(command, env=environment(SERVER), capture_output=True, timeout=PATIENCE_S, check=False)
    line = (tmp_path / "line").read_text()
    assert line.startswith('[{"Key":"w/line","CreateIndex":')
    assert line.endswith(',"LockIndex":0,"Flags":0,"Value":"w7w=","Session":""}]\n')


@pytest.mark.parametrize("program", [["consul"], [sys.executable, "-m", "consulpy"]], ids=["real", "ours"])
@pytest.mark.parametrize(
    ("script", "status"), [("exit 7", "exit status 7"), ("kill -9 $$", "signal: "), ("nonesuch", "exit status 127")]
)
def test_a_handler_that_fails_ends_the_watch(program: list[str], script: str, status: str) -> None:
    command = [*program, "watch", "-type", "key", "-key", "w/a", script]
    ended = subprocess.run(
        command, env=environment(SERVER), capture_output=True, text=True, timeout=PATIENCE_S, check=False
    )
    assert ended.returncode == 1
    assert f"Error executing handler: {status}" in ended.stderr


@pytest.mark.parametrize("program", [["consul"], [sys.executable, "-m", "consulpy"]], ids=["real", "ours"])
@pytest.mark.parametrize("handler", [[], ["true"]], ids=["once", "handler"])
def test_a_watch_does_not_begin_without_an_agent(program: list[str], handler: list[str]) -> None:
    command = [*program, "watch", "-type", "nodes", *handler]
    asked = environment(SERVER) | {"CONSUL_HTTP_ADDR": f"{SERVER}:1"}
    ended = subprocess.run(command, env=asked, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    assert ended.returncode == 1
    assert ended.stderr.startswith('Error querying Consul agent: Get "http://')


def _runs(tmp_path: Path, count: int) -> None:
    """Wait for the run number `count`."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        if (tmp_path / "runs").exists() and len((tmp_path / "runs").read_text().splitlines()) >= count:
            return
        time.sleep(0.05)
    raise AssertionError(f"no run number {count}")
