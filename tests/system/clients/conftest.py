"""A consulpy server and a consulpy client agent that all tests of foreign programs share; those programs."""

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.peers.programs import Host, eventually, hosts, members

SERVER, CLIENT = "127.78.0.1", "127.78.0.2"
#: Where tests/peers/tools puts the programs.
TOOLS = Path(os.environ.get("CONSULPY_TOOLS", "/usr/local/lib/consulpy-peers"))


def tool(name: str) -> str:
    """The path of a program of tests/peers/tools; the test is skipped without it."""
    found = TOOLS / "bin" / name
    if not found.exists():
        pytest.skip(f"{name} is not installed: run tests/peers/tools")
    return str(found)


def npm_modules() -> Path:
    """Where the npm packages of tests/peers/tools are; the test is skipped without them or without node."""
    found = TOOLS / "npm" / "node_modules"
    if not found.exists() or shutil.which("node") is None:
        pytest.skip("node with the package consul is not installed: run tests/peers/tools")
    return found


def python_program(name: str) -> str:
    """The path of a program of the Python packages of tests/peers/tools; the test is skipped without them."""
    found = TOOLS / "python" / "bin" / name
    if not found.exists():
        pytest.skip(f"{name} with python-consul is not installed: run tests/peers/tools")
    return str(found)


@dataclass(frozen=True)
class Agents:
    """A datacenter of two agents. `server` and `client`: host:port of their HTTP; `dns`: address of the server's."""

    server: str
    client: str
    dns: tuple[str, int]


@pytest.fixture(scope="session")
def agents(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Agents]:
    """The two agents, joined."""
    with hosts(tmp_path_factory.mktemp("clients"), None) as (host,):
        start(host, "tools-server", SERVER, "-server", "-bootstrap-expect", "1")
        start(host, "tools-client", CLIENT, "-retry-join", SERVER, "-retry-interval", "1s")
        both = {"tools-server": "alive", "tools-client": "alive"}
        for address in (SERVER, CLIENT):
            eventually(lambda address=address: members(f"{address}:8500") == both, f"{address} sees both")
        yield Agents(f"{SERVER}:8500", f"{CLIENT}:8500", (SERVER, 8600))


def start(host: Host, name: str, address: str, *flags: str) -> None:
    """Start an agent that has its address for itself, on the usual ports."""
    common = ["-node", name, "-bind", address, "-client", address, "-data-dir", str(host.directory / name)]
    host.start(name, "consulpy", "agent", *common, *flags)


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    """A place for a foreign program; it ends with the test."""
    with hosts(tmp_path, None) as (only,):
        yield only
