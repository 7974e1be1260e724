"""What a user gets for a mistake: one line that names it, exit status 1, and nothing lost."""

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.effort import FULL
from tests.peers.programs import Host, ask, eventually, hosts, members

OURS = "127.41.0.1"


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    with hosts(tmp_path, None) as (only,):
        yield only


MISTAKES = {
    "unknown flag": (["-bnd", OURS], ["-bnd", "-bind"]),
    "bind address not here": (["-bind", "203.0.113.9"], ["203.0.113.9"]),
    "bind address no address": (["-bind", "nonsense!"], ["-bind", "nonsense!"]),
    "no data directory": (["-bind", OURS], ["data"]),
    "several servers": (["-server", "-bootstrap-expect", "-3", "-bind", OURS], ["bootstrap_expect"]),
    "encryption key": (["-bind", OURS, "-encrypt", "short"], ["encrypt"]),
    "port": (["-bind", OURS, "-http-port", "99999"], ["99999"]),
    "node name": (["-bind", OURS, "-node", "x" * 200], ["node"]),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_wrong_flag_costs_one_line(host: Host, mistake: str) -> None:
    flags, words = MISTAKES[mistake]
    data = [] if mistake == "no data directory" else ["-data-dir", "data"]
    ways = [["consulpy", "agent"], ["twistd", "-n", "--pidfile=", "consulpy"]]
    for command in ways if FULL or mistake in ("unknown flag", "port") else ways[:1]:
        done = host.run(*command, *data, *flags, check=False)
        said = (done.stdout + done.stderr).strip()
        assert done.returncode == 1, said
        assert "Traceback" not in said
        if command[0] == "consulpy":
            assert len(said.splitlines()) == 1, said
        for word in words:
            assert word in said


def agent(host: Host, name: str, *flags: str, data: str = "data", bind: str = OURS) -> list[str]:
    return ["consulpy", "agent", "-node", name, "-bind", bind, "-client", bind, "-data-dir", data, *flags]


def test_an_address_in_use_is_named(host: Host) -> None:
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind((OURS, 8500))
        taken.listen()
        done = host.run(*agent(host, "a"), check=False)
    assert done.returncode == 1
    assert f"{OURS}:8500" in done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr


def test_a_data_directory_serves_one_agent(host: Host) -> None:
    first = host.start("first", *agent(host, "a", "-server", "-bootstrap-expect", "1"))
    eventually(lambda: members(f"{OURS}:8500") == {"a": "alive"}, "the first is up")
    done = host.run(*agent(host, "b", "-server", "-bootstrap-expect", "1", bind="127.41.0.2"), check=False)
    said = done.stdout + done.stderr
    assert done.returncode == 1, said
    assert "data" in said
    assert "Traceback" not in said
    first.interrupt()


def test_a_data_directory_that_is_a_file(host: Host) -> None:
    (host.directory / "data").write_text("no directory")
    done = host.run(*agent(host, "a"), check=False)
    assert done.returncode == 1
    assert "data" in done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr


def test_broken_files_are_kept_aside(host: Host) -> None:
    """A database and a snapshot that are no such thing: the agent starts, says so, and deletes nothing."""
    first = host.start("a", *agent(host, "a", "-server", "-bootstrap-expect", "1"))
    eventually(lambda: ask(f"{OURS}:8500/v1/status/leader"), "it leads")
    first.interrupt()
    data = host.directory / "data"
    broken = [path for path in data.rglob("*") if path.is_file() and path.suffix in (".db", ".snapshot", ".sqlite")]
    assert broken, f"there is a database and a snapshot among {sorted(data.rglob('*'))}"
    for path in broken:
        path.write_bytes(os.urandom(4096))
    again = host.start("b", *agent(host, "a", "-server", "-bootstrap-expect", "1"))
    eventually(lambda: ask(f"{OURS}:8500/v1/status/leader"), "it leads again")
    sizes = [path.stat().st_size for path in data.rglob("*") if path.is_file()]
    assert sizes.count(4096) >= len(broken), "the broken files are still there"
    assert again.interrupt() == 0 or "Traceback" not in again.output
