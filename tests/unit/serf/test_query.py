"""Whom a query is for, what the asker keeps, key and name queries (docs/wire/gossip.md 6.5)."""

import base64
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consulpy.errors import WireError
from consulpy.memberlist.keyring import Keyring
from consulpy.serf.conflict import ConflictVote, Verdict, answer_conflict_query
from consulpy.serf.key_manager import INSTALL, LIST, REMOVE, USE, answer_key_query
from consulpy.serf.members import Member
from consulpy.serf.messages import ConflictResponse, KeyRequest, KeyResponseMessage, decode
from consulpy.serf.query import PendingQuery, QueryParams, QueryResult, default_timeout_s, is_for

TAGS = {"role": "production", "dc": "dc1"}


def matches(**params: object) -> bool:
    return is_for(QueryParams(**params).filters(), "n1", TAGS)  # type: ignore[arg-type]


def test_a_query_without_filters_is_for_everybody_and_has_none_on_the_wire() -> None:
    """Section 10.9: an empty filter kills real peers."""
    assert QueryParams().filters() is None
    assert matches()


def test_filters_are_written_as_real_serf_writes_them() -> None:
    """packets_serf.json, ask2 and ask3."""
    params = QueryParams(filter_nodes=["p2", "f2"], filter_tags={"role": "pro.*"})
    assert params.filters() == [
        b"\x00\x92\xa2p2\xa2f2",
        b"\x01\x82\xa4Expr\xa5pro.*\xa3Tag\xa4role",
    ]


def test_all_filters_must_match_and_an_expression_is_searched() -> None:
    assert matches(filter_nodes=["n1", "n2"])
    assert not matches(filter_nodes=["n2"])
    assert matches(filter_tags={"role": "duc"})
    assert matches(filter_tags={"role": "^pro", "dc": "1$"})
    assert not matches(filter_tags={"role": "^pro", "dc": "2$"})
    assert matches(filter_tags={"missing": "^$"})
    assert not matches(filter_nodes=["n1"], filter_tags={"role": "web"})


@pytest.mark.parametrize("encoded", [b"", b"\x00", b"\x01\x80\xc0"[:1], b"\x02\x90", b"\x00\x80", b"\x01\x90"])
def test_a_filter_that_cannot_be_read_is_for_nobody(encoded: bytes) -> None:
    assert not is_for([encoded], "n1", TAGS)


@pytest.mark.parametrize("expression", ["(", "a(?=b)", "(?<!x)y", r"(a)\1", "[z-a]", "x" * 600])
def test_an_expression_that_go_refuses_is_for_nobody(expression: str) -> None:
    assert not matches(filter_tags={"role": expression})


@given(st.lists(st.binary(max_size=40), max_size=3))
def test_random_filters_are_harmless(filters: list[bytes]) -> None:
    is_for(filters, "n1", TAGS)


def test_the_default_timeout_grows_with_the_cluster() -> None:
    assert default_timeout_s(0.2, 16, 1) == default_timeout_s(0.2, 16, 9) == pytest.approx(3.2)
    assert default_timeout_s(0.2, 16, 10) == pytest.approx(6.4)


def test_each_member_counts_once_and_nothing_after_the_end() -> None:
    seen: list[tuple[str, bytes]] = []
    results: list[QueryResult] = []
    pending = PendingQuery(1, 2, 2, lambda name, payload: seen.append((name, payload)), None, results.append)
    assert pending.response("a", b"1")
    assert not pending.response("a", b"again")
    assert pending.ack("a")
    assert not pending.ack("a")
    assert pending.response("b", b"2")
    assert not pending.response("c", b"more than members")
    pending.finish()
    pending.finish()
    assert not pending.response("d", b"late")
    assert seen == [("a", b"1"), ("b", b"2")]
    assert results == [QueryResult(["a"], {"a": b"1", "b": b"2"})]


# -- keys

ONE, TWO = b"1" * 16, b"2" * 32


def key_query(name: str, keyring: Keyring | None, key: bytes = b"", limit: int = 1024) -> KeyResponseMessage:
    saved.clear()
    replies: list[bytes] = []
    fits = lambda reply: len(reply) <= limit  # noqa: E731
    answer_key_query(name, KeyRequest(key).encode(), keyring, save, fits, replies.append)
    (reply,) = replies
    message = decode(reply)
    assert isinstance(message, KeyResponseMessage)
    return message


saved: list[list[bytes]] = []


def save(keys: list[bytes], done: Callable[[Exception | None], None]) -> None:
    saved.append(keys)
    done(None)


def test_keys_are_installed_used_and_removed_and_saved_each_time() -> None:
    keyring = Keyring([ONE])
    assert key_query(INSTALL, keyring, TWO).result
    assert saved == [[ONE, TWO]]
    assert key_query(USE, keyring, TWO).result
    assert saved == [[TWO, ONE]]
    assert key_query(REMOVE, keyring, ONE).result
    assert saved == [[TWO]]


@pytest.mark.parametrize(
    ("name", "key", "message"),
    [
        (USE, TWO, "Requested key is not in the keyring"),
        (REMOVE, ONE, "Removing the primary key is not allowed"),
        (INSTALL, b"short", "key size must be 16, 24 or 32 bytes"),
        (INSTALL, b"", "the query holds no key"),
    ],
)
def test_a_key_operation_that_fails_says_why(name: str, key: bytes, message: str) -> None:
    answer = key_query(name, Keyring([ONE]), key)
    assert (answer.result, answer.message) == (False, message)
    assert saved == []


@pytest.mark.parametrize("error", [None, OSError(28, "No space left on device")])
def test_a_changed_ring_is_answered_for_when_it_is_stored(error: Exception | None) -> None:
    waiting: list[Callable[[Exception | None], None]] = []
    replies: list[bytes] = []
    ring = Keyring([ONE])
    payload = KeyRequest(TWO).encode()
    answer_key_query(INSTALL, payload, ring, lambda _, done: waiting.append(done), lambda _: True, replies.append)
    assert replies == []

    waiting[0](error)

    answer = decode(replies[0])
    assert isinstance(answer, KeyResponseMessage)
    assert (answer.result, answer.message) == (error is None, str(error) if error else "")


def test_a_key_query_without_a_payload_is_answered() -> None:
    """Section 11: it crashes real agents."""
    replies: list[bytes] = []
    answer_key_query(INSTALL, b"", Keyring([ONE]), None, lambda _: True, replies.append)
    reply = decode(replies[0])
    assert isinstance(reply, KeyResponseMessage)
    assert not reply.result


def test_members_without_encryption_answer_too() -> None:
    """Section 10.18: one silent member makes the operation fail for everybody."""
    assert key_query(USE, None, ONE).message == "No keyring to modify (encryption not enabled)"
    assert key_query(LIST, None).message == "Keyring is empty (encryption not enabled)"


def test_keys_are_listed_and_a_long_list_is_cut() -> None:
    keyring = Keyring([bytes([number]) * 32 for number in range(40)])
    listed = key_query(LIST, keyring, limit=100_000)
    assert listed.keys is not None
    assert len(listed.keys) == 40
    assert listed.primary_key == base64.b64encode(bytes(32)).decode()
    cut = key_query(LIST, keyring)
    assert cut.result
    assert cut.keys is not None
    assert 15 <= len(cut.keys) < 40
    assert cut.message == f"truncated key list response, showing first {len(cut.keys)} of 40 keys"


# -- names


def answer_about_us(address: str) -> bytes:
    reply = answer_conflict_query(b"us", {"us": Member("us", address, 7946)}, "other")
    assert reply is not None
    return reply


def test_a_name_is_kept_by_whom_the_majority_knows() -> None:
    contest = ConflictVote(Member("us", "127.0.0.1", 7946))
    assert contest.verdict is Verdict.NO_ANSWER
    contest.count(answer_about_us("127.0.0.1"))
    assert contest.verdict is Verdict.KEEP
    contest.count(answer_about_us("127.0.0.2"))
    assert contest.verdict is Verdict.YIELD
    contest.count(answer_about_us("127.0.0.1"))
    assert contest.verdict is Verdict.KEEP


def test_the_two_of_the_name_are_silent_and_strangers_say_so() -> None:
    assert answer_conflict_query(b"us", {}, "us") is None
    assert answer_conflict_query(b"us", {}, "n3") == ConflictResponse(None).encode()


def test_an_answer_that_is_none_does_not_count() -> None:
    contest = ConflictVote(Member("us", "127.0.0.1", 7946))
    with pytest.raises(WireError):
        contest.count(b"\x05\x80")
    assert contest.responses == 0
