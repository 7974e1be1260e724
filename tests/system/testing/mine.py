"""A user's test file: it passes with each kind of `--consul`. (`test_plugin.py` runs it.)"""

import json
import os
import socket
import time
import unittest
import urllib.error
import urllib.request
from typing import Any

import pytest


def get(url: str) -> Any:
    return json.load(urllib.request.urlopen(url, timeout=60))


def put(url: str, body: bytes = b"") -> bytes:
    request = urllib.request.Request(url, body, method="PUT")
    data: bytes = urllib.request.urlopen(request, timeout=60).read()
    return data


def test_a_service_is_found(consul: Any) -> None:
    consul.register("web", port=80, tags=["a"], check="passing")
    (found,) = get(f"{consul.url}/v1/health/service/web?passing")
    assert (found["Service"]["Port"], found["Service"]["Tags"]) == (80, ["a"])
    assert consul.services()["web"] == ["a"]
    consul.deregister("web")
    assert "web" not in consul.services()
    consul.register("web", port=81, check="critical")
    assert get(f"{consul.url}/v1/health/service/web?passing") == []


def test_a_service_is_found_by_dns(consul: Any) -> None:
    consul.register("dns-web", port=80, check="passing")
    question = bytes.fromhex("1234 0100 0001 0000 0000 0000") + b"\7dns-web\7service\6consul\0\0\1\0\1"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        asking.settimeout(10)
        asking.sendto(question, consul.dns)
        assert asking.recv(4096)[6:8] == b"\0\1", "one answer"


def test_nothing_is_left_of_other_tests(consul: Any) -> None:
    assert "web" not in consul.services()
    assert "key" not in consul.kv
    consul.kv["key"] = b"value"
    assert consul.kv["key"] == b"value"


def test_nor_of_this_one(consul: Any) -> None:
    assert "key" not in consul.kv
    with pytest.raises(KeyError):
        consul.kv["key"]
    assert "alive" in consul.members().values()


def test_reset(consul: Any) -> None:
    consul.kv["a"] = b"1"
    consul.register("db", port=1)
    consul.reset()
    assert "a" not in consul.kv
    assert "db" not in consul.services()


def test_the_environment(consul_env: Any) -> None:
    assert consul_env.env == {"CONSUL_HTTP_ADDR": os.environ["CONSUL_HTTP_ADDR"]}
    consul_env.kv["env"] = b"1"


def test_the_environment_is_as_before() -> None:
    assert "CONSUL_HTTP_ADDR" not in os.environ


@pytest.mark.consul(datacenter="mars", config={"node_meta": {"place": "here"}, "node_name": "phobos"})
def test_an_agent_of_its_own(consul: Any) -> None:
    assert consul.members() == {"phobos": "alive"}
    assert get(f"{consul.url}/v1/agent/self")["Config"]["Datacenter"] == "mars"
    assert get(f"{consul.url}/v1/agent/self")["Meta"]["place"] == "here"


with socket.create_server(("127.0.0.1", 0)) as _free:
    PORT = _free.getsockname()[1]


@pytest.mark.consul(port=PORT)
def test_a_port_of_its_own(consul: Any) -> None:
    assert consul.url == f"http://127.0.0.1:{PORT}"
    assert get(f"{consul.url}/v1/status/leader")


@pytest.mark.consul(datacenter="venus")
class TestMarkedClass:
    def test_it(self, consul: Any) -> None:
        assert get(f"{consul.url}/v1/catalog/datacenters") == ["venus"]

    @pytest.mark.consul(config={"node_meta": {"a": "b"}})
    def test_the_closer_mark_adds(self, consul: Any) -> None:
        report = get(f"{consul.url}/v1/agent/self")
        assert (report["Config"]["Datacenter"], report["Meta"]["a"]) == ("venus", "b")


@pytest.mark.usefixtures("consul_env")
class TestPlain(unittest.TestCase):
    def test_it(self) -> None:
        assert get(f"http://{os.environ['CONSUL_HTTP_ADDR']}/v1/status/leader")


def test_a_client_with_its_server(consul_client: Any) -> None:
    assert set(consul_client.members().values()) == {"alive"}
    assert len(consul_client.members()) == 2
    consul_client.register("web", port=80, check="passing")
    assert len(get(f"{consul_client.server.url}/v1/health/service/web?passing")) == 1
    consul_client.kv["there"] = b"1"
    assert consul_client.server.kv["there"] == b"1"


def test_the_client_is_as_new_too(consul_client: Any) -> None:
    assert consul_client.services() == {"consul": []}
    assert dict(consul_client.kv) == {}


def test_a_cluster(consul_cluster: Any) -> None:
    cluster = consul_cluster(servers=1, clients=2)
    assert cluster.members() == {"server-1": "alive", "client-1": "alive", "client-2": "alive"}
    cluster["client-2"].register("web", port=80, check="passing")
    cluster["client-1"].kv["key"] = b"1"
    cluster["client-2"].crash()
    cluster.until(lambda: cluster.members(asked="client-1")["client-2"] == "failed")
    url = cluster["server-1"].url
    cluster.until(lambda: get(f"{url}/v1/health/service/web?passing") == [])
    cluster["client-2"].restart()
    cluster.until(lambda: cluster.members()["client-2"] == "alive")
    cluster["client-1"].leave()
    cluster.until(lambda: cluster.members()["client-1"] == "left")
    assert cluster["server-1"].kv["key"] == b"1"
    with pytest.raises(TimeoutError, match="server-1 sees"):
        cluster.until(lambda: False, timeout=0.1)


def test_three_servers(consul_cluster: Any) -> None:
    cluster = consul_cluster(servers=3)
    cluster["server-2"].kv["key"] = b"1"
    cluster["server-1"].crash()

    def answers() -> bool:
        try:
            cluster["server-3"].kv["more"] = b"2"
        except (RuntimeError, OSError):
            time.sleep(0.1)
            return False
        return True

    cluster.until(answers)
    cluster["server-1"].restart()
    cluster.until(lambda: cluster.members()["server-1"] == "alive")
    cluster.until(lambda: dict(cluster["server-1"].kv) == {"key": b"1", "more": b"2"})


def test_two_clusters_at_once(consul_cluster: Any) -> None:
    one, two = consul_cluster(), consul_cluster(datacenter="two")
    one["server-1"].kv["key"] = b"1"
    assert dict(two["server-1"].kv) == {}
    assert get(f"{two['server-1'].url}/v1/catalog/datacenters") == ["two"]


def test_a_partition(consul_cluster: Any) -> None:
    cluster = consul_cluster(servers=1, clients=2)
    cluster["client-1"].partition_from("server-1", "client-2")
    cluster.until(lambda: cluster.members()["client-1"] == "failed")
    assert cluster.members()["client-2"] == "alive"
    cluster.heal()
    cluster.until(lambda: cluster.members()["client-1"] == "alive", timeout=60)
