"""Real clients and ours in one datacenter, with one or three real servers, or ours: nobody can tell them apart.

Not even when the leader of three dies.
"""

import base64
import contextlib
import json
import re
import time
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest

from tests.peers.programs import Host, Program, ask, eventually, hosts, logged_warnings, members

pytestmark = [pytest.mark.peers]

BLOCK = "127.86.1"
#: Program and number of the servers: all clusters run side by side, since each waits for coordinates first.
CLUSTERS = ("consul-1", "consul-3", "consulpy-1")
FAST = "performance { raft_multiplier = 1 }"
#: A write through either client has to be back so soon after the leader was killed, in seconds.
RECOVERY_S = 15


class Cluster:
    """Servers of one program and two clients of each; all addresses of those that run.

    What starts somewhere starts at one of each kind, `kinds`, in turn; what is to be seen is asked of `everybody`.
    """

    def __init__(self, host: Host, name: str) -> None:
        self.host = host
        program, _, size = name.partition("-")
        self.size = int(size)
        first = 50 * CLUSTERS.index(name)
        addresses = [f"{BLOCK}.{first + number}" for number in range(1, 5 + self.size)]
        self.ours, self.theirs, second_of_ours, second_of_theirs, *servers = addresses
        self.clients = {"ours": self.ours, "theirs": self.theirs}
        self.kinds = {**self.clients, "server1": servers[0]}
        self.everybody = addresses
        joins = [word for address in servers for word in ("-retry-join", address)]
        self.servers: dict[str, Program] = {}
        for number, address in enumerate(servers, 1):
            flags = ["-server", "-bootstrap-expect", size, "-hcl", FAST, *joins]
            self.servers[address] = self._start(program, f"server{number}", address, *flags)
        for client, its_program, address in (
            ("ours", "consulpy", self.ours),
            ("theirs", "consul", self.theirs),
            ("ours2", "consulpy", second_of_ours),
            ("theirs2", "consul", second_of_theirs),
        ):
            self._start(its_program, client, address, "-retry-interval", "1s", "-hcl", FAST, *joins)

    def wait(self) -> None:
        """Until every agent sees every node; what they log until then depends on who was up first."""
        for address in self.everybody:
            path = f"{address}:8500/v1/catalog/nodes"
            eventually(lambda path=path: len(ask(path)) == len(self.everybody), f"{address} sees all")
        self.settled = {program.log.stem: len(program.output) for program in self.host.programs}

    def logged(self, name: str) -> str:
        """What this agent logged since."""
        return (self.host.directory / f"{name}.log").read_text()[self.settled[name] :]

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


def test_services_of_each_kind_of_agent_are_found_everywhere(cluster: Cluster) -> None:
    for name, address in cluster.kinds.items():
        put(address, "agent/service/register", {"Name": f"{name}-service", "ID": "s1", "Port": 80, "Tags": ["t"]})
    for asked in cluster.everybody:
        for name, address in cluster.kinds.items():
            path = f"{asked}:8500/v1/health/service/{name}-service?passing&tag=t"
            eventually(lambda path=path: ask(path), f"{name}-service at {asked}")
            question = f"t.{name}-service.service.consul"  # followers may be behind the leader
            eventually(lambda a=asked, q=question, w=address: cluster.dig(a, q) == [w], f"{question} at {asked}")


def test_a_check_that_flips_is_seen_everywhere_within_seconds(cluster: Cluster) -> None:
    for name, address in cluster.kinds.items():
        check = {"Name": "up", "TTL": "10m"}
        put(address, "agent/service/register", {"Name": f"{name}-checked", "Port": 81, "Check": check})
        for status, passing in (("pass", 1), ("fail", 0)):
            put(address, f"agent/check/{status}/service:{name}-checked")
            for asked in cluster.everybody:
                path = f"{asked}:8500/v1/health/service/{name}-checked?passing"
                eventually(lambda path=path, wanted=passing: len(ask(path)) == wanted, f"{status} at {asked}", 30)


def test_keys_sessions_locks_and_transactions(cluster: Cluster) -> None:
    for name, address in cluster.kinds.items():
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


BORDERS = [(waits, writes) for waits in ("ours", "theirs", "server1") for writes in ("ours", "theirs", "server1")]


@pytest.mark.parametrize(("waits", "writes"), BORDERS)
def test_blocking_queries_wake_across_the_border(cluster: Cluster, waits: str, writes: str) -> None:
    reader, writer = f"{cluster.kinds[waits]}:8500/v1", cluster.kinds[writes]
    service = f"watched-{waits}-{writes}"
    key, instances = f"{reader}/kv/{service}?raw", f"{reader}/health/service/{service}"
    put(writer, f"kv/{service}", b"before")
    put(writer, "agent/service/register", {"Name": service, "Port": 1})
    eventually(lambda: ask(instances), f"{service} of {writes} at {waits}")
    on_key, on_instances = (
        cluster.host.start(f"{what}-{waits}-{writes}", "curl", "-s", f"http://{url}wait=30s&index={index_of(url)}")
        for what, url in (("key", f"{key}&"), ("instances", f"{instances}?"))
    )
    time.sleep(0.3)  # so that they wait when the writes come; without it the test is only easier
    put(writer, f"kv/{service}", b"after")
    put(writer, "agent/service/register", {"Name": service, "Port": 2})
    assert on_key.wait(60) == on_instances.wait(60) == 0
    assert on_key.output == "after"
    assert [each["Service"]["Port"] for each in json.loads(on_instances.output)] == [2]


def index_of(url: str) -> int:
    with urllib.request.urlopen(f"http://{url}") as answer:
        return int(answer.headers["X-Consul-Index"])


def test_events_reach_everybody(cluster: Cluster) -> None:
    for name, address in cluster.kinds.items():
        fired_at(address, f"from-{name}", cluster.everybody)


def fired_at(address: str, event: str, everybody: list[str]) -> None:
    """Fire an event there, and wait until all of them have heard it, with its payload."""
    put(address, f"event/fire/{event}", b"x")
    for asked in everybody:
        path = f"{asked}:8500/v1/event/list?name={event}"
        told = eventually(lambda path=path: ask(path), f"{event} of {address} at {asked}")
        assert [base64.b64decode(each["Payload"]) for each in told] == [b"x"]


def test_the_command_lines_agree_on_every_agent(cluster: Cluster) -> None:
    for words in ("members {}", "catalog nodes {}", "catalog services {}", "rtt {} ours theirs"):
        outputs = {}
        for asked in cluster.everybody:
            for program in ("consul", "consulpy"):
                line = words.format(f"-http-addr={asked}:8500").split()
                told = eventually(lambda line=line, program=program: cluster.host.output(program, *line), words)
                outputs[program, asked] = _comparable(words, told)
        assert len(set(outputs.values())) == 1, outputs


def test_info_agrees_on_every_agent(cluster: Cluster) -> None:
    size = str(len(cluster.everybody))
    leader = cluster.leader()
    for asked in cluster.everybody:
        told = _info(cluster, "consul", asked)
        assert _info(cluster, "consulpy", asked) == told
        pool = told["serf_lan"]
        assert {key: pool[key] for key in ("members", "failed", "left", "encrypted", "health_score")} == {
            "members": size,
            "failed": "0",
            "left": "0",
            "encrypted": "false",
            "health_score": "0",
        }
        agent = told["consul"]
        if asked in cluster.servers:
            assert (agent["server"], agent["leader"]) == ("true", str(asked == leader).lower())
            assert agent["leader_addr"] == f"{leader}:8300"
            assert told["raft"]["num_peers"] == str(cluster.size - 1)
        else:
            assert agent == {"acl": "disabled", "known_servers": str(cluster.size), "server": "false"}
    ours, theirs = (_info(cluster, "consul", address) for address in cluster.clients.values())
    assert ours.keys() == theirs.keys()
    for section in ours.keys() - {"runtime", "agent"}:  # what program it is, and how many services it has
        assert ours[section].keys() == theirs[section].keys()


def _info(cluster: Cluster, program: str, asked: str) -> dict[str, dict[str, str]]:
    """What `info` prints, without what changes from one call to the next."""
    sections: dict[str, dict[str, str]] = {}
    for line in cluster.host.output(program, "info", f"-http-addr={asked}:8500").splitlines():
        key, _, value = line.strip().partition(" =")
        if not line.startswith("\t"):
            section = sections.setdefault(line.rstrip(":"), {})
        elif key not in MOVING:
            section[key] = value.strip()
    return sections


#: Of `info`: counted while the agent works.
MOVING = {
    "goroutines",
    "applied_index",
    "commit_index",
    "last_log_index",
    "last_contact",
    "event_queue",
    "intent_queue",
}


def _comparable(words: str, told: str) -> str:
    """Output without what differs from agent to agent: the distance's digits, and how wide columns are."""
    if words.startswith("rtt"):
        return re.sub(r"\d+\.\d+ ms", "N ms", told)
    return re.sub(r" +", " ", told)


def test_a_real_client_complains_of_our_server_no_more_than_of_its_own(clusters: dict[str, Cluster]) -> None:
    """After the same tests with both: every kind of warning and error that it logs with ours, it logs with its own."""
    for client in ("theirs", "theirs2"):
        with_ours, with_theirs = (complaints(clusters[name], client) for name in ("consulpy-1", "consul-1"))
        assert not with_ours - with_theirs


def test_our_client_complains_no_more_than_the_real_one(clusters: dict[str, Cluster]) -> None:
    for name in ("consul-1", "consulpy-1"):
        assert not complaints(clusters[name], "ours") - complaints(clusters[name], "theirs")


def complaints(cluster: Cluster, client: str) -> set[str]:
    """The kinds of warnings and errors in a client's log: without times, addresses, numbers and ids."""
    lines = re.findall(r"\[(?:WARN|ERROR)\] (?!.*a turn of the reactor took).*", cluster.logged(client))
    return {re.sub(r"[0-9a-f]{8}-[0-9a-f-]{27}|[\d.]+", "N", line) for line in lines}


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
    living = [address for address in cluster.everybody if address != leader]
    for client, address in cluster.clients.items():
        fired_at(address, f"after-{client}", living)
    # autopilot makes a failed server leave, within 10 s
    eventually(lambda: {"failed", "left"} & {*members(f"{cluster.ours}:8500").values()}, "the dead server has failed")
    mark = len((cluster.host.directory / "ours.log").read_text())
    time.sleep(5)
    assert logged_warnings((cluster.host.directory / "ours.log").read_text()[mark:]) == []
