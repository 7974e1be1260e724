"""Moving over one node at a time: a real server, three real clients, each replaced by consulpy in its own place.

The same data directory, node name, node id and address; a look-up of a service with two instances never finds none.
"""

import json
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.peers.programs import Host, Program, ask, eventually, hosts, members

pytestmark = [pytest.mark.peers]

BLOCK = "127.87.1"
SERVER = f"{BLOCK}.1"
CLIENTS = {f"client{number}": f"{BLOCK}.{10 + number}" for number in (1, 2, 3)}
KEY = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
FAST = "performance { raft_multiplier = 1 }"


def start(host: Host, program: str, name: str, address: str, *flags: str) -> Program:
    place = ["-node", name, "-bind", address, "-client", address, "-data-dir", f"data-{name}"]
    return host.start(f"{name}-{program}", program, "agent", *place, "-hcl", FAST, *flags)


#: As in a unit file: only the program's name changes in a move.
FLAGS = ("-encrypt", KEY, "-retry-join", SERVER, "-retry-interval", "1s")


def client(host: Host, program: str, name: str, *flags: str) -> Program:
    return start(host, program, name, CLIENTS[name], *flags)


class Watcher(threading.Thread):
    """Asks for `web` all the time, by HTTP and DNS, and notes each answer that found nothing."""

    def __init__(self, host: Host) -> None:
        super().__init__(daemon=True)
        self.host = host
        self.asked = 0
        self.empty: list[tuple[float, str]] = []
        self.ended = threading.Event()

    def run(self) -> None:
        while not self.ended.is_set():
            if not ask(f"{SERVER}:8500/v1/health/service/web?passing"):
                self.empty.append((time.monotonic(), "HTTP"))
            if not self.host.output("dig", "+short", f"@{SERVER}", "-p", "8600", "web.service.consul").split():
                self.empty.append((time.monotonic(), "DNS"))
            self.asked += 1
            time.sleep(0.05)


@pytest.fixture
def host(tmp_path: Any) -> Iterator[Host]:
    with hosts(tmp_path, None) as (made,):
        yield made


def register(address: str, body: dict[str, Any]) -> None:
    ask(f"{address}:8500/v1/agent/service/register", "PUT", json.dumps(body).encode())


def own_checks_pass(address: str) -> bool:
    """Whether the agent there has checks, and finds all of them passing."""
    checks = ask(f"{address}:8500/v1/agent/checks")
    return bool(checks) and all(each["Status"] == "passing" for each in checks.values())


def catalog() -> dict[str, Any]:
    """What the server knows of the clients: ids, services, and the state of their checks."""
    found = {}
    for name, address in CLIENTS.items():
        node = ask(f"{SERVER}:8500/v1/catalog/node/{name}")
        if node is None:  # alive already, but the leader has not written it down yet
            continue
        checks = ask(f"{SERVER}:8500/v1/health/node/{name}")
        found[name] = (
            node["Node"]["ID"],
            node["Node"]["Address"] == address,
            {each["ID"]: (each["Port"], each["Tags"], each["Meta"]) for each in node["Services"].values()},
            {each["CheckID"]: each["Status"] for each in checks},
        )
    return found


def test_three_clients_are_replaced_one_by_one(host: Host) -> None:
    start(host, "consul", "server", SERVER, "-server", "-bootstrap-expect", "1", "-encrypt", KEY)
    running = {name: client(host, "consul", name, *FLAGS) for name in CLIENTS}
    eventually(lambda: len(ask(f"{SERVER}:8500/v1/catalog/nodes")) == 4, "all real agents are in the catalog")
    for name in ("client1", "client2"):
        body = {"Name": "web", "ID": f"web-{name}", "Port": 80, "Tags": ["a"], "Meta": {"on": name}}
        register(CLIENTS[name], {**body, "Check": {"Name": "tcp", "TCP": f"{SERVER}:8500", "Interval": "1s"}})
    register(CLIENTS["client3"], {"Name": "db", "Port": 5432, "Check": {"Name": "ttl", "TTL": "10m"}})
    ask(f"{CLIENTS['client3']}:8500/v1/agent/check/pass/service:db", "PUT")
    eventually(lambda: len(ask(f"{SERVER}:8500/v1/health/service/web?passing")) == 2, "both instances pass")
    eventually(lambda: ask(f"{SERVER}:8500/v1/health/service/db?passing"), "the other service passes")
    before = catalog()

    watcher = Watcher(host)
    watcher.start()
    for name, address in CLIENTS.items():
        running[name].terminate()  # a client leaves on it, as on any restart of its unit
        eventually(lambda name=name: members(f"{SERVER}:8500")[name] == "left", f"{name} has left")
        client(host, "consulpy", name, *FLAGS)
        eventually(lambda name=name: members(f"{SERVER}:8500")[name] == "alive", f"{name} is back as consulpy")
        # A real client that leaves may register itself once more after the server removed it, its check passing: the
        # catalog's answer is the new agent's own only when that has run its checks.
        eventually(lambda address=address: own_checks_pass(address), f"{name} has run its checks itself")
        eventually(
            lambda name=name: catalog().get(name) == before[name], f"{name} has its id, services and checks again"
        )
        assert "consulpy" in host.output("consulpy", "version")
        eventually(lambda address=address: len(ask(f"{address}:8500/v1/agent/members")) == 4, "it knows everybody")
    watcher.ended.set()
    watcher.join(10)

    assert watcher.asked > 20
    assert watcher.empty == []
    for name, address in CLIENTS.items():
        log = (host.directory / f"{name}-consulpy.log").read_text()
        assert "[ERROR]" not in log, log
        assert ask(f"{address}:8500/v1/agent/self")["Config"]["NodeID"] == before[name][0]


def test_a_crashed_client_is_replaced_too(host: Host) -> None:
    """No leave, and no flag for key or join: consulpy comes back by the dead agent's keyring file and snapshot."""
    start(host, "consul", "server", SERVER, "-server", "-bootstrap-expect", "1", "-encrypt", KEY)
    real = client(host, "consul", "client1", *FLAGS)
    eventually(lambda: len(ask(f"{SERVER}:8500/v1/catalog/nodes")) == 2, "both are in the catalog")
    register(CLIENTS["client1"], {"Name": "web", "Port": 80})
    ask(f"{CLIENTS['client1']}:8500/v1/agent/maintenance?enable=true&reason=moving", "PUT")
    eventually(lambda: ask(f"{SERVER}:8500/v1/health/node/client1")[1:], "the maintenance is in the catalog")
    node_id = ask(f"{CLIENTS['client1']}:8500/v1/agent/self")["Config"]["NodeID"]
    real.kill()
    client(host, "consulpy", "client1")
    eventually(lambda: ask(f"{CLIENTS['client1']}:8500/v1/agent/services")["web"]["Port"] == 80, "its service is there")
    assert ask(f"{CLIENTS['client1']}:8500/v1/agent/self")["Config"]["NodeID"] == node_id
    checks = {each["CheckID"]: each["Status"] for each in ask(f"{SERVER}:8500/v1/health/node/client1")}
    assert checks["_node_maintenance"] == "critical"
    eventually(lambda: members(f"{SERVER}:8500")["client1"] == "alive", "alive again")
