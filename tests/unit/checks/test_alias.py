"""Alias checks: local and remote, and how they differ from Consul's on purpose (tests/conformance/SURPRISES.md)."""

from collections.abc import Callable
from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from consulpy.checks.alias import CHAIN_INTERVAL_S, AliasCheck
from consulpy.checks.result import OUTPUT_MAX_BYTES
from consulpy.errors import NoServers
from consulpy.structs.check import HealthCheck


class Source:
    node_name = "here"

    def __init__(self) -> None:
        self.checks: list[HealthCheck] = []
        self.services = {"web"}
        self.waiting: list[Callable[[], None]] = []
        self.queries: list[tuple[str, int, Deferred[Any]]] = []

    def local_checks(self) -> list[HealthCheck]:
        return self.checks

    def has_local_service(self, service_id: str) -> bool:
        return service_id in self.services

    def watch_local(self, service_id: str, call: Callable[[], None]) -> Callable[[], None]:
        self.waiting.append(call)
        return lambda: self.waiting.remove(call)

    def changed(self) -> None:
        waiting, self.waiting = self.waiting, []
        for call in waiting:
            call()

    def remote_node(self, check_id: str, node: str, index: int) -> Deferred[Any]:
        answer: Deferred[Any] = Deferred()
        self.queries.append((node, index, answer))
        return answer


class Alias:
    def __init__(self, node: str = "", service: str = "web", *checks: HealthCheck) -> None:
        self.clock, self.source, self.said = Clock(), Source(), []  # type: ignore[var-annotated]
        self.source.checks = list(checks)
        self.check = AliasCheck("alias", node, service, self.source, lambda *word: self.said.append(word), self.clock)
        self.clock.advance(0)


def check(name: str, status: str, service: str = "web", **fields: Any) -> HealthCheck:
    return HealthCheck(check_id=name, name=name, status=status, service_id=service, output="out", **fields)


@pytest.mark.parametrize(
    ("checks", "said"),
    [
        ([], ("passing", "No checks found.")),
        ([check("a", "passing")], ("passing", "All checks passing.")),
        ([check("a", "warning"), check("b", "critical")], ("critical", 'Aliased check "b" failing: out')),
        ([check("a", "warning"), check("b", "passing")], ("warning", 'Aliased check "a" failing: out')),
        ([check("a", "critical"), check("b", "critical")], ("critical", 'Aliased check "a" failing: out')),
        ([check("a", "warning"), check("b", "warning")], ("warning", 'Aliased check "b" failing: out')),
        ([check("a", "critical", "other")], ("passing", "No checks found.")),
        ([check("n", "critical", "")], ("critical", 'Aliased check "n" failing: out')),
        ([check("alias", "critical")], ("passing", "No checks found.")),
        ([check("n", "critical", "", type="alias")], ("passing", "No checks found.")),
    ],
)
def test_worst_check_of_service_and_node_counts_but_no_alias_of_the_node(
    checks: list[HealthCheck], said: tuple[str, str]
) -> None:
    assert Alias("", "web", *checks).said == [said]


def test_an_unknown_service_is_critical() -> None:
    assert Alias("", "none").said == [("critical", "Service none could not be found on node ")]


def test_an_alias_follows_changes_until_it_is_stopped() -> None:
    alias = Alias("", "web", check("a", "passing"))
    alias.source.checks = [check("a", "critical")]
    alias.source.changed()
    alias.clock.advance(0)
    assert alias.said[-1][0] == "critical"

    alias.check.stop()
    alias.source.changed()
    alias.clock.advance(10)
    assert len(alias.said) == 2
    assert (alias.source.waiting, alias.clock.getDelayedCalls()) == ([], [])


def test_checks_that_alias_each_other_come_to_rest() -> None:
    """Each of them changes the other's output: without a bound they would use the processor and memory up."""
    alias = Alias("", "web", check("other", "critical", type="alias"))
    for _ in range(200):
        alias.source.checks[0].output = alias.said[-1][1]  # what the other one says of this one
        alias.source.changed()
        alias.clock.advance(0)
    assert len(alias.said) == 1
    for _ in range(200):
        alias.source.checks[0].output = alias.said[-1][1]
        alias.source.changed()
        alias.clock.advance(CHAIN_INTERVAL_S)
    assert alias.said[-1] == alias.said[-2]
    assert len(alias.said[-1][1]) == OUTPUT_MAX_BYTES


def test_an_alias_of_an_alias_follows_a_change_at_once() -> None:
    alias = Alias("", "web", check("other", "critical", type="alias"))
    alias.clock.advance(CHAIN_INTERVAL_S)
    alias.source.checks = [check("other", "passing", type="alias")]
    alias.source.changed()
    alias.clock.advance(0)
    assert alias.said[-1] == ("passing", "All checks passing.")


def test_another_node_is_watched_by_a_blocking_query() -> None:
    alias = Alias("there", "web")
    node, index, answer = alias.source.queries[-1]
    assert (node, index) == ("there", 0)
    answer.callback((7, [check("a", "passing")], {"web"}))
    assert alias.said == [("passing", "All checks passing.")]
    alias.clock.advance(0)
    assert alias.source.queries[-1][1] == 7
    alias.source.queries[-1][2].callback((8, [], set()))
    assert alias.said[-1] == ("critical", "Service web could not be found on node there")


def test_the_service_consul_is_read_from_the_catalog() -> None:
    """It is no service of the agent's tables."""
    alias = Alias("here", "consul")
    alias.source.queries[-1][2].callback((3, [check("serfHealth", "passing", "")], {"consul"}))
    assert alias.said == [("passing", "All checks passing.")]


@pytest.mark.parametrize(
    ("service", "checks", "services", "said"),
    [
        ("web", [], None, ("critical", "Node there could not be found")),
        ("", [], None, ("critical", "Node there could not be found")),
        ("", [], {"web"}, ("critical", "Service  could not be found on node there")),
        ("", [check("a", "passing")], {"web"}, ("critical", "Service  could not be found on node there")),
        ("", [check("n", "passing", "")], {"web"}, ("passing", "All checks passing.")),
        ("web", [], {"web"}, ("passing", "No checks found.")),
        ("web", [check("n", "warning", "")], {"web"}, ("warning", 'Aliased check "n" failing: out')),
        ("none", [check("n", "passing", "")], {"web"}, ("critical", "Service none could not be found on node there")),
    ],
)
def test_an_unknown_node_or_one_without_checks_does_not_pass(
    service: str, checks: list[HealthCheck], services: set[str] | None, said: tuple[str, str]
) -> None:
    """As Consul judges them; for the first two it ends with a fault of its own (1.8.7)."""
    alias = Alias("there", service)
    alias.source.queries[-1][2].callback((3, checks, services))
    assert alias.said == [said]


def test_a_failed_query_is_critical_and_repeated() -> None:
    alias = Alias("there", "web")
    alias.source.queries[-1][2].errback(NoServers())
    assert alias.said[-1][0] == "critical"
    alias.clock.advance(5)
    assert len(alias.source.queries) == 2


def test_an_unchanged_index_is_no_busy_loop() -> None:
    alias = Alias("there", "web")
    alias.source.queries[-1][2].callback((0, [], {"web"}))
    alias.clock.advance(0.9)
    assert len(alias.source.queries) == 1
