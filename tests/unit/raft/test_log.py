"""The log in memory: terms as runs, entries in a cache, what is cut and what is dropped."""

from random import Random

import pytest

from consulpy.raft.log import RaftLog
from consulpy.raft.messages import LogEntry


def entries(first: int, *terms: int) -> list[LogEntry]:
    return [LogEntry(index=first + number, term=term, data=b"x" * 10) for number, term in enumerate(terms)]


def test_terms_of_all_entries_are_known() -> None:
    log = RaftLog()
    log.append(entries(1, 1, 1, 2, 5, 5))
    assert [log.term(index) for index in range(8)] == [0, 1, 1, 2, 5, 5, None, None]
    assert (log.last_index, log.last_term) == (5, 5)
    log.truncate(4)
    assert [log.term(index) for index in range(6)] == [0, 1, 1, 2, None, None]
    log.append(entries(4, 7))
    assert log.term(4) == 7
    with pytest.raises(AssertionError):
        log.append(entries(6, 7))


def test_a_snapshot_drops_older_entries_but_the_trailing_ones() -> None:
    log = RaftLog()
    log.append(entries(1, 1, 1, 2, 2, 3))
    log.compact(4, 2, 3)
    assert (log.first_index, log.last_index) == (3, 5)
    assert [log.term(index) for index in (2, 3, 4, 5)] == [None, 2, 2, 3]
    assert log.cached(2, 9, 999) is None
    log.compact(5, 3, 6)
    assert (log.first_index, log.last_index, log.last_term) == (6, 5, 3)
    log.append(entries(6, 3))
    assert log.term(5) == 3


def test_large_entries_leave_memory_once_they_are_durable() -> None:
    log = RaftLog(cache_bytes=1000)
    log.append(entries(1, *[1] * 20))
    log.evict(0)
    assert log.cached(1, 99, 9999) == entries(1, *[1] * 20)
    log.evict(18)
    assert log.cached(1, 99, 9999) is None
    assert log.stored_count(1) == 16
    assert log.cached(17, 99, 9999) == entries(17, *[1] * 4)
    log.truncate(10)
    assert (log.last_index, log.term(9)) == (9, 1)
    log.append(entries(10, 2))
    assert log.cached(10, 99, 9999) == entries(10, 2)
    assert log.stored_count(9) == 1


def test_what_is_sent_at_a_time_is_bounded_but_never_nothing() -> None:
    log = RaftLog()
    log.append(entries(1, *[1] * 20))
    assert len(log.cached(1, 5, 9999) or []) == 5
    assert len(log.cached(1, 5, 1) or []) == 1
    assert log.cached(21, 5, 9999) == []


def test_stored_entries_that_a_snapshot_overtook_are_dropped() -> None:
    log = RaftLog()
    log.reset(27, 3)
    for entry in entries(20, 1, 1, 1) + entries(28, 3, 4):
        log.append_stored(entry)
    assert (log.first_index, log.last_index) == (28, 29)
    assert [log.term(index) for index in (22, 27, 28, 29)] == [None, 3, 3, 4]


@pytest.mark.parametrize("seed", range(50))
def test_it_equals_a_plain_list(seed: int) -> None:
    rng = Random(seed)
    log, plain, snapshot = RaftLog(cache_bytes=2000), [(0, 0)], (0, 0)
    for _ in range(200):
        last = plain[-1][0]
        what = rng.random()
        if what < 0.6:
            new = entries(last + 1, *[plain[-1][1] + rng.randrange(2)] * rng.randrange(1, 5))
            log.append(new)
            plain += [(entry.index, entry.term) for entry in new]
        elif what < 0.75 and last > snapshot[0]:
            cut = rng.randrange(snapshot[0] + 1, last + 1)
            log.truncate(cut)
            plain = [each for each in plain if each[0] < cut]
        elif what < 0.85 and last > snapshot[0]:
            snapshot = rng.choice([each for each in plain if each[0] > snapshot[0]])
            keep = rng.randrange(plain[0][0] + 1, snapshot[0] + 2) if snapshot[0] > plain[0][0] else snapshot[0] + 1
            log.compact(*snapshot, keep)
            plain = [each for each in plain if each[0] >= min(keep, snapshot[0] + 1) or each == snapshot]
        log.evict(last)
        assert log.last_index == plain[-1][0]
        assert log.last_term == plain[-1][1]
        assert all(log.term(index) == term for index, term in plain)
        cached = log.cached(last, 9, 9999)
        assert (
            cached is None or [entry.index for entry in cached] == list(range(last, log.last_index + 1))[: len(cached)]
        )
