"""Filter expressions: the same answers and texts as real Consul 1.8.7 gave (tests/vectors/filter)."""

import contextlib
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consulpy.filter import FilterError, compile_filter
from consulpy.structs.check import HealthCheck
from consulpy.structs.node import Node
from consulpy.structs.service import CheckServiceNode, ConnectProxy, NodeService, ServiceNode, Upstream, Weights

VECTORS = json.loads((Path(__file__).parents[2] / "vectors" / "filter" / "expressions.json").read_text())["cases"]

NODE = Node(
    id="x1",
    node="agent-one",
    address="127.34.0.1",
    datacenter="dc1",
    tagged_addresses={"lan": "127.34.0.1"},
    meta={"consul-network-segment": ""},
)
META = {"version": "1.8.7", "raft_version": "3"}
SERVICE = NodeService(id="consul", service="consul", tags=[], meta=META, port=8300, weights=Weights())
CHECK = HealthCheck(node="agent-one", check_id="serfHealth", status="passing")
RECORDS: dict[str, Any] = {
    "/v1/catalog/nodes": NODE,
    "/v1/health/service/consul": CheckServiceNode(NODE, SERVICE, [CHECK]),
    "/v1/catalog/service/consul": ServiceNode(
        node="agent-one", service_id="consul", service_name="consul", service_port=8300, service_meta=META
    ),
}


@pytest.mark.parametrize("case", VECTORS, ids=lambda case: case["expression"][:40])
def test_answers_as_consul_did(case: dict[str, str]) -> None:
    record = RECORDS[case["path"]]

    try:
        answer = f"200 {compile_filter(case['expression'], type(record))(record):d}"
    except FilterError as error:
        answer = f"500 {error}"

    assert answer == case["answer"]


def test_every_complaint_about_an_expression_is_told() -> None:
    with pytest.raises(FilterError) as raised:
        compile_filter('Meta["a\\"b"]=="1"', Node)

    assert str(raised.value).splitlines() == [
        'Failed to create boolean expression evaluator: 1:6 (5): rule "string": invalid syntax',
        '1:10 (9): rule "index": Unclosed index expression',
    ]


def test_a_list_of_records_holds_if_any_of_them_does() -> None:
    holds = compile_filter("Checks.Status == critical", CheckServiceNode)
    passing, critical = HealthCheck(status="passing"), HealthCheck(status="critical")

    assert holds(CheckServiceNode(checks=[passing, critical]))
    assert not holds(CheckServiceNode(checks=[passing]))
    assert not holds(CheckServiceNode(checks=None))


def test_upstreams_are_records_of_a_list() -> None:
    holds = compile_filter("Proxy.Upstreams.LocalBindPort == 80 and Proxy.Upstreams.DestinationName == db", NodeService)

    def with_upstreams(*upstreams: Upstream) -> NodeService:
        return NodeService(proxy=ConnectProxy(upstreams=list(upstreams)))

    assert holds(with_upstreams(Upstream(destination_name="db", local_bind_port=80)))
    assert not holds(with_upstreams(Upstream(destination_name="web")))
    with pytest.raises(FilterError, match="not valid"):
        compile_filter("Proxy.Upstreams.Config.a == b", NodeService)


def test_lazily_a_bad_selector_matters_only_when_there_is_a_record() -> None:
    """`/v1/agent/checks` without checks answers, with checks it says what is wrong, without introduction."""
    holds = compile_filter("Colour == red", HealthCheck, lazily=True)

    with pytest.raises(FilterError) as raised:
        holds(CHECK)

    assert str(raised.value) == 'Selector "Colour" is not valid'


def test_deep_nesting_is_an_error_and_not_a_crash() -> None:
    with pytest.raises(FilterError, match="nested deeper"):
        compile_filter("(" * 500 + "Node == a" + ")" * 500, Node)


def test_long_chains_are_fine() -> None:
    holds = compile_filter(" or ".join(f"Node == n{number}" for number in range(2000)), Node)

    assert holds(Node(node="n1999"))
    assert not holds(Node(node="n2000"))


def test_many_nots_are_fine() -> None:
    assert compile_filter("not " * 2000 + "Node == a", Node)(Node(node="a"))


@given(st.text(alphabet="Nodemt.=!\"'`()[] \\1-anorisu", max_size=60))
def test_any_text_is_read_or_refused(text: str) -> None:
    with contextlib.suppress(FilterError):
        compile_filter(text, Node)(NODE)
