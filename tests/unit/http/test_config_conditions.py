"""Config entries: conditions, names, and gateways of one name in another case. Seen on Consul 1.8.7."""

from typing import Any

import pytest

from tests.harness.http import HttpHarness

SERVICE = {"Name": "s"}
INGRESS = {"Kind": "ingress-gateway", "Listeners": [{"Port": 80, "Protocol": "tcp", "Services": [SERVICE]}]}
TERMINATING = {"Kind": "terminating-gateway", "Services": [SERVICE]}


@pytest.mark.parametrize("kind", ["service-defaults", "ingress-gateway", "terminating-gateway"])
def test_an_index_that_no_entry_has_is_found_before_a_missing_name(kind: str) -> None:
    harness = HttpHarness()
    for cas, status, text in ((1, 200, "false"), (0, 500, ""), ("", 500, "")):
        answer = harness.ask(f"PUT /v1/config?cas={cas}", {"Kind": kind})
        assert (answer.status, answer.text if status == 200 else "") == (status, text)


@pytest.mark.parametrize("kind", ["service-router", "service-resolver", "service-splitter"])
def test_other_kinds_look_for_the_name_first(kind: str) -> None:
    answer = HttpHarness().ask("PUT /v1/config?cas=1", {"Kind": kind})
    assert (answer.status, answer.text) == (500, "Name is required")


@pytest.mark.parametrize("cas", [2**63, 2**64 - 1])
def test_an_index_of_more_than_63_bits_is_that_of_no_entry(cas: int) -> None:
    harness = HttpHarness()
    answer = harness.ask(f"PUT /v1/config?cas={cas}", {"Kind": "service-defaults", "Name": "w"})
    assert (answer.status, answer.text) == (200, "false")
    assert harness.ask(f"DELETE /v1/config/service-defaults/w?cas={cas}").text == "false"


@pytest.mark.parametrize(("first", "second"), [(INGRESS, TERMINATING), (TERMINATING, INGRESS)])
@pytest.mark.parametrize("name", ["web", "WEB", "wEb"])
def test_a_name_is_that_of_one_kind_of_gateway_in_any_case(
    first: dict[str, Any], second: dict[str, Any], name: str
) -> None:
    harness = HttpHarness()
    harness.tell("PUT /v1/config", {**first, "Name": "web"})
    answer = harness.ask("PUT /v1/config", {**second, "Name": name})
    assert answer.status == 500
    assert answer.text == (
        f'cannot create a "{second["Kind"]}" config entry with name "{name}", '
        f'a "{first["Kind"]}" config entry with that name already exists'
    )


def test_a_gateway_of_another_case_takes_the_place_of_its_own_kind() -> None:
    harness = HttpHarness()
    harness.tell("PUT /v1/config", {**INGRESS, "Name": "web"})
    harness.tell("PUT /v1/config", {**INGRESS, "Name": "WEB"})
    assert [entry["Name"] for entry in harness.ask("GET /v1/config/ingress-gateway").json] == ["WEB"]
