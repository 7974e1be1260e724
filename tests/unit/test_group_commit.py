"""Group commit: batches are stored one at a time, in order, and whoever flushes first stores them once."""

from collections import deque
from collections.abc import Callable

from consulpy.group_commit import Batch, GroupCommit

Job = Callable[[], None]


class Words:
    """A batch of words; `log` gets what happens to it."""

    def __init__(self, words: list[str], log: list[str], *, inline: bool = False) -> None:
        self.size = len(words)
        self.is_stored_inline = inline
        self._text = " ".join(words)
        self._log = log

    def write(self) -> None:
        self._log.append(f"write {self._text}")

    def apply(self) -> None:
        self._log.append(f"apply {self._text}")

    def answer(self) -> None:
        self._log.append(f"answer {self._text}")


class Source:
    """A queue of words, two of which make a batch, with a disk thread that runs when the test says so."""

    def __init__(self, *, inline: bool = False) -> None:
        self.inline = inline
        self.queue: deque[str] = deque()
        self.log: list[str] = []
        self.jobs: list[Job] = []
        self.turns: list[Job] = []
        self.commits = GroupCommit(self, self.jobs.append, later=self.turns.append)

    @property
    def has_pending(self) -> bool:
        return bool(self.queue)

    def next_batch(self) -> Batch | None:
        if not self.queue:
            return None
        words = [self.queue.popleft() for _ in range(min(2, len(self.queue)))]
        return Words(words, self.log, inline=self.inline)

    def submit(self, *words: str) -> None:
        self.queue.extend(words)
        self.commits.schedule()

    def turn(self) -> None:
        """A turn of the reactor."""
        turns, self.turns[:] = list(self.turns), []
        for job in turns:
            job()

    def drained(self) -> list[str]:
        log, self.log[:] = list(self.log), []
        return log


def test_writes_of_one_turn_share_a_batch() -> None:
    source = Source()
    source.submit("a")
    source.submit("b")
    assert (len(source.turns), source.jobs) == (1, [])
    source.turn()
    source.jobs.pop(0)()
    assert source.log == ["write a b", "apply a b", "answer a b"]


def test_the_next_batch_starts_when_one_is_applied() -> None:
    """Before that one's answers: the disk works meanwhile."""
    source = Source()
    started_at: list[int] = []

    def run(job: Job) -> None:
        started_at.append(len(source.log))
        source.jobs.append(job)

    source.commits = GroupCommit(source, run, hand_back=source.turns.append, later=source.turns.append)
    source.submit("a", "b", "c")
    source.turn()
    source.jobs.pop(0)()
    source.turn()
    assert source.drained() == ["write a b", "apply a b", "answer a b"]
    assert started_at == [0, 2]
    source.jobs.pop(0)()
    source.turn()
    assert source.log == ["write c", "apply c", "answer c"]


def test_only_one_batch_is_stored_at_a_time() -> None:
    source = Source()
    source.submit("a", "b", "c")
    source.turn()
    source.submit("d")
    source.turn()
    assert len(source.jobs) == 1


def test_a_flushed_batch_is_stored_once_and_its_late_thread_starts_the_next() -> None:
    source = Source()
    source.submit("a", "b", "c")
    source.turn()
    source.commits.flush()
    assert source.drained() == ["write a b", "apply a b", "answer a b"]
    assert len(source.jobs) == 1, "the caller of `flush` writes before the next batch"
    source.jobs.pop(0)()
    source.jobs.pop(0)()
    assert source.log == ["write c", "apply c", "answer c"]


def test_the_late_thread_of_a_flushed_batch_starts_no_second_one() -> None:
    source = Source()
    source.submit("a", "b")
    source.turn()
    source.commits.flush()
    source.submit("c")
    source.turn()
    source.submit("d")
    late, _ = source.jobs
    late()
    assert len(source.jobs) == 2


def test_closing_stores_everything_inline() -> None:
    source = Source()
    source.submit("a", "b", "c")
    source.turn()
    source.commits.close()
    assert source.drained() == ["write a b", "apply a b", "answer a b", "write c", "apply c", "answer c"]
    source.jobs.pop(0)()
    assert source.log == []
    source.submit("d")
    source.turn()
    assert source.log == ["write d", "apply d", "answer d"]


def test_a_batch_without_a_disk_needs_no_thread() -> None:
    source = Source(inline=True)
    source.submit("a", "b", "c")
    source.turn()
    assert source.jobs == []
    assert [line for line in source.log if line.startswith("write")] == ["write a b", "write c"]


def test_with_more_queued_the_result_is_not_awaited() -> None:
    """`call` waits for its job: the reactor would wait for each batch in turn."""
    source = Source()
    awaited: list[int] = []

    def call(job: Job, done: Job, size: int) -> None:
        awaited.append(size)
        job()
        done()

    source.commits = GroupCommit(source, source.jobs.append, call=call, later=source.turns.append)
    source.submit("a", "b", "c")
    source.turn()
    assert (awaited, len(source.jobs)) == ([], 1)
    source.jobs.pop(0)()
    source.turn()
    assert awaited == [1]
    assert [line for line in source.log if line.startswith("write")] == ["write a b", "write c"]
