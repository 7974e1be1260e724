"""Filters and conditions of newer versions hold: a list is the one that was asked for, and nothing else is deleted."""

import pytest

from tests.harness.http import HttpHarness


@pytest.fixture
def harness() -> HttpHarness:
    harness = HttpHarness()
    for node, service, tag in (("n1", "web", "a"), ("n1", "db", "b"), ("n2", "web", "b")):
        body = {"Node": node, "Address": "10.0.0.1", "Service": {"Service": service, "Tags": [tag], "Port": 80}}
        harness.tell("PUT /v1/catalog/register", body)
    return harness


@pytest.mark.parametrize(
    ("expression", "services"),
    [
        ("ServiceName==web", {"web": ["a", "b"]}),
        ('"b"+in+ServiceTags', {"db": ["b"], "web": ["b"]}),
        ("Node==n2", {"web": ["b"]}),
        ("ServicePort==81", {}),
    ],
)
def test_services_are_filtered_by_their_instances(
    harness: HttpHarness, expression: str, services: dict[str, list[str]]
) -> None:
    """As Prometheus asks (consul_sd_configs, filter)."""
    answer = harness.ask(f"GET /v1/catalog/services?filter={expression}")
    assert (answer.status, answer.json) == (200, services)
    assert answer.headers["x-consul-index"] != "1"


@pytest.mark.parametrize("path", ["catalog/services", "agent/members", "config/service-defaults"])
def test_an_expression_that_means_nothing_is_an_error(harness: HttpHarness, path: str) -> None:
    answer = harness.ask(f"GET /v1/{path}?filter=Nothing==x")
    assert answer.status in (400, 500)
    assert "Nothing" in answer.text


def test_members_are_filtered(harness: HttpHarness) -> None:
    def names(expression: str) -> list[str]:
        return [each["Name"] for each in harness.ask(f"GET /v1/agent/members?filter={expression}").json]

    assert names("Name+==+%22agent-two%22") == ["agent-two"]
    assert names("Tags.role+==+consul") == ["agent-one"]
    assert names("Status==1") == ["agent-one", "agent-two"]
    assert names("Name+matches+`^x`") == []


def test_config_entries_are_filtered_and_deleted_on_a_condition(harness: HttpHarness) -> None:
    for name, protocol in (("a", "http"), ("b", "tcp")):
        harness.tell("PUT /v1/config", {"Kind": "service-defaults", "Name": name, "Protocol": protocol})
    found = harness.ask("GET /v1/config/service-defaults?filter=Protocol==http").json
    assert [each["Name"] for each in found] == ["a"]
    index = found[0]["ModifyIndex"]
    for wrong in (index + 1, 0):
        answer = harness.ask(f"DELETE /v1/config/service-defaults/a?cas={wrong}")
        assert (answer.status, answer.json) == (200, False)
    assert harness.ask("GET /v1/config/service-defaults/a").status == 200
    assert harness.ask("DELETE /v1/config/service-defaults/a?cas=x").status in (400, 500)
    assert harness.ask("DELETE /v1/config/service-defaults/nothing?cas=1").json is False
    assert harness.ask(f"DELETE /v1/config/service-defaults/a?cas={index}").json is True
    assert harness.ask("GET /v1/config/service-defaults/a").status == 404
    assert harness.ask("DELETE /v1/config/service-defaults/b").json == {}
