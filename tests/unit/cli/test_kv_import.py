"""`kv import`: entries are read whole before the first is written."""

import json
from typing import Any

import pytest

from consulpy.cli.kv_entries import imported_entries


def test_entries_as_export_writes_them_and_with_what_go_takes() -> None:
    text = json.dumps(
        [{"key": "a", "flags": 7, "value": "eA=="}, {"Key": "b", "value": None}, {"key": "c", "value": "e\nA=="}]
    )
    assert imported_entries(text) == [("a", 7, b"x"), ("b", 0, b""), ("c", 0, b"x")]


@pytest.mark.parametrize(
    ("data", "fault"),
    [
        ({}, "expected a list of entries"),
        (["a"], "entry 0: expected an object"),
        ([{"foo": 1}], "entry 0: key: expected a string that is not empty"),
        ([{"key": "i", "flags": "x"}], "entry 0: flags of i: expected a whole number"),
        ([{"key": "i", "flags": -1}], "entry 0: flags of i: expected a whole number"),
        ([{"key": "i", "flags": True}], "entry 0: flags of i: expected a whole number"),
        ([{"key": "i", "value": 5}], "entry 0: value of i: expected a string"),
        ([{"key": "i", "value": "!"}], "Error base 64 decoding value for key i"),
    ],
)
def test_a_wrong_entry_is_named(data: Any, fault: str) -> None:
    with pytest.raises(ValueError, match=fault):
        imported_entries(json.dumps(data))


def test_text_that_is_no_json() -> None:
    with pytest.raises(ValueError, match="Cannot unmarshal data: "):
        imported_entries("x")
