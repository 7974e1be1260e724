"""Texts of settings as Go's weak decoding makes them."""

import pytest

from consulpy.gocompat.weak_text import weak_text


@pytest.mark.parametrize(
    ("value", "text"),
    [(7.0, "7"), (7.5, "7.5"), (1e21, "1" + 21 * "0"), (True, "1"), (False, "0"), (3, "3"), ("x", "x"), ("", ""),
     (None, None), ([], None), (float("inf"), None)],
)  # fmt: skip
def test_texts(value: object, text: str | None) -> None:
    assert weak_text(value) == text
