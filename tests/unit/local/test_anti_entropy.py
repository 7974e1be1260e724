"""Anti-entropy: what is sent to the catalog, and when (docs/wire/rpc.md section 9)."""

import json
from pathlib import Path
from typing import Any

import pytest
from twisted.logger import LogLevel, capturedLogs, formatEvent

from consulpy.errors import NoServers, RPCError
from consulpy.local.sync.anti_entropy import PARTIAL_BURST, PARTIAL_INTERVAL_S, AntiEntropy, scale
from consulpy.local.sync.catalog_sync import CONCURRENT_CALLS
from consulpy.structs.check import HealthCheck
from consulpy.structs.requests import NodeRequest, RegisterRequest
from consulpy.structs.service import NodeService, Weights
from tests.fakes.local import Fraction
from tests.harness.local_sync import Agent

VECTORS = Path(__file__).parents[2] / "vectors" / "rpc"


def captured(method: str, where: Any = lambda body: True) -> str:
    pairs = json.loads((VECTORS / f"{method}.json").read_text())["pairs"]
    found: str = next(p["request"]["body_hex"] for p in pairs if where(p["request"]["body"]))
    return found


def test_node_registration_is_the_captured_one() -> None:
    agent = Agent()
    agent.sync.start()
    agent.clock.advance(0)

    method, request = agent.catalog.calls[-1]

    assert agent.catalog.methods == ["Catalog.NodeServiceList", "Health.NodeChecks", "Catalog.Register"]
    expected = captured("Catalog.Register", lambda body: body["Node"] == "c1" and body["Service"] is None)
    assert method == "Catalog.Register"
    # maps come in random order from Go, sorted from us
    assert request == RegisterRequest.unpack(bytes.fromhex(expected))


def test_full_sync_reads_what_the_captured_client_read() -> None:
    agent = Agent()
    agent.sync.start()
    agent.clock.advance(0)
    request = agent.catalog.calls[0][1]
    expected = NodeRequest.unpack(
        bytes.fromhex(captured("Catalog.NodeServiceList", lambda body: body["MaxStaleDuration"] and not body["Token"]))
    )
    expected.node = request.node
    assert request == expected


def test_without_a_server_a_full_sync_is_retried_after_15_to_30_seconds() -> None:
    agent = Agent()
    agent.catalog.error = NoServers()
    agent.sync.start()
    agent.clock.advance(0)
    agent.catalog.calls.clear()

    agent.clock.advance(22.4)
    assert agent.catalog.calls == []
    agent.catalog.error = None
    agent.clock.advance(0.2)

    assert agent.catalog.methods[-1] == "Catalog.Register"


def test_that_no_server_is_known_yet_is_no_warning() -> None:
    """A client agent begins before its join has ended."""
    agent = Agent()
    agent.catalog.error = NoServers()
    with capturedLogs() as events:
        agent.sync.start()
        agent.clock.advance(0)
    assert [event["log_level"] for event in events] == [LogLevel.info]

    agent.catalog.error = None
    agent.clock.advance(30)
    agent.catalog.error = NoServers()
    with capturedLogs() as events:
        agent.clock.advance(120)
    assert {event["log_level"] for event in events} == {LogLevel.warn}


def test_a_new_server_starts_a_full_sync_within_3_seconds() -> None:
    agent = Agent()
    agent.catalog.error = NoServers()
    agent.start()
    agent.catalog.error = None

    agent.sync.server_appeared()
    agent.sync.server_appeared()
    agent.clock.advance(1.6)

    assert agent.catalog.methods == ["Catalog.NodeServiceList", "Health.NodeChecks", "Catalog.Register"]


def test_a_new_server_does_not_delay_an_earlier_sync() -> None:
    agent = Agent().start()
    agent.clock.advance(89.9)  # full sync is due at 90
    agent.sync.server_appeared()
    agent.clock.advance(0.2)
    assert agent.catalog.methods == ["Catalog.NodeServiceList", "Health.NodeChecks"]


@pytest.mark.parametrize(("members", "factor"), [(1, 1), (128, 1), (129, 2), (256, 2), (257, 3), (1024, 4)])
def test_random_parts_grow_with_the_cluster(members: int, factor: int) -> None:
    assert scale(members) == factor
    agent = Agent(members).start()
    agent.clock.advance(60 + 30 * factor - 0.1)
    assert agent.catalog.calls == []
    agent.clock.advance(0.2)
    assert agent.catalog.methods == ["Catalog.NodeServiceList", "Health.NodeChecks"]


def test_a_new_service_is_sent_immediately_with_its_checks() -> None:
    agent = Agent().start()
    agent.service("web")
    agent.check("a", "web")
    agent.check("b", "web", "critical")

    [(method, request)] = agent.settle()

    assert (method, request.skip_node_update) == ("Catalog.Register", True)
    assert (request.service.id, request.check) == ("web", None)
    assert [check.check_id for check in request.checks] == ["a", "b"]
    assert agent.settle() == []


def test_a_single_check_goes_into_the_single_field() -> None:
    agent = Agent().start()
    agent.service("web")
    agent.check("a", "web")
    [(_, request)] = agent.settle()
    assert (request.check.check_id, request.checks) == ("a", None)


def test_a_new_status_is_sent_with_the_checks_service() -> None:
    agent = Agent().start()
    agent.service("web")
    agent.check("a", "web")
    agent.settle()

    agent.entries.update_check("a", "critical", "no")

    [(_, request)] = agent.settle()
    assert (request.service.id, request.check.status, request.check.output) == ("web", "critical", "no")


def test_a_new_output_alone_waits_for_the_update_interval() -> None:
    """5 minutes, from half of it to one and a half."""
    agent = Agent().start()
    agent.check("a")
    agent.settle()

    agent.entries.update_check("a", "passing", "one")
    agent.clock.advance(299)
    agent.entries.update_check("a", "passing", "two")
    assert all(method != "Catalog.Register" for method in agent.catalog.methods[1:])
    agent.catalog.calls.clear()
    agent.clock.advance(1)
    agent.clock.advance(0)

    assert agent.catalog.checks["a"].output == "two"


def test_without_an_update_interval_outputs_are_sent_immediately() -> None:
    agent = Agent(check_update_interval_s=0).start()
    agent.check("a")
    agent.settle()
    agent.entries.update_check("a", "passing", "one")
    agent.settle()
    assert agent.catalog.checks["a"].output == "one"


def test_deletions_are_sent_and_then_removed() -> None:
    agent = Agent().start()
    agent.service("web")
    agent.check("a", "web")
    agent.check("n")
    agent.settle()

    agent.entries.delete_check("a")
    agent.entries.delete_service("web")
    agent.entries.delete_check("n")
    calls = agent.settle()

    assert [(request.service_id, request.check_id) for _, request in calls] == [("web", ""), ("", "n")]
    assert (agent.entries.services, agent.entries.checks) == ({}, {})
    assert (agent.catalog.services, agent.catalog.checks) == ({}, {})


def test_a_change_during_a_call_is_sent_afterwards() -> None:
    agent = Agent().start()
    agent.check("a")
    agent.catalog.held = []
    agent.clock.advance(0)
    agent.entries.update_check("a", "critical", "meanwhile")
    agent.clock.advance(0)

    held, agent.catalog.held = agent.catalog.held, None
    held[0].callback(None)
    agent.clock.advance(PARTIAL_INTERVAL_S)

    assert agent.catalog.checks["a"].status == "critical"


def test_the_first_changes_are_sent_immediately_and_a_stream_in_batches() -> None:
    agent = Agent().start()
    for number in range(PARTIAL_BURST):
        agent.service(f"first-{number}")
        agent.clock.advance(0)
        assert len(agent.catalog.calls) == number + 1
    syncs = agent.sync.partial_syncs

    for number in range(40):
        agent.service(f"then-{number}")
        agent.clock.advance(PARTIAL_INTERVAL_S / 10)

    assert len(agent.catalog.calls) == PARTIAL_BURST + 40
    assert agent.sync.partial_syncs == syncs + 4


def test_after_a_pause_changes_are_sent_immediately_again() -> None:
    agent = Agent().start()
    for number in range(3 * PARTIAL_BURST):
        agent.service(f"first-{number}")
        agent.clock.advance(0)
    agent.clock.advance(PARTIAL_BURST * PARTIAL_INTERVAL_S)
    agent.catalog.calls.clear()

    agent.service("later")
    agent.clock.advance(0)

    assert len(agent.catalog.calls) == 1


def test_a_restored_catalog_is_repaired_immediately() -> None:
    """A snapshot holds what was there when it was made: a service that is gone, and not one that came after."""
    agent = Agent().start()
    agent.service("new")
    agent.settle()
    agent.catalog.services = {"old": NodeService(id="old", service="old", weights=Weights())}

    agent.sync.catalog_replaced()
    agent.settle()

    assert list(agent.catalog.services) == ["new"]


def test_services_are_sent_concurrently_and_checks_after_them() -> None:
    agent = Agent().start()
    agent.check("of-the-node")
    for number in range(CONCURRENT_CALLS + 1):
        agent.service(f"s{number}")
    held = agent.catalog.held = []

    agent.settle()
    assert len(held) == CONCURRENT_CALLS
    held.pop(3).callback(None)
    assert len(held) == CONCURRENT_CALLS
    sent = [request.service.id for _, request in agent.catalog.calls]
    assert sent == [f"s{number}" for number in range(CONCURRENT_CALLS + 1)]
    while len(held) > 1:
        held.pop().callback(None)
    assert len(agent.catalog.calls) == CONCURRENT_CALLS + 1
    held.pop().callback(None)
    assert agent.catalog.calls[-1][1].check.check_id == "of-the-node"


def test_the_first_registration_with_the_node_is_sent_alone() -> None:
    agent = Agent()
    for number in range(3):
        agent.service(f"s{number}")
    agent.sync.start()
    agent.clock.advance(0)
    registrations = [request for method, request in agent.catalog.calls if method == "Catalog.Register"]
    assert [request.skip_node_update for request in registrations] == [False, True, True]


def test_without_servers_concurrent_calls_are_cancelled_and_retried() -> None:
    agent = Agent().start()
    for number in range(3):
        agent.service(f"s{number}")
    held = agent.catalog.held = []
    agent.settle()
    held[1].errback(NoServers())
    assert agent.sync.failures == 1

    agent.catalog.held = None
    agent.clock.advance(30)
    assert set(agent.catalog.services) == {"s0", "s1", "s2"}
    assert all(entry.in_sync for entry in agent.entries.services.values())


def test_finding_changes_does_not_depend_on_the_number_of_entries() -> None:
    class Unseen(dict[str, Any]):
        def __iter__(self) -> Any:
            raise AssertionError("all services were gone through")

        items = values = __iter__

    agent = Agent().start()
    for number in range(10):
        agent.service(f"s{number}")
    agent.settle()
    agent.entries.services = Unseen(agent.entries.services)
    agent.service("s3")
    assert [request.service.id for _, request in agent.settle()] == ["s3"]


def test_a_refused_write_does_not_stop_others_and_is_retried() -> None:
    agent = Agent().start()
    agent.service("bad")
    agent.service("good")

    def refuse(method: str, request: Any) -> Exception | None:
        bad = method == "Catalog.Register" and request.service and request.service.id == "bad"
        return RPCError("nope") if bad else None

    agent.catalog.refuse = refuse
    agent.settle()
    assert set(agent.catalog.services) == {"good"}

    agent.catalog.refuse = lambda *_: None
    agent.clock.advance(30)
    assert set(agent.catalog.services) == {"bad", "good"}


def test_a_denied_write_is_not_retried_before_the_next_full_sync() -> None:
    agent = Agent().start()
    agent.service("web")
    agent.catalog.refuse = lambda method, _: (
        RPCError("rpc error making call: Permission denied") if method == "Catalog.Register" else None
    )
    agent.settle()
    agent.catalog.calls.clear()
    agent.clock.advance(30)
    assert agent.catalog.calls == []


def test_the_log_names_what_was_denied() -> None:
    agent = Agent().start()
    agent.catalog.refuse = lambda *_: RPCError("rpc error making call: Permission denied")
    agent.service("web")
    agent.check("disk")
    with capturedLogs() as events:
        agent.settle()
    assert [formatEvent(event) for event in events if event["log_level"] is LogLevel.warn] == [
        "anti-entropy: service web is blocked by ACLs: rpc error making call: Permission denied",
        "anti-entropy: check disk is blocked by ACLs: rpc error making call: Permission denied",
    ]


def test_a_call_without_reply_times_out() -> None:
    agent = Agent().start()
    agent.catalog.held = []
    agent.check("a")
    agent.clock.advance(0)
    agent.catalog.held = None

    agent.clock.advance(120)
    agent.clock.advance(30)

    assert agent.entries.checks["a"].in_sync


def test_entries_are_sent_with_their_tokens() -> None:
    agent = Agent().start()
    agent.entries.put_service(NodeService(id="web", service="web"), "secret")
    [(_, request)] = agent.settle()
    assert request.token == "secret"


def test_nothing_happens_after_stop() -> None:
    agent = Agent().start()
    agent.sync.stop()
    agent.service("web")
    agent.clock.advance(1000)
    assert agent.catalog.calls == []
    assert agent.clock.getDelayedCalls() == []


def test_what_a_file_defines_has_a_token_of_its_own() -> None:
    """`acl.tokens.config_file_service_registration` of Consul 1.15; a token in the definition precedes it."""
    agent = Agent()
    agent.sync = AntiEntropy(
        agent.catalog,
        agent.local,
        agent.clock,
        Fraction(),
        lambda: 3,
        default_token=lambda from_file: "files" if from_file else "default",
    )
    agent.start()
    for name, token, from_file in (("a", "", True), ("b", "", False), ("c", "own", True)):
        agent.entries.put_service(NodeService(id=name, service=name, weights=Weights()), token, from_file)
        check = HealthCheck(node="c1", check_id=f"of-{name}", name=name, status="passing", service_id=name)
        agent.entries.put_check(check, token, from_file=from_file)
    sent = {request.service.id: (request.token, bool(request.check)) for _, request in agent.settle()}
    assert sent == {"a": ("files", True), "b": ("default", True), "c": ("own", True)}
    agent.entries.delete_service("a")
    assert {request.token for _, request in agent.settle()} == {"files"}
