"""The source of alias checks: this agent's entries and other nodes' catalog."""

from typing import Any

import pytest
from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock

from consulpy.checks.alias import AliasCheck
from consulpy.local.aliases import Aliases
from consulpy.local.sync.sync_state import Entries
from consulpy.structs.check import HealthCheck
from consulpy.structs.node import Node
from consulpy.structs.options import QueryMeta
from consulpy.structs.requests import HealthChecksReply, NodeServicesReply
from consulpy.structs.service import NodeService, NodeServices
from tests.fakes.local import Fraction, node


class Caller:
    def __init__(self) -> None:
        self.requests: list[tuple[str, Any]] = []

    def call(self, method: str, request: Any, dependencies: Any = None) -> Deferred[Any]:
        self.requests.append((method, request))
        if method == "Health.NodeChecks":
            check = HealthCheck(check_id="k", service_id="web", status="passing")
            return succeed(HealthChecksReply(meta=QueryMeta(index=5), health_checks=[check]))
        services = NodeServices(Node(node="there"), {"web": NodeService(id="web")})
        return succeed(NodeServicesReply(node_services=services if request.node == "there" else None))


def test_another_node_is_read_stale_and_blocking() -> None:
    caller = Caller()
    aliases = Aliases(Entries(node(), Clock(), Fraction()), caller)
    answers: list[Any] = []

    aliases.remote_node("a", "there", 4).addCallback(answers.append)

    index, checks, services = answers[0]
    assert (index, [check.check_id for check in checks], services) == (5, ["k"], {"web"})
    options = caller.requests[0][1].options
    assert (options.allow_stale, options.min_query_index, options.max_query_time) == (True, 4, 60_000_000_000)


@pytest.mark.parametrize(
    ("token", "from_file", "used"), [("own", False, "own"), ("", False, "default"), ("", True, "of files")]
)
def test_another_node_is_read_with_the_checks_token(token: str, from_file: bool, used: str) -> None:
    """As by a real agent, never with the agent's own, which may read more than who registered the check."""
    caller = Caller()
    entries = Entries(node(), Clock(), Fraction())
    entries.put_check(HealthCheck(check_id="a", name="a"), token, from_file=from_file)
    Aliases(entries, caller, lambda from_file: "of files" if from_file else "default").remote_node("a", "there", 0)
    assert [request.options.token for _, request in caller.requests] == [used, used]


def test_an_unknown_node_has_no_services() -> None:
    """Real Consul ends with a nil pointer here."""
    answers: list[Any] = []
    Aliases(Entries(node(), Clock(), Fraction()), Caller()).remote_node("a", "nobody", 0).addCallback(answers.append)
    assert answers[0][2] is None


def test_an_alias_of_a_file_shows_no_type_and_is_told_as_one() -> None:
    entries = Entries(node(), Clock(), Fraction())
    entries.put_check(HealthCheck(check_id="k", name="k"), "", from_file=True, is_alias=True)
    entries.put_check(HealthCheck(check_id="t", name="t"), "", from_file=True)
    assert [check.type for check in Aliases(entries, Caller()).local_checks()] == ["alias", ""]
    assert [check.type for check in entries.live_checks().values()] == ["", ""]


def test_an_alias_follows_the_agents_own_tables() -> None:
    clock = Clock()
    entries = Entries(node(), clock, Fraction())
    entries.put_service(NodeService(id="web", service="web"), "")
    entries.put_check(HealthCheck(check_id="k", name="k", service_id="web", status="passing"), "")
    said: list[tuple[str, str]] = []
    AliasCheck("a", "", "web", Aliases(entries, Caller()), lambda *word: said.append(word), clock)
    clock.advance(0)

    entries.update_check("k", "critical", "no")
    clock.advance(0)
    entries.delete_service("web")
    clock.advance(0)

    assert said == [
        ("passing", "All checks passing."),
        ("critical", 'Aliased check "k" failing: no'),
        ("critical", "Service web could not be found on node "),
    ]
