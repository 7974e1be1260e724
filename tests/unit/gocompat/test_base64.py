"""Base64 as Go reads it: what real Consul takes and refuses as a transaction's value and from `kv put -base64`."""

import json

import pytest

from consulpy.gocompat.base64_decode import decode_base64
from tests.harness.http import HttpHarness


@pytest.mark.parametrize("text", ["aGVsbG8=", "aGVs\nbG8=\n", "aGVsbG8\r\n=", b"aGVsbG8=\n", "", "\n"])
def test_line_ends_are_skipped(text: str | bytes) -> None:
    assert decode_base64(text) == (b"hello" if text.strip() else b"")


@pytest.mark.parametrize(
    "text", ["aGVsbG8", "aGVs bG8=", "aGVs-_8=", "aGVsbG8==", "==", "=", "aGVsbG8=a===", "\xe9AAA"]
)
def test_all_else_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        decode_base64(text)


def test_a_value_of_a_transaction_may_be_wrapped() -> None:
    """As `base64` wraps its output at 76 characters."""
    harness = HttpHarness()
    operations = [{"KV": {"Verb": "set", "Key": "a", "Value": "aGVs\nbG8=\n"}}]
    assert harness.ask("PUT /v1/txn", json.dumps(operations)).status == 200
    assert harness.ask("GET /v1/kv/a?raw").text == "hello"
