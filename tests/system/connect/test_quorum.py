"""A quorum of both programs with Connect: every server compiles the same chains, and refuses the same entries."""

import json
import random
from collections.abc import Iterator
from typing import Any

import pytest

from tests.harness.random_entries import KINDS, Entries
from tests.peers.programs import Host, ask, eventually, hosts

pytestmark = [pytest.mark.peers]

ADDRESSES = {"consul": "127.86.7.1", "consulpy-1": "127.86.7.2", "consulpy-2": "127.86.7.3"}
WRITES = 150


@pytest.fixture(scope="module")
def quorum(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    """One real server, two of ours."""
    with hosts(tmp_path_factory.mktemp("quorum"), None) as (host,):
        for name, address in ADDRESSES.items():
            config = {
                "node_name": name,
                "bind_addr": address,
                "client_addr": address,
                "data_dir": f"data-{name}",
                "server": True,
                "bootstrap_expect": 3,
                "retry_join": list(ADDRESSES.values()),
                "retry_interval": "1s",
                "performance": {"raft_multiplier": 1},
                "connect": {"enabled": True},
            }
            (host.directory / f"{name}.json").write_text(json.dumps(config))
            host.start(name, name.partition("-")[0], "agent", "-config-file", f"{name}.json")
        for address in ADDRESSES.values():
            eventually(lambda at=address: ask(f"{at}:8500/v1/connect/ca/roots")["TrustDomain"], "a CA everywhere")
        yield host


def write(address: str, method: str, path: str, body: Any = None) -> str:
    """The error, or ""."""
    try:
        ask(f"{address}:8500{path}", method, json.dumps(body).encode() if body is not None else None)
    except ValueError as error:
        return str(error)
    return ""


def state(address: str) -> Any:
    """What one server itself knows: all entries, and the chains of all services."""
    entries = [ask(f"{address}:8500/v1/config/{kind}?stale") for kind in (*KINDS, "proxy-defaults")]
    chains = []
    for name in ("a", "b", "c", "d"):
        try:
            chains.append(ask(f"{address}:8500/v1/discovery-chain/{name}?stale"))
        except ValueError as error:
            chains.append("error" if "500" in str(error) else str(error))
    return entries, chains


def test_all_servers_hold_the_same(quorum: Host) -> None:
    """Random entries through random servers: what is refused is refused by each of them when it applies it."""
    entries, choose, refused = Entries(5), random.Random(5), 0
    for _ in range(WRITES):
        address = choose.choice(list(ADDRESSES.values()))
        if choose.random() < 0.2:
            error = write(address, "DELETE", f"/v1/config/{choose.choice(KINDS)}/{entries.name()}")
        else:
            error = write(address, "PUT", "/v1/config", entries.entry())
        refused += bool(error)
    assert WRITES / 20 < refused < WRITES / 2

    def agree() -> bool:
        first, *others = [state(address) for address in ADDRESSES.values()]
        assert any(first[0])
        return all(other == first for other in others)

    eventually(agree, "all servers hold the same entries and chains")


def test_what_ends_a_real_server_is_not_proposed(quorum: Host) -> None:
    """A null in proxy-defaults is refused by our servers, whoever leads: a real leader would propose it and end."""
    for config in ({"a": None}, {"a": [1, {"b": None}]}, {"a": {"b": [None]}}):
        body = {"Kind": "proxy-defaults", "Name": "global", "Config": config}
        for name in ("consulpy-1", "consulpy-2"):
            assert "null" in write(ADDRESSES[name], "PUT", "/v1/config", body)
    for address in ADDRESSES.values():
        assert ask(f"{address}:8500/v1/status/leader")
