"""A cluster with a failed node and services in every state, and a browser."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.peers.pair import OURS, REAL, SERVER
from tests.peers.programs import ROOT, Host, ask, eventually, members

if TYPE_CHECKING:
    from playwright.sync_api import Browser

    from tests.peers.browser import Visitor


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests with a browser are long: a view costs as much as a hundred other tests."""
    for item in items:
        if "browser" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.long)


#: Seconds for a cluster to come up; on a machine that runs other tests too.
START_S = 120.0
PAGE = ROOT / "consulpy" / "ui" / "static"


@dataclass
class Cluster:
    """A server `s1` and clients; `c3` has failed. `http`: address of the server's API."""

    host: Host
    http: str
    is_real: bool

    def send(self, path: str, body: Any = None, method: str = "PUT", at: str = "") -> Any:
        data = body if isinstance(body, bytes) else None if body is None else json.dumps(body).encode()
        return ask(f"{at or self.http}{path}", method, data)


def _start(host: Host, program: list[str], name: str, address: str, *flags: str) -> None:
    host.start(name, *program, "agent", "-node", name, "-bind", address, "-client", address, "-data-dir",
               str(host.directory / name), *flags)  # fmt: skip


def services(cluster: Cluster, client: str) -> None:
    """Services of the node `c1`, one of each state."""
    for body in (
        {
            "ID": "web-1",
            "Name": "web",
            "Port": 8080,
            "Tags": ["v1", "http"],
            "Meta": {"owner": "https://wiki.example/"},
        },
        {"ID": "web-2", "Name": "web", "Port": 8081, "Tags": ["v2"], "Check": {"TTL": "60m", "Status": "warning"}},
        {
            "ID": "checkout-1",
            "Name": "checkout",
            "Port": 9000,
            "Check": {"TTL": "60m", "Name": "HTTP on checkout", "Status": "passing"},
        },
    ):
        cluster.send("/v1/agent/service/register", body, at=client)
    cluster.send(
        "/v1/agent/check/update/service:checkout-1",
        {"Status": "critical", "Output": "connection refused\nline 2"},
        at=client,
    )


def content(cluster: Cluster) -> None:
    """Keys, an intention, a query, a session, an event."""
    for key, value in {
        "config/app/db": b'{"host": "db", "port": 5432}',
        "config/flag": b"\x00\xff\x01",
        "motd": b"hello\n",
    }.items():
        cluster.send(f"/v1/kv/{key}", value)
    cluster.send("/v1/connect/intentions", {"SourceName": "web", "DestinationName": "db", "Action": "allow"}, "POST")
    cluster.send("/v1/query", {"Name": "nearest-web", "Service": {"Service": "web"}}, "POST")
    cluster.send("/v1/session/create", {"Name": "leader-of-web"})
    cluster.send("/v1/event/fire/deploy", b"web v2")


@contextmanager
def make_cluster(directory: Path, net: str, is_real: bool, clients: int = 3) -> Iterator[Cluster]:
    """`net`: the first two numbers of the agents' addresses."""
    host = Host(directory)
    program = REAL if is_real else OURS
    page = ("-ui-dir", str(PAGE)) if is_real else ("-ui",)
    cluster = Cluster(host, f"{net}.0.1:8500", is_real)
    try:
        _start(host, program, "s1", f"{net}.0.1", *SERVER, *page)
        names = [f"c{number}" for number in range(1, clients + 1)]
        for number, name in enumerate(names, 1):
            _start(host, program, name, f"{net}.1.{number}", "-retry-join", f"{net}.0.1", "-retry-interval", "1s")
        eventually(
            lambda: len(ask(f"{cluster.http}/v1/catalog/nodes")) == clients + 1, "all are in the catalog", START_S
        )
        if "c3" in names:
            host.programs[3].kill()
        if names:
            services(cluster, f"{net}.1.1:8500")
        content(cluster)
        if "c3" in names:
            eventually(lambda: members(cluster.http)["c3"] == "failed", "c3 has failed", START_S)
        if names:
            wanted = "/v1/health/state/critical"
            eventually(
                lambda: any(each["ServiceName"] == "checkout" for each in ask(cluster.http + wanted)), "checks", START_S
            )
        yield cluster
    finally:
        host.close()


@pytest.fixture(scope="module")
def browser() -> "Iterator[Browser]":
    """Not for longer than a module: while it is there, tests with an asyncio loop of their own can't run."""
    from tests.peers.browser import AXE, CHROMIUM, chromium

    if not Path(CHROMIUM).exists() or not AXE.exists():
        pytest.skip("Chromium or axe-core is not installed: run tests/peers/tools")
    with chromium() as found:
        yield found


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """Ours, unless the module says `REAL_TOO` and asks for the real one."""
    is_real = getattr(request, "param", "consulpy") == "consul"
    with make_cluster(tmp_path_factory.mktemp("page"), "127.71", is_real) as found:
        yield found


@pytest.fixture(scope="module")
def visitor_of_module(browser: "Browser", cluster: Cluster) -> "Iterator[Visitor]":
    """One tab for all tests of a module: a new one costs more than most tests."""
    from tests.peers.browser import visitor

    with visitor(browser, cluster.http) as found:
        yield found


@pytest.fixture
def see(visitor_of_module: "Visitor") -> "Iterator[Visitor]":
    """Somebody who looks at the cluster's page."""
    visitor_of_module.begin()
    yield visitor_of_module
    visitor_of_module.end()
