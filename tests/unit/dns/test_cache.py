"""The packet cache: never an answer that the full path would not give."""

from collections.abc import Callable
from functools import partial

from hypothesis import given
from hypothesis import strategies as st

from consulpy.dns import cache as limits
from consulpy.dns.cache import CacheableAnswer, PacketCache
from consulpy.rpc.cache.tag import NODE, SERVICE, CacheTag

WEB = (SERVICE, "web")
DB = (NODE, "db")


class State:
    """Validators that tests change."""

    def __init__(self) -> None:
        self.validators: dict[CacheTag, int | None] = {}

    def validator(self, tag: CacheTag) -> int | None:
        return self.validators.get(tag, 1)

    def change(self, tag: CacheTag) -> None:
        self.validators[tag] = (self.validators.get(tag, 1) or 0) + 1

    def made(
        self, packet: bytes, choices: int = 1, tag: CacheTag = WEB, shuffle: Callable[[], bytes] | None = None
    ) -> CacheableAnswer:
        return CacheableAnswer(packet, choices, tag, self.validator(tag), shuffle)


def test_a_hit_has_the_id_of_its_question() -> None:
    state = State()
    cache = PacketCache(state.validator)
    cache.put(b"idquestion", state.made(b"idanswer"))

    assert cache.get(b"XYquestion") == b"XYanswer"
    assert cache.get(b"XYother") is None
    assert (cache.hits, cache.misses) == (1, 1)


def test_a_change_invalidates_the_entries_of_its_tag_only() -> None:
    state = State()
    cache = PacketCache(state.validator)
    cache.put(b"idweb", state.made(b"idanswer"))
    cache.put(b"iddb", state.made(b"idanswer", tag=DB))

    state.change(WEB)

    assert cache.get(b"idweb") is None
    assert cache.get(b"iddb") == b"idanswer"


def test_an_answer_computed_before_a_change_is_not_served_after_it() -> None:
    state = State()
    cache = PacketCache(state.validator)
    made = state.made(b"idanswer")
    state.change(WEB)

    cache.put(b"idquestion", made)

    assert cache.get(b"idquestion") is None


def test_without_a_validator_nothing_is_cached() -> None:
    cache = PacketCache(lambda _scope: None)

    cache.put(b"idquestion", CacheableAnswer(b"idanswer", 1, WEB, None))

    assert cache.get(b"idquestion") is None


def test_an_answer_without_choices_is_not_cached() -> None:
    state = State()
    cache = PacketCache(state.validator)

    cache.put(b"idquestion", state.made(b"idanswer", choices=0))

    assert cache.get(b"idquestion") is None


class Shuffler:
    """Computes a new answer each time."""

    def __init__(self, size: int = 0) -> None:
        self.shuffles = 0
        self._size = size

    def shuffle(self) -> bytes:
        self.shuffles += 1
        return b"id" + (b"%d" % self.shuffles).rjust(self._size)


def test_a_set_is_shuffled_one_answer_at_a_time() -> None:
    """Of the first each is a new one; then one is shuffles anew each time that the set was served often enough."""
    state, shuffler = State(), Shuffler()
    cache = PacketCache(state.validator)
    cache.put(b"idquestion", state.made(b"idfirst", 5, shuffle=shuffler.shuffle))

    served = [cache.get(b"idquestion") for _ in range(limits.SET_ANSWERS_MAX)]
    assert served == [b"id%d" % (number + 1) for number in range(limits.SET_ANSWERS_MAX)]

    for turn in range(2 * limits.SET_ANSWERS_MAX):
        served = [cache.get(b"idquestion") for _ in range(limits.SET_ANSWERS_MAX * limits.ROUNDS)]
        newest = limits.SET_ANSWERS_MAX + turn + 1
        assert shuffler.shuffles == newest
        assert set(served) == {b"id%d" % (newest - back) for back in range(limits.SET_ANSWERS_MAX)}
    assert cache.misses == 0


def test_a_set_of_large_answers_is_smaller() -> None:
    state, shuffler = State(), Shuffler(limits.SET_BYTES_MAX // 3)
    cache = PacketCache(state.validator)
    cache.put(b"idquestion", state.made(b"idfirst", 5, shuffle=shuffler.shuffle))

    for _ in range(3):
        cache.get(b"idquestion")
    assert len({cache.get(b"idquestion") for _ in range(3 * limits.ROUNDS)}) == 3


def test_sets_start_again_every_second() -> None:
    """So that a client with rare questions is not sent to the same few instances for long."""
    state, shuffler = State(), Shuffler()
    cache = PacketCache(state.validator)
    cache.put(b"idone", state.made(b"idanswer"))
    cache.put(b"idmany", state.made(b"idfirst", 5, shuffle=shuffler.shuffle))
    for second in range(3):
        assert cache.get(b"idmany") == b"id%d" % (second + 1)
        cache.restart_sets()

    cache.restart_sets()  # no request for a second

    assert cache.get(b"idmany") is None
    assert cache.get(b"idone") is not None


def test_a_set_that_starts_again_is_validated() -> None:
    state = State()
    cache = PacketCache(state.validator)
    cache.put(b"idmany", state.made(b"idfirst", 5, shuffle=Shuffler().shuffle))
    cache.restart_sets()
    state.change(WEB)

    assert cache.get(b"idmany") is None
    assert len(cache) == 0


def test_a_failing_shuffle_falls_back_to_the_full_path() -> None:
    """An instance may have a name that cannot be encoded: an error of one answer, not of the socket."""
    state, shuffler = State(), Shuffler()

    def shuffle() -> bytes:
        if shuffler.shuffles == 2:
            raise ValueError("no name")
        return shuffler.shuffle()

    cache = PacketCache(state.validator)
    cache.put(b"idquestion", state.made(b"idfirst", 5, shuffle=shuffle))

    assert [cache.get(b"idquestion") for _ in range(3)] == [b"id1", b"id2", None]
    assert len(cache) == 0


def test_the_sets_are_bounded_by_their_records() -> None:
    state, shuffler = State(), Shuffler()
    cache = PacketCache(state.validator)
    for number in range(100):
        cache.put(b"id%d" % number, state.made(b"idanswer", limits.SET_RECORDS_MAX // 10, shuffle=shuffler.shuffle))

    assert 10 <= len(cache) <= 20
    assert cache.get(b"id99") is not None
    assert cache.get(b"id0") is None


def test_one_instance_becomes_many_and_one_again() -> None:
    state = State()
    cache = PacketCache(state.validator)
    cache.put(b"id", state.made(b"idone"))
    state.change(WEB)
    cache.put(b"id", state.made(b"idfirst", 5, shuffle=Shuffler().shuffle))
    assert cache.get(b"id") == b"id1"

    state.change(WEB)
    assert cache.get(b"id") is None
    cache.put(b"id", state.made(b"idone"))

    assert {cache.get(b"id") for _ in range(3)} == {b"idone"}


def test_the_number_of_entries_is_bounded() -> None:
    state = State()
    cache = PacketCache(state.validator)
    for number in range(limits.ENTRIES_MAX + 10):
        cache.put(b"id%d" % number, state.made(b"idanswer"))

    assert len(cache) <= limits.ENTRIES_MAX
    large = b"id" + bytes(limits.QUESTION_SIZE_MAX)
    cache.put(large, state.made(b"idanswer"))
    assert cache.get(large) is None


SCOPES = st.sampled_from([WEB, DB, ("", "")])


@given(st.lists(st.tuples(st.sampled_from(["ask", "change", "second"]), SCOPES, st.integers(1, 3)), max_size=80))
def test_it_never_serves_a_stale_answer(steps: list[tuple[str, CacheTag, int]]) -> None:
    state = State()
    cache = PacketCache(state.validator)
    for step, tag, choices in steps:
        if step == "change":
            state.change(tag)
            continue
        if step == "second":
            cache.restart_sets()
            continue
        packet = b"id" + repr((tag, choices)).encode()
        truth = b"id" + repr((tag, choices, state.validator(tag))).encode()
        answer = cache.get(packet)
        assert answer in (None, truth)
        if answer is None:
            cache.put(packet, state.made(truth, choices, tag, partial(bytes, truth)))
