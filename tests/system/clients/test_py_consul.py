"""py-consul (PyPI) works with us, unchanged: services and their checks, watches, keys, and its recipe for a lock."""

import threading
import time
from collections.abc import Callable
from typing import Any

import consul
import pytest

from tests.peers.programs import eventually
from tests.system.clients.conftest import Agents

pytestmark = pytest.mark.peers


@pytest.fixture
def client(agents: Agents) -> consul.Consul:
    """At our client agent."""
    host, _, port = agents.client.partition(":")
    return consul.Consul(host=host, port=int(port))


@pytest.fixture
def server(agents: Agents) -> consul.Consul:
    """At our server."""
    host, _, port = agents.server.partition(":")
    return consul.Consul(host=host, port=int(port))


def test_a_service_with_a_ttl_check_comes_changes_and_goes(client: consul.Consul, server: consul.Consul) -> None:
    check = consul.Check.ttl("10m")
    client.agent.service.register(
        "pyweb", service_id="pyweb-1", address="127.78.0.50", port=5000, tags=["a"], check=check
    )

    def states() -> list[str]:
        _, rows = server.health.service("pyweb")
        return [each["Status"] for row in rows for each in row["Checks"] if each["CheckID"] == "service:pyweb-1"]

    for say, status in (
        (client.agent.check.ttl_pass, "passing"),
        (client.agent.check.ttl_warn, "warning"),
        (client.agent.check.ttl_fail, "critical"),
    ):
        say("service:pyweb-1", "as told")
        eventually(lambda status=status: states() == [status], f"the catalog says {status}")
    _, (row,) = server.catalog.service("pyweb")
    assert (row["ServicePort"], row["ServiceTags"], row["Node"]) == (5000, ["a"], "tools-client")
    assert client.agent.services()["pyweb-1"]["Port"] == 5000
    assert server.health.service("pyweb", passing=True)[1] == []
    client.agent.service.deregister("pyweb-1")
    eventually(lambda: server.catalog.service("pyweb")[1] == [], "it is gone")


def test_a_blocking_watch_sees_a_service_come(client: consul.Consul, server: consul.Consul) -> None:
    index, rows = server.health.service("pylate")
    assert rows == []
    later = threading.Timer(0.3, lambda: client.agent.service.register("pylate", port=1))
    later.start()
    began = time.monotonic()
    new_index, rows = server.health.service("pylate", index=index, wait="20s")
    later.join()
    assert [row["Service"]["Port"] for row in rows] == [1]
    assert int(new_index) > int(index)
    assert time.monotonic() - began < 10
    client.agent.service.deregister("pylate")


def test_keys(client: consul.Consul) -> None:
    assert client.kv.put("py/a", "1", flags=7) is True
    _index, entry = client.kv.get("py/a")
    assert (entry["Value"], entry["Flags"]) == (b"1", 7)
    assert client.kv.put("py/a", "2", cas=entry["ModifyIndex"]) is True
    assert client.kv.put("py/a", "3", cas=entry["ModifyIndex"]) is False
    assert client.kv.put("py/b/c", "") is True
    assert client.kv.get("py/", keys=True, separator="/")[1] == ["py/a", "py/b/"]
    assert [each["Key"] for each in client.kv.get("py/", recurse=True)[1]] == ["py/a", "py/b/c"]
    assert client.kv.delete("py/", recurse=True) is True
    assert client.kv.get("py/", recurse=True)[1] is None


def with_lock(client: consul.Consul, key: str, work: Callable[[], Any]) -> None:
    """The usual recipe: a session, acquire until it works, release, destroy."""
    session = client.session.create(ttl=10, behavior="release", lock_delay=0)
    try:
        index = None
        while not client.kv.put(key, "held", acquire=session):
            index, _ = client.kv.get(key, index=index, wait="2s")
        work()
        assert client.kv.put(key, "", release=session)
    finally:
        client.session.destroy(session)


def test_the_recipe_for_a_lock_lets_one_in_at_a_time(client: consul.Consul, server: consul.Consul) -> None:
    inside, most, entered = [0], [0], []

    def work() -> None:
        inside[0] += 1
        most[0] = max(most[0], inside[0])
        time.sleep(0.05)
        entered.append(1)
        inside[0] -= 1

    def run(own: consul.Consul) -> None:
        for _ in range(3):
            with_lock(own, "py-lock", work)

    threads = [threading.Thread(target=run, args=(own,)) for own in (client, server, client)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert (len(entered), most[0]) == (9, 1)


def test_a_transaction_and_an_event(client: consul.Consul) -> None:
    operation = {"KV": {"Verb": "set", "Key": "py-txn", "Value": "MQ=="}}
    assert client.txn.put([operation])["Errors"] is None
    assert client.kv.get("py-txn")[1]["Value"] == b"1"
    fired = client.event.fire("py-event", "payload")
    assert fired["Name"] == "py-event"
    eventually(lambda: [each["Name"] for each in client.event.list("py-event")[1]] == ["py-event"], "it is listed")


def test_what_the_library_asks_of_newer_versions(client: consul.Consul, server: consul.Consul) -> None:
    """Its calls for Consul 1.9 to 1.15: intentions by name, config entries of newer kinds, usage."""
    intentions = client.connect.intentions
    assert intentions.upsert("pyweb", "pydb", action="allow", description="d", meta={"a": "b"}) is True
    found = server.connect.intentions.read("pyweb", "pydb")
    assert (found["Action"], found["Description"], found["Meta"]) == ("allow", "d", {"a": "b"})
    assert intentions.check("pyweb", "pydb") is True
    with pytest.raises(consul.ConsulException, match="Permissions"):
        intentions.upsert("pyweb", "pydb", permissions=[{"Action": "allow", "HTTP": {"PathPrefix": "/"}}])
    entry = client.config.get("service-intentions", "pydb")
    assert [each["Name"] for each in entry["Sources"]] == ["pyweb"]
    assert intentions.delete("pyweb", "pydb") is True

    usage = client.operator.usage(global_=True)["Usage"]["dc1"]
    assert usage["ServiceInstances"] >= 1
    txn = client.txn.put([{"KV": {"Verb": "get-or-empty", "Key": "py/none"}}])
    assert txn["Results"][0]["KV"]["Value"] is None
