"""The packet cache: never an answer that the plain way would not give."""

from hypothesis import given
from hypothesis import strategies as st

from consulpy.dns import cache as limits
from consulpy.dns.cache import PacketCache


class State:
    index: int | None = 1

    def version(self) -> int | None:
        return self.index


def filled(state: State, *answers: bytes, choices: int = 1) -> PacketCache:
    cache = PacketCache(state.version)
    assert cache.get(b"idquestion") is None
    for answer in answers:
        cache.put(b"idquestion", answer, choices, state.index)
    return cache


def test_a_hit_has_the_id_of_its_question() -> None:
    cache = filled(State(), b"idanswer")

    assert cache.get(b"XYquestion") == b"XYanswer"
    assert cache.get(b"XYother") is None


def test_a_new_state_forgets_everything() -> None:
    state = State()
    cache = filled(state, b"idanswer")

    state.index = 2

    assert cache.get(b"idquestion") is None
    assert len(cache) == 0


def test_an_answer_from_a_state_that_is_over_is_not_kept() -> None:
    """The state changed while the answer was being made."""
    state = State()
    cache = filled(state)
    state.index = 2
    cache.get(b"idquestion")

    cache.put(b"idquestion", b"idanswer", 1, 1)

    assert cache.get(b"idquestion") is None


def test_without_a_state_nothing_is_kept() -> None:
    state = State()
    state.index = None

    assert filled(state, b"idanswer").get(b"idquestion") is None


def test_answers_that_are_no_function_of_the_state_are_not_kept() -> None:
    assert filled(State(), b"idanswer", choices=0).get(b"idquestion") is None


def test_random_choices_are_collected_and_made_anew_after_a_while() -> None:
    answers = [b"id%d" % number for number in range(limits.CHOICES)]
    cache = filled(State(), *answers[:-1], choices=5)
    assert cache.get(b"idquestion") is None

    cache.put(b"idquestion", answers[-1], 5, 1)

    shown = [cache.get(b"idquestion") for _ in range(limits.CHOICES * limits.ROUNDS)]
    assert set(shown) == set(answers)
    assert cache.get(b"idquestion") is None


def test_it_is_bounded() -> None:
    state = State()
    cache = filled(state)
    for number in range(limits.ENTRIES_MAX + 10):
        cache.put(b"id%d" % number, b"idanswer", 1, 1)

    assert len(cache) <= limits.ENTRIES_MAX
    cache.put(b"id" + bytes(limits.QUESTION_SIZE_MAX), b"idanswer", 1, 1)
    assert cache.get(b"id" + bytes(limits.QUESTION_SIZE_MAX)) is None


@given(st.lists(st.tuples(st.sampled_from(["ask", "change"]), st.integers(0, 3)), max_size=60))
def test_it_never_shows_what_an_older_state_said(steps: list[tuple[str, int]]) -> None:
    state = State()
    cache = PacketCache(state.version)
    for step, number in steps:
        if step == "change":
            state.index = (state.index or 0) + 1
            continue
        packet = b"id" + bytes([number])
        truth = b"id%d at %d" % (number, state.index or 0)
        answer = cache.get(packet)
        assert answer in (None, truth)
        if answer is None:
            cache.put(packet, truth, 1, cache.version())
