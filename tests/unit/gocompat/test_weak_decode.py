"""Loosely typed settings: a text that stands for a number is read as by Go's ParseInt with base 0, with its errors."""

import pytest

from consulpy.gocompat.weak_decode import number, whole


@pytest.mark.parametrize(
    ("text", "value"), [("42", 42), ("-7", -7), ("0x1f", 31), ("017", 15), ("0o17", 15), ("1_000", 1000)]
)
def test_a_text_stands_for_a_whole_number(text: str, value: int) -> None:
    assert whole("Leeway", text) == value


@pytest.mark.parametrize(
    ("text", "shown", "fault"),
    [
        (" 5", '" 5"', "invalid syntax"),
        ("5s", '"5s"', "invalid syntax"),
        ("\x01", r'"\x01"', "invalid syntax"),
        ("9223372036854775808", '"9223372036854775808"', "value out of range"),
    ],
)
def test_what_is_no_number_is_quoted_as_go_does(text: str, shown: str, fault: str) -> None:
    with pytest.raises(ValueError) as raised:  # noqa: PT011 - the whole text is compared
        whole("Leeway", text)
    assert str(raised.value) == f"cannot parse 'Leeway' as int: strconv.ParseInt: parsing {shown}: {fault}"


def test_a_number_with_a_point_likewise() -> None:
    assert number("Rate", "0.5") == 0.5
    with pytest.raises(
        ValueError, match=r'^cannot parse \'Rate\' as float: strconv.ParseFloat: parsing "\\x01": invalid'
    ):
        number("Rate", "\x01")
