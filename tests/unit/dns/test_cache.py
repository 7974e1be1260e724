"""The packet cache: never an answer that the plain way would not give."""

from collections.abc import Callable
from functools import partial

from hypothesis import given
from hypothesis import strategies as st

from consulpy.dns import cache as limits
from consulpy.dns.cache import NODE, SERVICE, CacheableAnswer, PacketCache, Scope

WEB = (SERVICE, "web")
DB = (NODE, "db")


class State:
    """Versions that tests change."""

    def __init__(self) -> None:
        self.versions: dict[Scope, int | None] = {}

    def version(self, scope: Scope) -> int | None:
        return self.versions.get(scope, 1)

    def change(self, scope: Scope) -> None:
        self.versions[scope] = (self.versions.get(scope, 1) or 0) + 1

    def made(
        self, packet: bytes, choices: int = 1, scope: Scope = WEB, draw: Callable[[], bytes] | None = None
    ) -> CacheableAnswer:
        return CacheableAnswer(packet, choices, scope, self.version(scope), draw)


def test_a_hit_has_the_id_of_its_question() -> None:
    state = State()
    cache = PacketCache(state.version)
    cache.put(b"idquestion", state.made(b"idanswer"))

    assert cache.get(b"XYquestion") == b"XYanswer"
    assert cache.get(b"XYother") is None
    assert (cache.hits, cache.misses) == (1, 1)


def test_a_change_forgets_what_is_about_it_and_nothing_else() -> None:
    state = State()
    cache = PacketCache(state.version)
    cache.put(b"idweb", state.made(b"idanswer"))
    cache.put(b"iddb", state.made(b"idanswer", scope=DB))

    state.change(WEB)

    assert cache.get(b"idweb") is None
    assert cache.get(b"iddb") == b"idanswer"


def test_an_answer_made_before_a_change_is_not_shown_after_it() -> None:
    state = State()
    cache = PacketCache(state.version)
    made = state.made(b"idanswer")
    state.change(WEB)

    cache.put(b"idquestion", made)

    assert cache.get(b"idquestion") is None


def test_without_a_version_nothing_is_kept() -> None:
    cache = PacketCache(lambda _scope: None)

    cache.put(b"idquestion", CacheableAnswer(b"idanswer", 1, WEB, None))

    assert cache.get(b"idquestion") is None


def test_answers_that_depend_on_more_are_not_kept() -> None:
    state = State()
    cache = PacketCache(state.version)

    cache.put(b"idquestion", state.made(b"idanswer", choices=0))

    assert cache.get(b"idquestion") is None


class Deck:
    """Draws a new answer each time."""

    def __init__(self, size: int = 0) -> None:
        self.drawn = 0
        self._size = size

    def draw(self) -> bytes:
        self.drawn += 1
        return b"id" + (b"%d" % self.drawn).rjust(self._size)


def test_random_choices_are_drawn_one_at_a_time() -> None:
    """Of the first each is a new one; then one is drawn anew each time that the set was shown often enough."""
    state, deck = State(), Deck()
    cache = PacketCache(state.version)
    cache.put(b"idquestion", state.made(b"idfirst", 5, draw=deck.draw))

    shown = [cache.get(b"idquestion") for _ in range(limits.CHOICES)]
    assert shown == [b"id%d" % (number + 1) for number in range(limits.CHOICES)]

    for turn in range(2 * limits.CHOICES):
        shown = [cache.get(b"idquestion") for _ in range(limits.CHOICES * limits.ROUNDS)]
        newest = limits.CHOICES + turn + 1
        assert deck.drawn == newest
        assert set(shown) == {b"id%d" % (newest - back) for back in range(limits.CHOICES)}
    assert cache.misses == 0


def test_of_large_answers_fewer_are_kept() -> None:
    state, deck = State(), Deck(limits.SET_BYTES_MAX // 3)
    cache = PacketCache(state.version)
    cache.put(b"idquestion", state.made(b"idfirst", 5, draw=deck.draw))

    for _ in range(3):
        cache.get(b"idquestion")
    assert len({cache.get(b"idquestion") for _ in range(3 * limits.ROUNDS)}) == 3


def test_sets_of_choices_begin_again_every_second() -> None:
    """So that who asks seldom is not sent to the same few instances for long."""
    state, deck = State(), Deck()
    cache = PacketCache(state.version)
    cache.put(b"idone", state.made(b"idanswer"))
    cache.put(b"idmany", state.made(b"idfirst", 5, draw=deck.draw))
    for second in range(3):
        assert cache.get(b"idmany") == b"id%d" % (second + 1)
        cache.forget_choices()

    cache.forget_choices()  # nobody asked for a second

    assert cache.get(b"idmany") is None
    assert cache.get(b"idone") is not None


def test_a_set_that_begins_again_is_of_now() -> None:
    state = State()
    cache = PacketCache(state.version)
    cache.put(b"idmany", state.made(b"idfirst", 5, draw=Deck().draw))
    cache.forget_choices()
    state.change(WEB)

    assert cache.get(b"idmany") is None
    assert len(cache) == 0


def test_what_can_t_be_drawn_is_made_the_plain_way() -> None:
    """Some instance may have a name that can't be said in DNS: that is an error of one answer, not of the socket."""
    state, deck = State(), Deck()

    def draw() -> bytes:
        if deck.drawn == 2:
            raise ValueError("no name")
        return deck.draw()

    cache = PacketCache(state.version)
    cache.put(b"idquestion", state.made(b"idfirst", 5, draw=draw))

    assert [cache.get(b"idquestion") for _ in range(3)] == [b"id1", b"id2", None]
    assert len(cache) == 0


def test_the_sets_are_bounded_by_what_they_choose_from() -> None:
    state, deck = State(), Deck()
    cache = PacketCache(state.version)
    for number in range(100):
        cache.put(b"id%d" % number, state.made(b"idanswer", limits.SET_RECORDS_MAX // 10, draw=deck.draw))

    assert 10 <= len(cache) <= 20
    assert cache.get(b"id99") is not None
    assert cache.get(b"id0") is None


def test_one_instance_that_becomes_many_is_shown_as_many_and_back() -> None:
    state = State()
    cache = PacketCache(state.version)
    cache.put(b"id", state.made(b"idone"))
    state.change(WEB)
    cache.put(b"id", state.made(b"idfirst", 5, draw=Deck().draw))
    assert cache.get(b"id") == b"id1"

    state.change(WEB)
    assert cache.get(b"id") is None
    cache.put(b"id", state.made(b"idone"))

    assert {cache.get(b"id") for _ in range(3)} == {b"idone"}


def test_it_is_bounded() -> None:
    state = State()
    cache = PacketCache(state.version)
    for number in range(limits.ENTRIES_MAX + 10):
        cache.put(b"id%d" % number, state.made(b"idanswer"))

    assert len(cache) <= limits.ENTRIES_MAX
    large = b"id" + bytes(limits.QUESTION_SIZE_MAX)
    cache.put(large, state.made(b"idanswer"))
    assert cache.get(large) is None


SCOPES = st.sampled_from([WEB, DB, ("", "")])


@given(st.lists(st.tuples(st.sampled_from(["ask", "change", "second"]), SCOPES, st.integers(1, 3)), max_size=80))
def test_it_never_shows_what_was_true_before(steps: list[tuple[str, Scope, int]]) -> None:
    state = State()
    cache = PacketCache(state.version)
    for step, scope, choices in steps:
        if step == "change":
            state.change(scope)
            continue
        if step == "second":
            cache.forget_choices()
            continue
        packet = b"id" + repr((scope, choices)).encode()
        truth = b"id" + repr((scope, choices, state.version(scope))).encode()
        answer = cache.get(packet)
        assert answer in (None, truth)
        if answer is None:
            cache.put(packet, state.made(truth, choices, scope, partial(bytes, truth)))
