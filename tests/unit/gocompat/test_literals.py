"""Go's literals."""

import pytest

from consulpy.gocompat.literals import atoi


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("0", 0),
        ("-0", 0),
        ("+7", 7),
        ("007", 7),
        ("9223372036854775807", 2**63 - 1),
        ("-9223372036854775808", -(2**63)),
    ],
)
def test_decimal_numbers_of_64_bits(text: str, number: int) -> None:
    assert atoi(text) == number


@pytest.mark.parametrize("text", ["9223372036854775808", "-9223372036854775809", "9" * 5000])
def test_larger_ones_are_out_of_range(text: str) -> None:
    with pytest.raises(ValueError, match="value out of range"):
        atoi(text)


@pytest.mark.parametrize("text", ["", "+", "1_0", "0x1", " 1", "1 ", "1.0", "\u0663", "--1"])
def test_other_texts_are_no_numbers(text: str) -> None:
    with pytest.raises(ValueError, match="invalid syntax"):
        atoi(text)
