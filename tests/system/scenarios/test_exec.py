"""`exec` on consulpy and real agents alike, asked by either command line; refused unless it is switched on."""

import subprocess
from collections.abc import Iterator

import pytest

from tests.peers.programs import Host, environment, eventually, hosts, members

pytestmark = [pytest.mark.peers]

BLOCK = "127.82.1"
SERVER, THEIRS, DEAF = f"{BLOCK}.1", f"{BLOCK}.2", f"{BLOCK}.3"


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    """Our server and a real client, which run commands, and a client of ours that doesn't."""
    allowed = ["-hcl", "disable_remote_exec = false"]
    with hosts(tmp_path_factory.mktemp("exec"), None) as (running,):
        for name, program, address, flags in (
            ("ours", "consulpy", SERVER, ["-server", "-bootstrap-expect", "1", *allowed]),
            ("theirs", "consul", THEIRS, ["-retry-join", SERVER, "-retry-interval", "1s", *allowed]),
            ("deaf", "consulpy", DEAF, ["-retry-join", SERVER, "-retry-interval", "1s"]),
        ):
            place = ["-node", name, "-bind", address, "-client", address, "-data-dir", name]
            running.start(name, program, "agent", *place, *flags)
        alive = dict.fromkeys(("ours", "theirs", "deaf"), "alive")
        for address in (SERVER, THEIRS, DEAF):
            eventually(lambda address=address: members(f"{address}:8500") == alive, "all are alive")
        yield running


def run(program: str, *words: str, given: str | None = None) -> tuple[int, list[str]]:
    done = subprocess.run(
        [program, "exec", "-wait=1500ms", *words],
        env={**environment(), "CONSUL_HTTP_ADDR": f"{SERVER}:8500"},
        input=given,
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    return done.returncode, sorted((done.stdout + done.stderr).splitlines())


@pytest.mark.parametrize("program", ["consul", "consulpy"])
def test_a_command_runs_on_all_who_allow_it(host: Host, program: str) -> None:
    code, lines = run(program, "echo hello; echo more")
    assert code == 0
    assert [line for line in lines if "hello" in line] == ["    ours: hello", "    theirs: hello"]
    assert [line for line in lines if "more" in line] == ["    ours: more", "    theirs: more"]
    assert [line for line in lines if line.startswith("==>")] == [
        "==> ours: finished with exit code 0",
        "==> theirs: finished with exit code 0",
    ]
    assert "2 / 2 node(s) completed / acknowledged" in lines


@pytest.mark.parametrize("program", ["consul", "consulpy"])
def test_a_failure_and_a_filter_and_a_script(host: Host, program: str) -> None:
    code, lines = run(program, "-node=ours", "-", given="#!/bin/sh\necho from a script >&2\nexit 3\n")
    assert code == 2
    assert "    ours: from a script" in lines
    assert "==> ours: finished with exit code 3" in lines
    assert "1 / 1 node(s) completed / acknowledged" in lines


def test_both_command_lines_say_the_same(host: Host) -> None:
    for words in (["-node=ours", "echo x"], ["-node=nobody", "true"], ["-shell=false", "-node=theirs", "echo", "a b"]):
        assert run("consulpy", *words) == run("consul", *words)
    for words in (["-tag=x", "y"], ["-service=x", "-tag=[", "y"], ["-node=(", "y"]):
        code, lines = run("consulpy", *words)
        assert (code, lines) == run("consul", *words)
        assert code == 1
    assert run("consulpy")[0] == run("consul")[0] == 1


def test_much_output_arrives_whole(host: Host) -> None:
    code, lines = run("consulpy", "-node=ours", "seq 1 3000")
    assert code == 0
    text = "".join(line.removeprefix("    ours:") for line in lines if line.startswith("    ours:"))
    assert len(text.replace(" ", "")) == len("".join(map(str, range(1, 3001))))


def test_too_much_output_ends_with_a_word_about_it(host: Host) -> None:
    code, lines = run("consulpy", "-node=ours", "head -c 1100000 /dev/zero | tr '\\0' x")
    assert code == 0
    assert "    ours: (more than 1048576 bytes: the rest is not passed on)" in lines
    assert sum(line.count("x") for line in lines if line.startswith("    ours: x")) == 1048576
