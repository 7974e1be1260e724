"""The packet cache: never an answer that the plain way would not give."""

from hypothesis import given
from hypothesis import strategies as st

from consulpy.dns import cache as limits
from consulpy.dns.cache import NODE, SERVICE, Made, PacketCache, Scope

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

    def made(self, packet: bytes, choices: int = 1, scope: Scope = WEB) -> Made:
        return Made(packet, choices, scope, self.version(scope))


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

    cache.put(b"idquestion", Made(b"idanswer", 1, WEB, None))

    assert cache.get(b"idquestion") is None


def test_answers_that_depend_on_more_are_not_kept() -> None:
    state = State()
    cache = PacketCache(state.version)

    cache.put(b"idquestion", state.made(b"idanswer", choices=0))

    assert cache.get(b"idquestion") is None


def test_random_choices_are_collected_and_made_anew_after_a_while() -> None:
    state = State()
    cache = PacketCache(state.version)
    answers = [b"id%d" % number for number in range(limits.CHOICES)]
    for answer in answers[:-1]:
        cache.put(b"idquestion", state.made(answer, choices=5))
    assert cache.get(b"idquestion") is None

    cache.put(b"idquestion", state.made(answers[-1], choices=5))

    shown = [cache.get(b"idquestion") for _ in range(limits.CHOICES * limits.ROUNDS)]
    assert set(shown) == set(answers)
    assert cache.get(b"idquestion") is None


def test_sets_of_choices_are_forgotten_every_second() -> None:
    """So that who asks seldom is not sent to the same few instances for long."""
    state = State()
    cache = PacketCache(state.version)
    cache.put(b"idone", state.made(b"idanswer"))
    for _ in range(limits.CHOICES):
        cache.put(b"idmany", state.made(b"idanswer", choices=5))
    assert cache.get(b"idmany") is not None

    cache.forget_choices()

    assert cache.get(b"idmany") is None
    assert cache.get(b"idone") is not None


def test_one_instance_that_becomes_many_is_shown_as_many() -> None:
    state = State()
    cache = PacketCache(state.version)
    cache.put(b"id", state.made(b"idone"))
    state.change(WEB)
    for _ in range(limits.CHOICES):
        cache.put(b"id", state.made(b"idmany", choices=5))

    assert cache.get(b"id") == b"idmany"


def test_a_collection_holds_no_choice_from_before_a_change() -> None:
    state = State()
    cache = PacketCache(state.version)
    cache.put(b"idquestion", state.made(b"idold", choices=5))
    state.change(WEB)

    for _ in range(limits.CHOICES):
        cache.put(b"idquestion", state.made(b"idnew", choices=5))

    assert {cache.get(b"idquestion") for _ in range(limits.CHOICES)} == {b"idnew"}


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


@given(st.lists(st.tuples(st.sampled_from(["ask", "change"]), SCOPES, st.integers(1, 3)), max_size=80))
def test_it_never_shows_what_was_true_before(steps: list[tuple[str, Scope, int]]) -> None:
    state = State()
    cache = PacketCache(state.version)
    for step, scope, choices in steps:
        if step == "change":
            state.change(scope)
            continue
        packet = b"id" + repr((scope, choices)).encode()
        truth = b"id" + repr((scope, choices, state.version(scope))).encode()
        answer = cache.get(packet)
        assert answer in (None, truth)
        if answer is None:
            cache.put(packet, state.made(truth, choices, scope))
