"""A consulpy client of a real server: what is asked again is answered at home, even while the server is away."""

import json
import time
import urllib.request
from collections.abc import Iterator
from email.message import Message

import pytest

from tests.peers.programs import Host, Program, ask, eventually, hosts

pytestmark = [pytest.mark.peers]

BLOCK = "127.81.1"
SERVER, CLIENT = f"{BLOCK}.1", f"{BLOCK}.2"
FAST = "performance { raft_multiplier = 1 }"
PROMETHEUS = 'telemetry { prometheus_retention_time = "60s" disable_hostname = true }'


class Pair:
    """The real server, which can be killed and started again, and our client."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self.server = self.start()
        client = ["-bind", CLIENT, "-client", CLIENT, "-node", "client", "-retry-join", SERVER, "-retry-interval", "1s"]
        host.start("client", "consulpy", "agent", "-data-dir", "b", "-hcl", PROMETHEUS, *client)
        eventually(lambda: ask(f"{CLIENT}:8500/v1/status/leader"), "the client reaches its server")

    def start(self) -> Program:
        flags = ["-bind", SERVER, "-client", SERVER, "-node", "server", "-server", "-bootstrap-expect", "1"]
        return self.host.start("server", "consul", "agent", "-data-dir", "a", "-hcl", FAST, *flags)

    def register(self, instance: str, address: str) -> None:
        service = {"ID": instance, "Name": "web", "Port": 80, "Address": address}
        ask(f"{SERVER}:8500/v1/agent/service/register", "PUT", json.dumps(service).encode())

    def dig(self) -> list[str]:
        return sorted(self.host.output("dig", "+short", f"@{CLIENT}", "-p", "8600", "web.service.consul").split())

    def counted(self, name: str) -> float:
        text = ask(f"{CLIENT}:8500/v1/agent/metrics?format=prometheus")
        return sum(float(line.split()[-1]) for line in text.splitlines() if line.split(" ")[0] == f"consul_{name}")

    def stale(self) -> Message:
        with urllib.request.urlopen(f"http://{CLIENT}:8500/v1/health/service/web?stale", timeout=60) as answer:
            assert json.loads(answer.read())
            return answer.headers


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    with hosts(tmp_path_factory.mktemp("copy"), None) as (host,):
        made = Pair(host)
        made.register("web1", "10.0.0.1")
        eventually(lambda: made.dig() == ["10.0.0.1"], "the service is found")
        yield made


def test_repeated_look_ups_do_not_cross_the_network(pair: Pair) -> None:
    for _ in range(3):
        pair.dig(), pair.stale()
    before = pair.counted("client_rpc"), pair.counted("client_copies_hit")
    for _ in range(20):
        assert pair.dig() == ["10.0.0.1"]
        assert pair.stale()["X-Consul-KnownLeader"] == "true"
    assert pair.counted("client_copies_hit") - before[1] >= 20
    assert pair.counted("client_rpc") - before[0] <= 6, "refreshing, anti-entropy and coordinates only"


def test_a_change_is_seen_at_once(pair: Pair) -> None:
    pair.register("web2", "10.0.0.2")
    eventually(lambda: len(pair.dig()) == 2, "both instances are found", within_s=30)


def test_without_a_server_answers_are_stale_and_say_so(pair: Pair) -> None:
    before = pair.dig()
    pair.server.kill()
    eventually(lambda: pair.stale()["X-Consul-KnownLeader"] == "false", "the client knows that its server is away")
    assert pair.dig() == before
    first = int(pair.stale()["X-Consul-LastContact"])
    time.sleep(0.3)  # an age grows with time only
    assert int(pair.stale()["X-Consul-LastContact"]) >= first + 300
    with pytest.raises(ValueError, match=r"^500"):
        ask(f"{CLIENT}:8500/v1/health/service/web")
    with pytest.raises(ValueError, match=r"^500"):
        ask(f"{CLIENT}:8500/v1/health/service/web?max_stale=100ms")
    pair.server = pair.start()
    eventually(lambda: ask(f"{SERVER}:8500/v1/status/leader"), "the server leads again")
    eventually(lambda: pair.stale()["X-Consul-KnownLeader"] == "true", "answers are certain again")
    pair.register("web3", "10.0.0.3")
    eventually(lambda: "10.0.0.3" in pair.dig(), "news arrive again")
