"""What a full sync compares and repairs, and tags that others set in the catalog (docs/wire/rpc.md section 9)."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from twisted.internet.defer import Deferred

from consulpy.errors import RPCError
from consulpy.structs.check import HealthCheck
from consulpy.structs.node import Node
from consulpy.structs.service import ConnectProxy, NodeService, Upstream, Weights
from tests.harness.local_sync import Agent


def test_entries_deleted_in_the_catalog_are_registered_again() -> None:
    agent = Agent().start()
    agent.service("web")
    agent.check("a", "web")
    agent.settle()
    agent.catalog.services.clear()
    agent.catalog.checks.clear()

    agent.clock.advance(120)

    assert set(agent.catalog.services) == {"web"}
    assert set(agent.catalog.checks) == {"a"}


def test_unknown_entries_are_deregistered_but_for_consul_and_serf_health() -> None:
    agent = Agent()
    for name in ("consul", "stranger"):
        agent.catalog.services[name] = NodeService(id=name, service=name)
    for name in ("serfHealth", "unknown"):
        agent.catalog.checks[name] = HealthCheck(check_id=name, node="c1")

    agent.start()
    agent.clock.advance(0)

    assert set(agent.catalog.services) == {"consul"}
    assert set(agent.catalog.checks) == {"serfHealth"}


@pytest.mark.parametrize("change", [{"port": 1}, {"tags": ["x"]}, {"meta": {"a": "b"}}, {"weights": Weights(2, 1)}])
def test_a_difference_is_repaired(change: dict[str, Any]) -> None:
    agent = Agent().start()
    ours = agent.service("web", port=80)
    agent.settle()
    for key, value in change.items():
        setattr(agent.catalog.services["web"], key, value)

    agent.clock.advance(120)

    assert agent.catalog.services["web"] == ours


def test_nil_and_empty_are_no_difference() -> None:
    agent = Agent().start()
    agent.service("web", tags=[], meta={})
    agent.check("a", "web", service_tags=[])
    agent.settle()
    agent.catalog.services["web"].tags = None
    agent.catalog.services["web"].weights = Weights()
    agent.catalog.checks["a"].service_tags = None

    agent.catalog.calls.clear()
    agent.clock.advance(90)

    assert agent.catalog.methods == ["Catalog.NodeServiceList", "Health.NodeChecks"]


def test_server_defaults_in_an_upstream_are_no_difference() -> None:
    """A server stores an empty list or map where the agent sent none."""
    agent = Agent().start()
    agent.entries.put_service(
        NodeService(id="w", service="w", proxy=ConnectProxy(upstreams=[Upstream(destination_name="db")])), ""
    )
    agent.settle()
    agent.catalog.services["w"].proxy.upstreams = [Upstream(destination_name="db", config={}, ingress_hosts=[])]

    agent.catalog.calls.clear()
    agent.clock.advance(90)

    assert agent.catalog.methods == ["Catalog.NodeServiceList", "Health.NodeChecks"]


def test_changed_node_metadata_is_repaired() -> None:
    agent = Agent().start()
    assert isinstance(agent.catalog.node, Node)
    agent.catalog.node.meta = {}
    agent.clock.advance(120)
    assert agent.catalog.node.meta == {"consul-network-segment": ""}


def test_with_tag_override_the_catalogs_tags_win() -> None:
    agent = Agent().start()
    agent.service("web", tags=["a"], enable_tag_override=True)
    agent.settle()
    agent.catalog.services["web"].tags = ["outside"]

    agent.clock.advance(120)

    assert agent.catalog.services["web"].tags == ["outside"]
    assert agent.local.services["web"].tags == ["outside"]


def another_port(agent: Agent) -> None:
    agent.service("web", tags=["a"], port=81, enable_tag_override=True)


def other_tags_too(agent: Agent) -> None:
    agent.service("web", tags=["c"], port=81, enable_tag_override=True)


def a_check_changes(agent: Agent) -> None:
    agent.entries.update_check("k", "critical", "oh")


def a_check_comes(agent: Agent) -> None:
    agent.check("new", "web")


def deregistered_and_registered(agent: Agent) -> None:
    """As when its file is read again."""
    agent.entries.delete_service("web")
    agent.service("web", tags=["a"], enable_tag_override=True)


@pytest.mark.parametrize("times", [1, 2])
@pytest.mark.parametrize(
    "change", [another_port, other_tags_too, a_check_changes, a_check_comes, deregistered_and_registered]
)
@pytest.mark.parametrize("synced", [False, True])
def test_tags_set_in_the_catalog_survive_every_update(
    change: Callable[[Agent], None], times: int, synced: bool
) -> None:
    """With EnableTagOverride. Real Consul overwrites them whenever it sends the service before a full sync."""
    agent = Agent().start()
    agent.service("web", tags=["a"], enable_tag_override=True)
    agent.check("k", "web")
    agent.settle()
    agent.catalog.services["web"].tags = ["outside"]
    if synced:
        agent.clock.advance(120)

    for _ in range(times):
        change(agent)
        agent.settle()
        assert agent.catalog.services["web"].tags == ["outside"]
    agent.clock.advance(120)

    assert agent.catalog.services["web"].tags == ["outside"]
    assert agent.local.services["web"].tags == ["outside"]


@pytest.mark.parametrize("restarted", [False, True])
def test_tags_set_in_the_catalog_survive_a_restart(restarted: bool) -> None:
    """The new process knows its own tags only, from its file or its disk."""
    before = Agent().start()
    before.service("web", tags=["a"], enable_tag_override=True)
    before.settle()
    before.catalog.services["web"].tags = ["outside"]
    before.sync.stop()

    agent = Agent()
    agent.catalog = agent.sync._catalog_sync._caller = before.catalog
    agent.service("web", tags=["a"], port=81, enable_tag_override=True)
    agent.start()
    agent.settle()
    if restarted:
        agent.service("web", tags=["a"], port=82, enable_tag_override=True)
        agent.settle()

    assert (agent.catalog.services["web"].tags, agent.catalog.services["web"].port) == (["outside"], 81 + restarted)


@pytest.mark.parametrize("synced", [False, True])
def test_new_tags_replace_those_that_the_agent_wrote(synced: bool) -> None:
    agent = Agent().start()
    for tags in (["a"], ["b"], [], ["c", "d"]):
        agent.service("web", tags=tags, enable_tag_override=True)
        agent.settle()
        if synced:
            agent.clock.advance(120)
        assert (agent.catalog.services["web"].tags or []) == tags


def test_new_tags_replace_those_written_before_a_restart() -> None:
    before = Agent().start()
    before.service("web", tags=["a"], enable_tag_override=True)
    before.settle()
    before.sync.stop()
    agent = Agent()
    agent.catalog = agent.sync._catalog_sync._caller = before.catalog
    agent.service("web", tags=["a"], enable_tag_override=True)
    agent.start()

    agent.service("web", tags=["b"], enable_tag_override=True)
    agent.settle()

    assert agent.catalog.services["web"].tags == ["b"]


@pytest.mark.parametrize("restarted", [False, True])
def test_tags_registered_with_the_override_are_written(restarted: bool) -> None:
    """The catalog has those from before the override, which no other client has set."""
    agent = before = Agent().start()
    before.service("web", tags=["a"])
    before.settle()
    if restarted:
        before.sync.stop()
        agent = Agent()
        agent.catalog = agent.sync._catalog_sync._caller = before.catalog
        agent.service("web", tags=["a"])
        agent.start()

    agent.service("web", tags=["x", "y"], enable_tag_override=True)
    agent.settle()

    assert agent.catalog.services["web"].tags == ["x", "y"]


def test_without_tag_override_nothing_is_read_before_a_change_is_sent() -> None:
    agent = Agent().start()
    agent.service("web", tags=["a"])
    assert [method for method, _ in agent.settle()] == ["Catalog.Register"]


def test_tags_are_not_adopted_from_a_stale_read() -> None:
    agent = Agent().start()
    agent.service("web", tags=["a"], enable_tag_override=True)
    agent.settle()
    agent.catalog.calls.clear()
    agent.clock.advance(120)
    stale = {method: request.options.allow_stale for method, request in agent.catalog.calls}
    assert (stale["Catalog.NodeServiceList"], stale["Health.NodeChecks"]) == (False, True)


def test_a_registration_whose_defaults_are_being_fetched_waits_for_them() -> None:
    """The catalog never shows a proxy without the central defaults, as Consul's does not."""
    agent = Agent().start()
    fetched: Deferred[None] = Deferred()
    agent.entries.defaults_fetched = lambda: None if fetched.called else fetched
    service = agent.service()
    assert agent.settle() == []
    agent.entries.replace_service(replace(service, port=8080))
    fetched.callback(None)
    sent = [request.service.port for method, request in agent.catalog.calls if method == "Catalog.Register"]
    assert sent == [8080]


@pytest.mark.parametrize(("error", "stays"), [("ACL not found", False), ("Permission denied", True)])
def test_a_service_whose_token_is_gone_is_deregistered_by_the_agents_token(error: str, stays: bool) -> None:
    """It would stay in the catalog for ever, as in Consul; a token that exists and may not is believed."""
    agent = Agent(token=lambda: "agent's").start()
    agent.entries.put_service(NodeService(id="web", service="web", weights=Weights()), "its own")
    agent.settle()
    agent.catalog.refuse = lambda _, request: RPCError(error) if request.token == "its own" else None
    agent.entries.delete_service("web")
    calls = agent.settle()
    assert ("web" in agent.catalog.services) is stays
    assert [request.token for method, request in calls if method == "Catalog.Deregister"] == (
        ["its own"] if stays else ["its own", "agent's"]
    )
