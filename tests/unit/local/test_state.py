"""Registration on the agent: validation, defaults, health; texts and JSON as in tests/conformance/golden."""

import pytest

from consulpy.errors import NotFound, RPCError
from consulpy.local.health import content_hash, health_json
from consulpy.local.reaper import Reaper
from tests.harness.local_agent import Agent


def test_checks_of_a_service_are_numbered_only_if_there_are_several() -> None:
    agent = Agent()
    agent.service({"Name": "one", "Checks": [{"TTL": "1h"}]})
    agent.service({"Name": "two", "Check": {"TTL": "1h"}, "Checks": [{"TTL": "1h", "Name": "second", "Notes": "n"}]})
    agent.service({"Name": "three", "Check": {}})
    assert list(agent.local.checks) == ["service:one", "service:two:1", "service:two:2"]
    check = agent.local.checks["service:two:1"]
    assert (check.name, check.status, check.type) == ("Service 'two' check", "critical", "ttl")


def test_registering_again_keeps_status_and_unlisted_checks() -> None:
    agent = Agent()
    agent.service({"Name": "s", "Checks": [{"CheckID": "a", "TTL": "1h"}, {"CheckID": "b", "TTL": "1h"}]})
    agent.local.update_ttl("b", "passing", "good")

    agent.service({"Name": "s", "Checks": [{"CheckID": "b", "TTL": "1h"}]})

    assert set(agent.local.checks) == {"a", "b"}
    assert (agent.local.checks["b"].status, agent.local.checks["b"].output) == ("passing", "good")


def test_replace_existing_checks_drops_the_unlisted() -> None:
    agent = Agent()
    agent.service({"Name": "s", "Checks": [{"CheckID": "a", "TTL": "1h"}, {"CheckID": "b", "TTL": "1h"}]})
    agent.service({"Name": "s", "Checks": [{"CheckID": "b", "TTL": "1h"}]}, replace_existing_checks=True)
    assert set(agent.local.checks) == {"b"}
    assert agent.starter.running["a"].stopped


def test_deregistering_removes_checks_and_sidecar() -> None:
    agent = Agent()
    agent.service({"Name": "web", "Port": 80, "Check": {"TTL": "1h"}, "Connect": {"SidecarService": {}}})
    sidecar = agent.local.services["web-sidecar-proxy"]
    assert (sidecar.kind, sidecar.port, sidecar.proxy.destination_service_id) == ("connect-proxy", 21000, "web")
    assert len(agent.local.checks) == 3

    agent.local.deregister_service("web")

    assert (agent.local.services, agent.local.checks) == ({}, {})
    assert all(running.stopped for running in agent.starter.running.values())


def test_a_sidecar_keeps_its_port() -> None:
    agent = Agent()
    for _ in range(2):
        agent.service({"Name": "web", "Connect": {"SidecarService": {}}})
    assert agent.local.services["web-sidecar-proxy"].port == 21000


def test_unknown_ids_are_deregistered_without_error_missing_ones_are_not() -> None:
    agent = Agent()
    agent.local.deregister_service("none")
    agent.local.deregister_check("none")
    with pytest.raises(RPCError, match="ServiceID missing"):
        agent.local.deregister_service("")
    with pytest.raises(RPCError, match="CheckID missing"):
        agent.local.deregister_check("")


def test_only_ttl_checks_are_updated() -> None:
    agent = Agent()
    agent.check({"Name": "k", "HTTP": "http://x/", "Interval": "1h"})
    for check_id in ("k", "none"):
        with pytest.raises(RPCError) as caught:
            agent.local.update_ttl(check_id, "passing", "")
        assert str(caught.value) == f'CheckID "{check_id}" does not have associated TTL'


def test_a_stopped_check_reports_nothing_more() -> None:
    """Unlike Consul's alias checks, which write into a later check of the same id (SURPRISES.md)."""
    agent = Agent()
    agent.check({"Name": "k", "TTL": "1h"})
    old = agent.starter.running["k"]
    agent.local.deregister_check("k")
    agent.check({"Name": "k", "TTL": "1h"})
    old.report("passing", "from the grave")
    assert agent.local.checks["k"].status == "critical"


def test_maintenance_is_a_critical_check_and_keeps_its_first_reason() -> None:
    agent = Agent()
    agent.service({"Name": "s"})
    agent.local.set_service_maintenance("s", True, "why")
    agent.local.set_service_maintenance("s", True, "another")
    check = agent.local.checks["_service_maintenance:s"]
    assert (check.notes, check.status, check.service_id, check.type) == ("why", "critical", "s", "maintenance")
    assert health_json(agent.local.entries, agent.local.services["s"])[0] == "maintenance"
    agent.local.set_service_maintenance("s", False)
    agent.local.set_node_maintenance(True)
    notes = "Maintenance mode is enabled for this node, but no reason was provided. This is a default message."
    assert agent.local.checks["_node_maintenance"].notes == notes
    agent.local.set_node_maintenance(False)
    agent.local.set_node_maintenance(False)
    assert agent.local.checks == {}
    with pytest.raises(NotFound, match='No service registered with ID "none"'):
        agent.local.set_service_maintenance("none", True)


@pytest.mark.parametrize(
    ("statuses", "worst"),
    [([], "passing"), (["passing", "warning"], "warning"), (["warning", "critical", "passing"], "critical")],
)
def test_health_is_that_of_the_worst_check_of_service_or_node(statuses: list[str], worst: str) -> None:
    agent = Agent()
    agent.service({"Name": "s"})
    agent.service({"Name": "other", "Check": {"TTL": "1h"}})
    for number, status in enumerate(statuses):
        owner = {"ServiceID": "s"} if number % 2 else {}
        agent.check({"Name": f"k{number}", "TTL": "1h", "Status": status, **owner})
    status, shown = health_json(agent.local.entries, agent.local.services["s"])
    assert (status, len(shown["Checks"])) == (worst, len(statuses))


def test_content_hash_depends_on_the_json() -> None:
    agent = Agent()
    agent.service({"Name": "s"})
    before = content_hash(agent.shown("s"))
    agent.service({"Name": "s"})
    assert content_hash(agent.shown("s")) == before
    agent.service({"Name": "s", "Port": 1})
    assert content_hash(agent.shown("s")) != before
    assert len(before) == 16


def test_services_critical_for_too_long_are_deregistered() -> None:
    """Looked at every 30 s."""
    agent = Agent()
    Reaper(agent.local, agent.clock).start()
    agent.service({"Name": "s", "Check": {"CheckID": "k", "TTL": "1h", "DeregisterCriticalServiceAfter": "90s"}})
    agent.local.update_ttl("k", "critical", "")
    agent.service({"Name": "fine", "Check": {"TTL": "1h", "DeregisterCriticalServiceAfter": "1s", "Status": "passing"}})
    agent.clock.pump([30] * 3)
    assert set(agent.local.services) == {"s", "fine"}
    agent.clock.advance(30)
    assert set(agent.local.services) == {"fine"}


@pytest.mark.parametrize(("after", "gone_s"), [("10s", 41), ("20s", 51), ("45s", 76), ("1s", 32)])
def test_the_time_counts_from_the_first_result(after: str, gone_s: int) -> None:
    agent = Agent()
    Reaper(agent.local, agent.clock).start()
    agent.service({"Name": "s", "Check": {"CheckID": "k", "TTL": "1h", "DeregisterCriticalServiceAfter": after}})
    agent.clock.pump([1] * 30)
    agent.local.update_ttl("k", "critical", "")
    agent.clock.pump([1] * (gone_s - 31))
    assert set(agent.local.services) == {"s"}
    agent.clock.pump([1] * int(after[:-1]))
    assert set(agent.local.services) == set()


def test_a_check_without_a_result_deregisters_nothing() -> None:
    """It is critical from its registration on. A TTL check has a result when its time is up (seen of a real agent)."""
    agent = Agent()
    Reaper(agent.local, agent.clock).start()
    agent.service({"Name": "s", "Check": {"CheckID": "k", "TTL": "1h", "DeregisterCriticalServiceAfter": "1m"}})
    agent.clock.pump([30] * 120)
    assert set(agent.local.services) == {"s"}
    agent.starter.running["k"].report("critical", "TTL expired")
    agent.clock.pump([30] * 3)
    assert agent.local.services == {}


def test_recovering_restarts_the_time() -> None:
    agent = Agent()
    Reaper(agent.local, agent.clock).start()
    agent.service({"Name": "s", "Check": {"CheckID": "k", "TTL": "1h", "DeregisterCriticalServiceAfter": "90s"}})
    for _ in range(4):
        agent.clock.pump([30, 30])
        agent.local.update_ttl("k", "passing", "")
        agent.local.update_ttl("k", "critical", "")
    assert set(agent.local.services) == {"s"}
