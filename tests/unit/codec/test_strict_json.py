"""JSON from outside ends in a value that can be stored and shown, or in a fault that says what is wrong."""

import json
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from consulpy.codec.msgpack import pack, unpack
from consulpy.codec.strict_json import DEPTH_MAX, JsonError, first_value, parse

MANY = "9" * 5000
HOSTILE = {
    "a number of many digits": MANY,
    "a negative one": f"-{MANY}",
    "a number with many digits behind the point": f"{MANY}.5",
    "a huge exponent": "1e400",
    "a huge negative one": "-1E+99999",
    "NaN": "NaN",
    "Infinity": "Infinity",
    "-Infinity": "-Infinity",
    "the first half of a pair": r'"\ud800"',
    "the second half of a pair": r'"\udc00"',
    "a pair the wrong way round": r'"\udc00\ud800"',
    "a name that is half of a pair": r'{"\uD83D":1}',
    "deep lists": "[" * (DEPTH_MAX + 1) + "]" * (DEPTH_MAX + 1),
    "deep blocks": '{"a":' * 300 + "1" + "}" * 300,
    "very deep lists": "[" * 200_000,
    "very deep lists that end": "[" * 200_000 + "]" * 200_000,
}


@pytest.mark.parametrize("kind", HOSTILE)
@pytest.mark.parametrize("around", ["%s", '{"a":%s}', '[1,%s,"x"]'])
def test_hostile_json_is_a_fault(kind: str, around: str) -> None:
    text = around % HOSTILE[kind]
    with pytest.raises(JsonError) as caught:
        parse(text.encode())
    assert 0 < len(str(caught.value)) < 200


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (r'"\ud83d\ude00"', "\U0001f600"),
        (r'"\\ud800"', r"\ud800"),
        ('{"a":1,"a":2}', {"a": 2}),
        ("[" * DEPTH_MAX + "]" * DEPTH_MAX, None),
        ("[" + ",".join(["[]"] * 5000) + "]", [[]] * 5000),
        ("1e308", 1e308),
        ("1e-999", 0.0),
        ("18446744073709551616", 1 << 64),
        (' \n"x" ', "x"),
    ],
)
def test_what_is_odd_and_right(text: str, value: Any) -> None:
    found = parse(text)
    assert value is None or found == value
    assert first_value(text + " and more") == found


_values: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
)


@given(_values, st.booleans())
def test_it_reads_what_is_written(value: Any, ascii_only: bool) -> None:
    assert parse(json.dumps(value, ensure_ascii=ascii_only)) == value


@given(st.binary(max_size=60) | st.text(alphabet='[]{}",:0123456789eE.-+\\u d8NaInfty', max_size=60).map(str.encode))
def test_whatever_is_taken_can_be_stored_and_shown(data: bytes) -> None:
    try:
        value = parse(data)
    except JsonError:
        return
    assert orjson.loads(json.dumps(value)) is not None or value is None
    if not isinstance(value, int):
        unpack(pack(json.loads(json.dumps(value, default=str), parse_int=float)))
