"""Faults of intentions, all listed, with the texts of a real server of 1.8.7."""

import json

import pytest

from tests.harness.http import FakeAgent, HttpHarness


@pytest.mark.parametrize(
    ("source", "destination", "lines"),
    [
        (("*", ""), ("", "db"), ["SourceName must be set", "SourceName: exact value cannot follow wildcard namespace"]),
        (("*", "a"), ("", "db"), ["SourceName: exact value cannot follow wildcard namespace"]),
        (("", "a"), ("*", "db"), ["DestinationName: exact value cannot follow wildcard namespace"]),
    ],
)
def test_an_exact_name_needs_an_exact_namespace(
    source: tuple[str, str], destination: tuple[str, str], lines: list[str]
) -> None:
    harness = HttpHarness(FakeAgent().start())
    body = {"SourceNS": source[0], "SourceName": source[1], "DestinationNS": destination[0]}
    body |= {"DestinationName": destination[1], "Action": "allow"}
    answer = harness.ask("POST /v1/connect/intentions", json.dumps(body))
    assert answer.status == 500
    shown = [line.removeprefix("\t* ") for line in answer.body.decode().splitlines() if line.startswith("\t* ")]
    assert shown == lines
