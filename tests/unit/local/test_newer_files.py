"""The data directory of a newer client agent: files named by SHA-256 (since 1.10.11), newer fields and kinds of checks.

Written after the public documentation of 1.16 and its field names: none of its agents ran here.
"""

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from twisted.logger import LogLevel, formatEvent, globalLogPublisher

from consulpy.errors import RPCError
from consulpy.local.definitions import service_from_body
from consulpy.local.persist.records import path_of
from tests.unit.local.test_persistence import CHECK, SERVICE, STATE, Agent

SERVICES, CHECKS, STATES = "services", "checks", "checks/state"


def newer_path(folder: str, key: str) -> str:
    return f"{folder}/{hashlib.sha256(key.encode()).hexdigest()}"


def write(root: Path, path: str, data: bytes) -> None:
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).write_bytes(data)


def take_over(root: Path, **service: Any) -> None:
    """A service with a TTL check and its state, as a newer agent leaves them."""
    stored = json.loads(SERVICE)
    stored["Service"] |= {"Partition": "default", "Namespace": "default", "PeerName": "", "Locality": None} | service
    write(root, newer_path(SERVICES, "s/1"), json.dumps(stored).encode())
    stored = json.loads(CHECK)
    stored["Check"] |= {"ExposedPort": 0, "Interval": "", "Timeout": "", "Partition": "default"}
    stored["ChkType"] |= {"H2PING": "", "H2PingUseTLS": True, "UDP": "", "OSService": "", "FailuresBeforeWarning": 0}
    write(root, newer_path(CHECKS, "ttl1"), json.dumps(stored).encode())
    write(root, newer_path(STATES, "ttl1"), STATE)


@contextmanager
def warnings_heard() -> Iterator[list[str]]:
    """The warnings that are logged meanwhile."""
    heard: list[str] = []

    def observe(event: Any) -> None:
        if event["log_level"] is LogLevel.warn:
            heard.append(formatEvent(event))

    globalLogPublisher.addObserver(observe)
    try:
        yield heard
    finally:
        globalLogPublisher.removeObserver(observe)


def files(root: Path) -> set[str]:
    return {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()}


def test_what_is_taken_over_has_one_file_under_our_name(tmp_path: Path) -> None:
    take_over(tmp_path)
    before = (tmp_path / newer_path(SERVICES, "s/1")).read_bytes()
    agent = Agent(tmp_path)
    agent.restore()
    assert set(agent.local.services) == {"s/1"}
    assert (agent.local.checks["ttl1"].status, agent.local.checks["ttl1"].output) == ("passing", "xx")
    assert files(tmp_path) == {path_of(SERVICES, "s/1"), path_of(CHECKS, "ttl1"), path_of(STATES, "ttl1")}
    assert (tmp_path / path_of(SERVICES, "s/1")).read_bytes() == before  # newer fields too, for the way back


def test_what_is_deregistered_then_stays_away(tmp_path: Path) -> None:
    take_over(tmp_path)
    agent = Agent(tmp_path)
    agent.restore()
    agent.local.deregister_service("s/1")
    assert files(tmp_path) == set()
    again = Agent(tmp_path)
    again.restore()
    assert (again.local.services, again.local.checks) == ({}, {})


def test_a_check_that_is_deregistered_then_stays_away(tmp_path: Path) -> None:
    take_over(tmp_path)
    agent = Agent(tmp_path)
    agent.restore()
    agent.local.deregister_check("ttl1")
    again = Agent(tmp_path)
    again.restore()
    assert (set(again.local.services), again.local.checks) == ({"s/1"}, {})


def test_what_is_changed_then_stays_changed(tmp_path: Path) -> None:
    take_over(tmp_path)
    agent = Agent(tmp_path)
    agent.restore()
    agent.local.register_service(service_from_body(b'{"ID":"s/1","Name":"web","Port":81}'))
    agent.local.update_ttl("ttl1", "warning", "new")
    again = Agent(tmp_path)
    again.restore()
    assert again.local.services["s/1"].port == 81
    assert again.local.checks["ttl1"].output == "new"


def test_the_file_of_our_name_counts_if_there_are_both(tmp_path: Path) -> None:
    agent = Agent(tmp_path)
    agent.register()
    agent.local.register_service(service_from_body(b'{"ID":"s/1","Name":"web","Port":81}'))
    take_over(tmp_path)
    again = Agent(tmp_path)
    again.restore()
    assert again.local.services["s/1"].port == 81
    assert newer_path(SERVICES, "s/1") not in files(tmp_path)


def test_a_newer_file_replaces_a_damaged_one_of_our_name(tmp_path: Path) -> None:
    take_over(tmp_path)
    write(tmp_path, path_of(SERVICES, "s/1"), b"{")
    agent = Agent(tmp_path)
    assert agent.restore().damaged == [path_of(SERVICES, "s/1")]
    assert set(agent.local.services) == {"s/1"}
    again = Agent(tmp_path)
    assert again.restore().damaged == []


def test_orphans_and_configured_services_leave_no_file(tmp_path: Path) -> None:
    take_over(tmp_path)
    (tmp_path / newer_path(SERVICES, "s/1")).unlink()
    agent = Agent(tmp_path)
    agent.restore()
    assert files(tmp_path) == set()
    take_over(tmp_path)
    agent = Agent(tmp_path)
    agent.local.configured_services.add("s/1")
    agent.local.configured_checks.add("ttl1")
    agent.restore()
    assert files(tmp_path) == set()


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"SocketPath": "/run/web.sock"}, "SocketPath (1.10)"),
        ({"Partition": "team"}, "Partition (1.11 Enterprise)"),
        ({"Proxy": {"Mode": "transparent", "Upstreams": [{"DestinationPeer": "p"}]}}, "Proxy.Mode (1.10), Proxy.Upst"),
        ({"Ports": [{"Name": "http", "Port": 80, "Default": True}]}, "Ports (1.22)"),
        ({}, ""),
    ],
)
def test_what_has_no_effect_here_is_named(tmp_path: Path, fields: dict[str, Any], named: str) -> None:
    take_over(tmp_path, **fields)
    with warnings_heard() as heard:
        Agent(tmp_path).restore()
    warned = [line.partition("without effect here: ")[2] for line in heard]
    assert [line[: len(named)] for line in warned] == ([named] if named else [])


@pytest.mark.parametrize(
    "fields",
    [
        {"H2PING": "127.0.0.1:1", "H2PingUseTLS": False, "Interval": 10**10},
        {"UDP": "127.0.0.1:1", "Interval": 10**10},
        {"TCP": "127.0.0.1:1", "TCPUseTLS": True, "TLSServerName": "x", "Interval": 10**10},
        {"OSService": "web.service", "Interval": 10**10},
        {"HTTP": "http://x/", "DisableRedirects": True, "FailuresBeforeWarning": 2, "Interval": 10**10},
    ],
)
def test_kinds_of_newer_checks_are_kept(tmp_path: Path, fields: dict[str, Any]) -> None:
    take_over(tmp_path)
    stored = json.loads((tmp_path / newer_path(CHECKS, "ttl1")).read_bytes())
    stored["ChkType"] |= {"TTL": 0} | fields
    write(tmp_path, newer_path(CHECKS, "ttl1"), json.dumps(stored).encode())
    agent = Agent(tmp_path)
    agent.restore()
    kind = agent.local.type_of("ttl1")
    assert kind is not None
    assert {name: value for name, value in kind.to_json().items() if name in fields} == fields


def test_a_check_of_an_unknown_kind_is_named_and_stays_critical(tmp_path: Path) -> None:
    take_over(tmp_path)
    stored = json.loads((tmp_path / newer_path(CHECKS, "ttl1")).read_bytes())
    stored["ChkType"] |= {"TTL": 0, "QUIC": "127.0.0.1:1", "Interval": 10**10}
    write(tmp_path, newer_path(CHECKS, "ttl1"), json.dumps(stored).encode())
    agent = Agent(tmp_path)
    agent.local.starter.start = refuse  # type: ignore[union-attr, assignment]
    with warnings_heard() as heard:
        agent.restore()
    assert [line for line in heard if "ttl1" in line] == ["check ttl1 is not run: no such type"]
    assert agent.local.checks["ttl1"].status == "critical"


def refuse(*_: Any) -> Any:
    raise RPCError("no such type")
