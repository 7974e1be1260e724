"""Durations as Go reads and writes them (time.ParseDuration, Duration.String)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consulpy.gocompat.duration import DurationError, format_duration, parse_duration, parse_duration_ns


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("10s", 10),
        ("1h30m", 5400),
        ("300ms", 0.3),
        ("1.5h", 5400),
        ("0", 0),
        ("-1.5s", -1.5),
        ("100us", 1e-4),
        (".5s", 0.5),
    ],
)
def test_every_unit_and_sum_is_understood(text: str, seconds: float) -> None:
    assert parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "10", "s", "10 s", "10d", "1h-3m", "ten", "99999999h", "1e3s"])
def test_anything_else_says_what_was_expected(text: str) -> None:
    with pytest.raises(ValueError, match="duration"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("1 s", 'unknown unit " s" in duration "1 s"'),
        ("1_0s", 'unknown unit "_" in duration "1_0s"'),
        ("1s%20", 'unknown unit "s%" in duration "1s%20"'),
        ("1.5.5s", 'missing unit in duration "1.5.5s"'),
        ("\u0663s", 'invalid duration "\u0663s"'),
        ("1\u0663s", 'unknown unit "\u0663s" in duration "1\u0663s"'),
        ("1\ns", 'unknown unit "\ns" in duration "1\ns"'),
    ],
)
def test_a_unit_is_all_up_to_the_next_digit_of_ascii(text: str, error: str) -> None:
    """Seen on Consul 1.8.7."""
    with pytest.raises(DurationError) as raised:
        parse_duration_ns(text)
    assert str(raised.value) == f"time: {error}"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0s"), (90, "1m30s"), (5400, "1h30m0s"), (0.25, "250ms"), (1.5, "1.5s"), (2e-5, "20µs"), (-3, "-3s")],
)
def test_they_are_written_as_go_does(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text


@given(st.integers(min_value=-(10**15), max_value=10**15))
def test_what_is_written_reads_the_same(microseconds: int) -> None:
    seconds = microseconds / 1e6
    assert parse_duration(format_duration(seconds)) == pytest.approx(seconds, abs=1e-6)


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("", 'time: invalid duration ""'),
        ("10", 'time: missing unit in duration "10"'),
        ("9223372036854775808", 'time: invalid duration "9223372036854775808"'),
        ("10d", 'time: unknown unit "d" in duration "10d"'),
        ("9223372037s", 'time: invalid duration "9223372037s"'),
        ("1" * 31 + "s", f'time: invalid duration "{"1" * 31}s"'),
    ],
)
def test_requests_are_refused_in_go_words(text: str, error: str) -> None:
    with pytest.raises(DurationError) as refused:
        parse_duration_ns(text)
    assert str(refused.value) == error


def test_a_user_is_told_the_longest_duration() -> None:
    with pytest.raises(ValueError, match="at most 2562047h"):
        parse_duration("99999999h")
