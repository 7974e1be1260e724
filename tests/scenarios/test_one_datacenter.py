"""A real client and one of ours in one datacenter, with one or three real servers, or ours: nobody can tell them apart.

Not even when the leader of three dies.
"""

import base64
import contextlib
import json
import os
import re
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.scenarios.programs import Host, Program, ask, eventually, hosts, members

pytestmark = [pytest.mark.peers, pytest.mark.timeout(150)]

BLOCK = f"127.86.{os.getpid() % 250 + 1}"
#: Program and number of the servers: all clusters run side by side, since each waits for coordinates first.
CLUSTERS = ("consul-1", "consul-3", "consulpy-1")
FAST = "performance { raft_multiplier = 1 }"
#: A write through either client has to be back so soon after the leader was killed, in seconds.
RECOVERY_S = 15


class Cluster:
    """Servers of one program and a client of each; all addresses of those that run."""

    def __init__(self, host: Host, name: str) -> None:
        self.host = host
        program, _, size = name.partition("-")
        self.size = int(size)
        first = 50 * CLUSTERS.index(name)
        self.ours, self.theirs, *servers = (f"{BLOCK}.{first + number}" for number in range(1, 3 + self.size))
        self.clients = {"ours": self.ours, "theirs": self.theirs}
        self.everybody = [*servers, self.ours, self.theirs]
        joins = [word for address in servers for word in ("-retry-join", address)]
        self.servers: dict[str, Program] = {}
        for number, address in enumerate(servers, 1):
            flags = ["-server", "-bootstrap-expect", size, "-hcl", FAST, *joins]
            self.servers[address] = self._start(program, f"server{number}", address, *flags)
        for client, its_program in (("ours", "consulpy"), ("theirs", "consul")):
            self._start(its_program, client, self.clients[client], "-retry-interval", "1s", "-hcl", FAST, *joins)

    def wait(self) -> None:
        """Until every agent sees every node."""
        for address in self.everybody:
            path = f"{address}:8500/v1/catalog/nodes"
            eventually(lambda path=path: len(ask(path)) == len(self.everybody), f"{address} sees all")

    def _start(self, program: str, name: str, address: str, *flags: str) -> Program:
        place = ["-node", name, "-bind", address, "-client", address, "-data-dir", f"data-{name}"]
        return self.host.start(name, program, "agent", *place, *flags)

    def leader(self) -> str:
        """The leader's address, as a client sees it."""
        return str(eventually(lambda: ask(f"{self.theirs}:8500/v1/status/leader"), "there is a leader")).partition(":")[
            0
        ]

    def dig(self, address: str, name: str) -> list[str]:
        return sorted(self.host.output("dig", "+short", f"@{address}", "-p", "8600", name).split())


@pytest.fixture(scope="module")
def clusters(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Cluster]]:
    with hosts(tmp_path_factory.mktemp("datacenters"), *[None] * len(CLUSTERS)) as made:
        started = {name: Cluster(host, name) for name, host in zip(CLUSTERS, made, strict=True)}
        for each in started.values():
            each.wait()
        yield started


@pytest.fixture(params=CLUSTERS)
def cluster(request: pytest.FixtureRequest, clusters: dict[str, Cluster]) -> Cluster:
    return clusters[request.param]


def put(address: str, path: str, body: Any = b"") -> Any:
    return ask(f"{address}:8500/v1/{path}", "PUT", body if isinstance(body, bytes) else json.dumps(body).encode())


def test_services_of_each_client_are_found_everywhere(cluster: Cluster) -> None:
    for name, address in cluster.clients.items():
        put(address, "agent/service/register", {"Name": f"{name}-service", "ID": "s1", "Port": 80, "Tags": ["t"]})
    for asked in cluster.everybody:
        for name, address in cluster.clients.items():
            path = f"{asked}:8500/v1/health/service/{name}-service?passing&tag=t"
            eventually(lambda path=path: ask(path), f"{name}-service at {asked}")
            question = f"t.{name}-service.service.consul"  # followers may be behind the leader
            eventually(lambda a=asked, q=question, w=address: cluster.dig(a, q) == [w], f"{question} at {asked}")


def test_a_check_that_flips_is_seen_everywhere_within_seconds(cluster: Cluster) -> None:
    for name, address in cluster.clients.items():
        check = {"Name": "up", "TTL": "10m"}
        put(address, "agent/service/register", {"Name": f"{name}-checked", "Port": 81, "Check": check})
        for status, passing in (("pass", 1), ("fail", 0)):
            put(address, f"agent/check/{status}/service:{name}-checked")
            for asked in cluster.everybody:
                path = f"{asked}:8500/v1/health/service/{name}-checked?passing"
                eventually(lambda path=path, wanted=passing: len(ask(path)) == wanted, f"{status} at {asked}", 5)


def test_keys_sessions_locks_and_transactions(cluster: Cluster) -> None:
    for name, address in cluster.clients.items():
        assert put(address, f"kv/{name}", name.encode()) is True
        for asked in cluster.everybody:
            assert ask(f"{asked}:8500/v1/kv/{name}?raw") == name
    mine = put(cluster.ours, "session/create", {"TTL": "60s", "LockDelay": "1s"})["ID"]
    yours = put(cluster.theirs, "session/create", {"TTL": "60s", "LockDelay": "1s"})["ID"]
    assert put(cluster.ours, f"kv/lock?acquire={mine}", b"x") is True
    assert put(cluster.theirs, f"kv/lock?acquire={yours}", b"y") is False
    assert put(cluster.ours, f"session/destroy/{mine}") is True
    eventually(lambda: put(cluster.theirs, f"kv/lock?acquire={yours}", b"y"), "the lock's delay is over")
    value = base64.b64encode(b"z").decode()
    done = put(
        cluster.ours,
        "txn",
        [{"KV": {"Verb": "set", "Key": "txn", "Value": value}}, {"KV": {"Verb": "get", "Key": "lock"}}],
    )
    assert [each["KV"]["Key"] for each in done["Results"]] == ["txn", "lock"]


def test_prepared_queries_and_snapshots(cluster: Cluster) -> None:
    put(cluster.theirs, "agent/service/register", {"Name": "queried", "Port": 80})
    query = json.dumps({"Name": "q", "Service": {"Service": "queried"}}).encode()
    made = ask(f"{cluster.ours}:8500/v1/query", "POST", query)
    for asked in cluster.everybody:
        eventually(lambda asked=asked: ask(f"{asked}:8500/v1/query/q/execute")["Nodes"], "the query finds it")
        eventually(lambda asked=asked: cluster.dig(asked, "q.query.consul") == [cluster.theirs], "DNS finds it too")
    assert ask(f"{cluster.theirs}:8500/v1/query/{made['ID']}")[0]["Name"] == "q"
    for program in ("consul", "consulpy"):
        told = cluster.host.output(program, "snapshot", "save", f"-http-addr={cluster.ours}:8500", f"{program}.snap")
        assert "Saved and verified snapshot to index" in told


@pytest.mark.parametrize(("waits", "writes"), [("ours", "theirs"), ("theirs", "ours"), ("ours", "ours")])
def test_a_blocking_query_wakes_across_the_border(cluster: Cluster, waits: str, writes: str) -> None:
    reader, writer = cluster.clients[waits], cluster.clients[writes]
    put(writer, "kv/watched", b"before")
    index = ask(f"{reader}:8500/v1/kv/watched")[0]["ModifyIndex"]
    url = f"http://{reader}:8500/v1/kv/watched?raw&wait=30s&index={index}"
    waiting = cluster.host.start(f"watch-{waits}-{writes}", "curl", "-s", url)
    time.sleep(0.3)  # so that it waits when the write comes; without it the test is only easier
    put(writer, "kv/watched", b"after")
    assert waiting.wait(5) == 0
    assert waiting.output == "after"


def test_events_reach_everybody(cluster: Cluster) -> None:
    for name, address in cluster.clients.items():
        put(address, f"event/fire/from-{name}", b"x")
        for asked in cluster.everybody:
            path = f"{asked}:8500/v1/event/list?name=from-{name}"
            eventually(lambda path=path: ask(path), f"the event of {name} at {asked}")


def test_the_command_lines_agree_on_every_agent(cluster: Cluster) -> None:
    for words in ("members {}", "catalog nodes {}", "catalog services {}", "rtt {} ours theirs"):
        outputs = {}
        for asked in cluster.everybody:
            for program in ("consul", "consulpy") if asked in cluster.clients.values() else ("consul",):
                line = words.format(f"-http-addr={asked}:8500").split()
                told = eventually(lambda line=line, program=program: cluster.host.output(program, *line), words)
                outputs[program, asked] = _comparable(words, told)
        assert len(set(outputs.values())) == 1, outputs
    for asked in (cluster.ours, cluster.theirs):
        told = cluster.host.output("consul", "info", f"-http-addr={asked}:8500")
        assert re.search(rf"consul:\n\tacl = disabled\n\tknown_servers = {cluster.size}\n\tserver = false\n", told), (
            told
        )


def _comparable(words: str, told: str) -> str:
    """Output without what differs from agent to agent: the distance's digits, and how wide columns are."""
    if words.startswith("rtt"):
        return re.sub(r"\d+\.\d+ ms", "N ms", told)
    return re.sub(r" +", " ", told)


@pytest.mark.parametrize("cluster", ["consul-3"], indirect=True)
def test_the_leader_is_killed(cluster: Cluster) -> None:
    """Stale reads and DNS of our client never stop (the real one's do, for a moment); writes through both come back."""
    leader = cluster.leader()
    name = "ours-service"
    stale = f"{cluster.ours}:8500/v1/health/service/{name}?stale"
    for _ in range(3):  # what is asked again is copied
        assert cluster.dig(cluster.ours, f"{name}.service.consul") == [cluster.ours]
        assert ask(stale)
    cluster.servers[leader].kill()
    recovered: dict[str, float] = {}
    began_s = time.monotonic()
    while len(recovered) < 2 and time.monotonic() - began_s < RECOVERY_S:
        assert cluster.dig(cluster.ours, f"{name}.service.consul") == [cluster.ours]
        assert ask(stale)
        for client, address in cluster.clients.items():
            with contextlib.suppress(ValueError):
                if client not in recovered and put(address, f"kv/after-{client}", b"x"):
                    recovered[client] = time.monotonic() - began_s
    assert recovered.keys() == cluster.clients.keys(), f"writes did not come back within {RECOVERY_S} s: {recovered}"
    assert cluster.leader() != leader
    eventually(lambda: "failed" in members(f"{cluster.ours}:8500").values(), "the dead server has failed")
    mark = len((cluster.host.directory / "ours.log").read_text())
    time.sleep(5)
    late = (cluster.host.directory / "ours.log").read_text()[mark:]
    assert not [line for line in late.splitlines() if "[WARN]" in line or "[ERROR]" in line], late
