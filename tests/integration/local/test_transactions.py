"""Concurrent registrations are stored in batches, in order, and answered when they are on disk."""

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from consulpy.errors import RPCError
from consulpy.local import api
from consulpy.local.load import restore
from consulpy.local.persist.disk import JOURNAL, PENDING_MAX, JournaledDirectory
from consulpy.local.persist.transactions import CHECKPOINT_IDLE_S, CHECKPOINT_MAX_S, QUEUE_MAX
from consulpy.local.state import LocalState
from tests.fakes.local import Fraction, node
from tests.harness.effort import cases
from tests.harness.ttl_checks import TtlStarter


class Agent:
    """An agent whose disk thread runs only in `work`. `root` None: development mode, changes are carried out inline.

    `quick`: batches are waited for, at the end of the reactor turn.
    """

    def __init__(self, root: Path | None, *, quick: bool = False) -> None:
        self.clock = Clock()
        self.quick = quick
        self.batch_sizes: list[int] = []
        self.jobs: list[Callable[[], None]] = []
        self.files = None if root is None else JournaledDirectory(root)
        self.local = LocalState(
            node(),
            self.clock,
            Fraction(),
            files=self.files,
            starter=TtlStarter(self.clock),
            run=self.jobs.append,
            hand_back=lambda job: job(),
            call=self._call if quick else None,
            later=partial(self.clock.callLater, 0) if quick else lambda job: job(),
        )

    def _call(self, job: Callable[[], None], done: Callable[[], None], size: int) -> None:
        self.batch_sizes.append(size)
        job()
        done()

    def do(self, change: Callable[[LocalState], Any]) -> list[Any]:
        """Submit a change; a list that gets its result."""
        answers: list[Any] = []
        self.local.submit(lambda: change(self.local)).addBoth(answers.append)
        return answers

    def register(self, name: str, port: int = 1, checks: int = 1) -> list[Any]:
        kinds = ", ".join(f'{{"CheckID": "{name}-{number}", "TTL": "1h"}}' for number in range(checks))
        body = f'{{"Name": "{name}", "Port": {port}, "Checks": [{kinds}]}}'.encode()
        return self.do(lambda local: api.register_service(local, body))

    def work(self, most: int = 1000) -> None:
        """Run jobs of the disk thread."""
        while self.jobs and most:
            self.jobs.pop(0)()
            most -= 1


def restarted(root: Path) -> Agent:
    agent = Agent(root)
    assert agent.files is not None
    restore(agent.local, agent.files, lambda: 0.0)
    return agent


@pytest.fixture
def agent(tmp_path: Path) -> Agent:
    return Agent(tmp_path)


@pytest.fixture
def flushes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """A list with an entry for each flush of the journal."""
    real, seen = os.fdatasync, []

    def flush(descriptor: int) -> None:
        seen.append(descriptor)
        real(descriptor)

    monkeypatch.setattr(os, "fdatasync", flush)
    return seen


def test_changes_during_a_flush_share_the_next_one(agent: Agent, flushes: list[int]) -> None:
    answers = [agent.register(f"s{number}", checks=3) for number in range(50)]
    assert not any(answers)
    agent.work()
    assert all(answers)
    assert len(flushes) == 2
    assert len(agent.local.services) == 50


def test_nothing_is_visible_or_answered_before_it_is_on_disk(agent: Agent, tmp_path: Path) -> None:
    answers = agent.register("web")
    assert (answers, agent.local.services) == ([], {})
    agent.work()
    assert answers == [api.DONE]
    assert set(restarted(tmp_path).local.services) == {"web"}


def test_changes_of_one_service_are_serialized(agent: Agent) -> None:
    agent.register("other")
    answers = [
        agent.register("web", port=1),
        agent.do(lambda local: local.deregister_service("web")),
        agent.register("web", port=2, checks=0),
        agent.do(lambda local: local.set_service_maintenance("web", True)),
        agent.do(lambda local: local.set_service_maintenance("web", False)),
    ]
    agent.work()
    assert all(answers)
    assert agent.local.services["web"].port == 2
    assert set(agent.local.checks) == {"other-0"}


def test_a_direct_change_is_ordered_after_the_batch_under_way(agent: Agent, tmp_path: Path) -> None:
    first = agent.register("web", port=1)
    agent.local.deregister_service("web")
    assert first
    assert agent.local.services == {}
    agent.work()
    assert restarted(tmp_path).local.services == {}


def test_a_direct_change_sees_the_batch_under_way(agent: Agent, tmp_path: Path) -> None:
    """It is planned when the batch being stored is carried out: here it has to know the checks of the service."""
    agent.register("web", checks=2)
    agent.local.deregister_service("web")
    assert agent.local.checks == {}
    agent.work()
    assert restarted(tmp_path).local.checks == {}


def test_a_full_disk_refuses_the_whole_batch(agent: Agent, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    agent.register("before")
    agent.work()

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fdatasync", full)
        answers = [agent.register(name) for name in ("a", "b", "c")]
        agent.work()
    for (answer,) in answers:
        assert isinstance(answer, Failure)
        assert "No space left on device" in str(answer.value)
    assert set(agent.local.services) == {"before"}
    agent.register("after")
    agent.work()
    assert set(agent.local.services) == {"before", "after"}
    assert set(restarted(tmp_path).local.services) == {"before", "after"}


def test_an_invalid_change_does_not_affect_its_batch(agent: Agent) -> None:
    answers = [agent.register("a"), agent.register(""), agent.register("b")]
    agent.work()
    assert isinstance(answers[1][0], Failure)
    assert str(answers[1][0].value) == "Missing service name"
    assert set(agent.local.services) == {"a", "b"}


def test_the_queue_is_bounded(agent: Agent) -> None:
    agent.register("first")
    waiting = [agent.register("web") for _ in range(QUEUE_MAX)]
    refused = agent.register("web")
    assert isinstance(refused[0].value, RPCError)
    agent.work(3)
    assert waiting[0]
    assert not waiting[-1]


def test_a_check_result_during_the_write_is_preserved(agent: Agent) -> None:
    agent.register("web")
    agent.work()
    agent.register("web", port=2)
    agent.local.entries.update_check("web-0", "passing", "meanwhile")
    agent.work()
    assert (agent.local.checks["web-0"].status, agent.local.checks["web-0"].output) == ("passing", "meanwhile")


def test_a_checkpoint_follows_when_idle(agent: Agent, tmp_path: Path) -> None:
    agent.register("web", checks=1)
    agent.work()
    assert (tmp_path / JOURNAL).exists()
    agent.clock.advance(CHECKPOINT_IDLE_S)
    agent.work()
    assert len(list((tmp_path / "services").iterdir())) == len(list((tmp_path / "checks").iterdir())) == 1
    assert not (tmp_path / JOURNAL).exists()


def test_a_checkpoint_follows_within_the_limit_when_never_idle(agent: Agent, tmp_path: Path) -> None:
    agent.register("web")
    for port in range(int(CHECKPOINT_MAX_S / 0.2) + 2):
        agent.register("other", port=port)
        agent.work()
        agent.clock.advance(0.2)
    agent.work()
    assert len(list((tmp_path / "services").iterdir())) == 2


def test_a_checkpoint_follows_many_changes(agent: Agent, tmp_path: Path) -> None:
    for number in range(PENDING_MAX // 2 + 1):
        agent.register(f"s{number}")
    agent.work()
    assert len(list((tmp_path / "services").iterdir())) == PENDING_MAX // 2 + 1
    assert not (tmp_path / JOURNAL).exists()


def test_a_ttl_update_survives_the_process_without_a_flush(agent: Agent, tmp_path: Path, flushes: list[int]) -> None:
    agent.register("web")
    agent.work()
    before = len(flushes)
    answers = agent.do(lambda local: api.set_check(local, "web-0", "passing", "well"))
    assert not answers
    agent.work()
    assert answers
    assert len(flushes) == before
    assert restarted(tmp_path).local.checks["web-0"].output == "well"


def test_closing_makes_a_checkpoint(agent: Agent, tmp_path: Path) -> None:
    answers = [agent.register("a"), agent.register("b")]
    agent.local.stop()
    assert all(answers)
    assert len(list((tmp_path / "services").iterdir())) == 2
    assert not (tmp_path / JOURNAL).exists()


def test_a_truncated_journal_has_complete_registrations(tmp_path: Path) -> None:
    agent = Agent(tmp_path / "whole")
    for name in ("a", "b", "c"):
        agent.register(name, checks=2)
        agent.work()
    journal = (tmp_path / "whole" / JOURNAL).read_bytes().rstrip(b"\0")
    ends = [at + 1 for at, byte in enumerate(journal) if byte == ord("\n")]
    for end in range(0, len(journal) + 1, 37):
        root = tmp_path / str(end)
        root.mkdir()
        (root / JOURNAL).write_bytes(journal[:end] + b"\0" * (end % 3))
        after = restarted(root).local
        assert list(after.services) == ["a", "b", "c"][: sum(each - 1 <= end for each in ends)]
        assert len(after.checks) == 2 * len(after.services)


NAMES = st.sampled_from(["a", "b", "c"])
CHANGES = st.one_of(
    st.tuples(st.just("register"), NAMES, st.integers(0, 2)),
    st.tuples(st.just("replace"), NAMES, st.integers(0, 2)),
    st.tuples(st.sampled_from(["deregister", "passing", "maintain", "back"]), NAMES, st.just(0)),
    st.tuples(st.just("take"), NAMES, st.integers(0, 1)),
)


def change(kind: str, name: str, number: int) -> Callable[[LocalState], Any]:
    checks = ", ".join(f'{{"CheckID": "{name}-{each}", "TTL": "1h"}}' for each in range(number))
    body = f'{{"Name": "{name}", "Port": {number}, "Checks": [{checks}]}}'.encode()
    # a check of one service that another one may have had
    taken = f'{{"Name": "a-{number}", "ServiceID": "{name}", "TTL": "1h"}}'.encode()
    return {
        "register": lambda local: api.register_service(local, body),
        "replace": lambda local: api.register_service(local, body, replace_existing_checks=True),
        "deregister": lambda local: api.deregister_service(local, name),
        "passing": lambda local: api.set_check(local, f"{name}-0", "passing", "well"),
        "maintain": lambda local: local.set_service_maintenance(name, True),
        "back": lambda local: local.set_service_maintenance(name, False),
        "take": lambda local: api.register_check(local, taken),
    }[kind]


@settings(max_examples=cases(150), deadline=None)
@given(st.lists(st.tuples(CHANGES, st.integers(0, 2)), min_size=2, max_size=14))
def test_batched_changes_equal_single_ones(history: list[tuple[tuple[str, str, int], int]]) -> None:
    with TemporaryDirectory() as root:
        together, alone = Agent(Path(root)), Agent(None)
        answers = []
        for step, jobs in history:
            answers.append((together.do(change(*step)), alone.do(change(*step))))
            together.work(jobs)
        together.work()
        for ours, theirs in answers:
            assert str(getattr(ours[0], "value", ours[0])) == str(getattr(theirs[0], "value", theirs[0]))
        assert together.local.services == alone.local.services
        assert together.local.checks == alone.local.checks
        after = restarted(Path(root)).local
        assert after.services == together.local.services
        assert set(after.checks) == set(together.local.checks)


def test_changes_of_one_reactor_turn_are_one_batch_that_is_waited_for(tmp_path: Path) -> None:
    agent = Agent(tmp_path, quick=True)
    answers = [agent.register("web"), agent.register("db")]
    assert answers == [[], []]

    agent.clock.advance(0)

    assert all(answers)
    assert (agent.batch_sizes, agent.jobs) == ([2], [])
    assert restarted(tmp_path).local.services.keys() == {"web", "db"}


def test_with_queued_changes_no_batch_is_waited_for(tmp_path: Path) -> None:
    """Changes of one service go one after the other: the reactor would wait for each of them."""
    agent = Agent(tmp_path, quick=True)
    answers = [agent.register("web", port) for port in (1, 2, 3)]

    agent.clock.advance(0)
    assert (agent.batch_sizes, len(agent.jobs)) == ([], 1)
    agent.work()

    assert all(answers)
    assert agent.batch_sizes == [1]  # nothing was queued behind the last one
    assert agent.local.services["web"].port == 3
