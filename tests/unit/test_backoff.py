"""The pause between attempts that fail."""

from consulpy.backoff import backoff_s


def test_the_pause_doubles_up_to_its_maximum() -> None:
    assert [backoff_s(failures, 0.5, 5.0) for failures in range(1, 7)] == [0.5, 1.0, 2.0, 4.0, 5.0, 5.0]


def test_a_maximum_below_the_first_pause_holds_from_the_start() -> None:
    assert backoff_s(1, 1.0, 0.25) == 0.25


def test_any_number_of_failures_gives_the_maximum() -> None:
    assert backoff_s(10**6, 0.01, 2.56) == 2.56
