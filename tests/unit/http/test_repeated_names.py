"""A name twice in an object of a body: each value is decoded into the same struct, as Go does. Seen on Consul 1.8.7."""

import pytest

from tests.harness.http import HttpHarness

NODE = '"Node":"n","Address":"10.0.0.1"'


@pytest.mark.parametrize(
    ("body", "shown"),
    [
        ('"Service":{"Service":"w"},"Service":{"Port":80}', ["w", 80]),
        ('"Service":{"Service":"w"},"service":{"Port":80}', ["w", 80]),
        ('"Service":{"Service":"w","Port":80},"Service":{}', ["w", 80]),
        ('"Service":{"Service":"w","Port":80,"Port":null}', ["w", 80]),
        ('"Service":{"Service":"w","Port":80,"port":81}', ["w", 81]),
        ('"Service":{"Service":"x","Service":"w","Port":80}', ["w", 80]),
        ('"Service":null,"Service":{"Service":"w","Port":80}', ["w", 80]),
    ],
)
def test_objects_are_merged_and_of_texts_the_last_counts(body: str, shown: list[object]) -> None:
    harness = HttpHarness()
    assert harness.ask("PUT /v1/catalog/register", f"{{{NODE},{body}}}").text == "true"
    (row,) = harness.ask("GET /v1/catalog/service/w").json
    assert [row["ServiceName"], row["ServicePort"]] == shown


@pytest.mark.parametrize(
    "body", ['"Node":"n","Node":null,"Address":"10.0.0.1"', '"Node":"n","node":null,"Address":"10.0.0.1"']
)
def test_null_leaves_a_text_as_it_was(body: str) -> None:
    assert HttpHarness().ask("PUT /v1/catalog/register", f"{{{body}}}").text == "true"


def test_null_takes_away_what_may_be_absent() -> None:
    harness = HttpHarness()
    assert (
        harness.ask("PUT /v1/catalog/register", f'{{{NODE},"Service":{{"Service":"w"}},"Service":null}}').text == "true"
    )
    assert harness.ask("GET /v1/catalog/service/w").json == []


@pytest.mark.parametrize("body", ['"Node":5,"Node":"n","Address":"10.0.0.1"', '"Nodee":5,"Nodee":null,' + NODE])
def test_each_of_them_is_checked(body: str) -> None:
    harness = HttpHarness()
    assert harness.ask("PUT /v1/catalog/register", f"{{{body}}}").status == 400
    assert [row["Node"] for row in harness.ask("GET /v1/catalog/nodes").json if row["Node"] == "n"] == []


@pytest.mark.parametrize("name", ["Checks", "NodeChecks"])
def test_checks_of_a_session_and_then_null(name: str) -> None:
    answer = HttpHarness().ask("PUT /v1/session/create", f'{{"{name}":["serfHealth"],"{name.lower()}":null}}')
    assert answer.status == 200


def test_free_settings_have_the_last_value() -> None:
    harness = HttpHarness()
    body = '{"Kind":"proxy-defaults","Name":"global","Config":{"a":{"b":1},"a":{"c":2}}}'
    assert harness.ask("PUT /v1/config", body).text == "true"
    assert harness.ask("GET /v1/config/proxy-defaults/global").json["Config"] == {"a": {"c": 2}}


def test_a_duration_that_null_is_not_taken_for_is_not_saved_by_an_earlier_one() -> None:
    check = '{"Node":"n","Name":"c","Definition":{"Interval":"5s","Interval":null}}'
    answer = HttpHarness().ask("PUT /v1/txn", f'[{{"Check":{{"Verb":"set","Check":{check}}}}}]')
    assert (answer.status, answer.text) == (
        400,
        'Failed to parse body: strconv.ParseFloat: parsing "null": invalid syntax',
    )
