"""Go's literals."""

import math

import pytest

from consulpy.gocompat.literals import atoi, floating32, integer, unsigned


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


@pytest.mark.parametrize(
    ("text", "value"),
    [
        *(("1e2", 100), (".5", 0.5), ("5.", 5), ("+5", 5), ("1_000.5", 1000.5), ("017", 17), ("1e-400", 0)),
        *(("0x1p4", 16), ("0X_1P-2", 0.25), ("-0x.8p1", -1), ("iNfinity", math.inf), ("-inf", -math.inf)),
    ],
)
def test_numbers_of_32_bits_have_fractions_exponents_and_hexadecimal_digits(text: str, value: float) -> None:
    assert floating32(text) == value


def test_nan_is_such_a_number() -> None:
    assert math.isnan(floating32("NaN"))


@pytest.mark.parametrize("text", ["1e400", "-1e39", "3.5e38", "0x1p2000", "9" * 5000])
def test_numbers_that_do_not_fit_into_32_bits_are_out_of_range(text: str) -> None:
    with pytest.raises(ValueError, match=r"strconv\.ParseFloat: .*: value out of range"):
        floating32(text)


@pytest.mark.parametrize(
    "text", ["", " 1", "1 ", "1e", "1__0", "_1", "0x10", "0x1.8", "0x.p1", "0b11", "+nan", "infin", "\u0661"]
)
def test_other_texts_are_no_numbers_of_32_bits(text: str) -> None:
    with pytest.raises(ValueError, match=r"strconv\.ParseFloat: .*: invalid syntax"):
        floating32(text)


@pytest.mark.parametrize(("text", "number"), [("0", 0), ("0x10", 16), ("017", 15), ("4294967295", 2**32 - 1)])
def test_unsigned_numbers(text: str, number: int) -> None:
    assert unsigned(text, 32) == number


@pytest.mark.parametrize("text", ["+1", "-1", "09", " 1", ""])
def test_a_sign_is_no_part_of_an_unsigned_number(text: str) -> None:
    with pytest.raises(ValueError, match=r"strconv\.ParseUint: .*: invalid syntax"):
        unsigned(text, 32)


@pytest.mark.parametrize("text", ["18446744073709551616", "9" * 5000, "0x1" + "0" * 16])
def test_more_bits_than_there_are_is_out_of_range(text: str) -> None:
    with pytest.raises(ValueError, match=r"strconv\.ParseUint: .*: value out of range"):
        unsigned(text, 64)
    with pytest.raises(ValueError, match=r"strconv\.ParseInt: .*: value out of range"):
        integer(text)
