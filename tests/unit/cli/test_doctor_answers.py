"""What `doctor` says of the time that an agent's answers take: only of answers that it waited for."""

import threading
import time
from concurrent.futures import Future

import pytest

from consulpy.cli.deadline import Deadline
from consulpy.cli.doctor import _late_answers, _Small
from consulpy.diagnosis.causes import Cause


def small(took_s: float, pending_s: float) -> "Future[_Small]":
    """A request whose result is there after `pending_s`, and says that the answer took `took_s`."""
    future: Future[_Small] = Future()
    if pending_s:
        threading.Timer(pending_s, future.set_result, [_Small(took_s, True)]).start()
    else:
        future.set_result(_Small(took_s, True))
    return future


@pytest.mark.parametrize(
    ("took_s", "is_late"), [((0.01, 0.02, 0.01), False), ((0.01, 0.02, 0.9), False), ((0.01, 0.7, 0.9), True)]
)
@pytest.mark.parametrize("pending_s", [0.0, 0.3])
def test_answers_that_are_on_their_way_are_not_late(took_s: tuple[float, ...], is_late: bool, pending_s: float) -> None:
    times = [small(each, pending_s * number) for number, each in enumerate(took_s)]
    found = _late_answers([], times, Deadline(30))
    assert [each["cause"] for each in found] == [str(Cause.SELF_SLOW)] * is_late


def test_an_answer_that_never_comes_is_waited_for_until_the_deadline() -> None:
    began_s = time.monotonic()
    times = [small(0.01, 0.0), Future[_Small](), Future[_Small]()]
    (found,) = _late_answers([], times, Deadline(0.2))
    assert "not in 3 s" in found["text"]
    assert time.monotonic() - began_s < 10
    assert _late_answers([{"cause": "self-slow"}], times, Deadline(0.2)) == []
