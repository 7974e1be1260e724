"""`index` and `wait` on /v1/agent/members and the timeline, in gossip with a real agent (not in Consul)."""

import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.peers.pair import OURS, REAL, SERVER, Agent, Answer
from tests.peers.programs import PATIENCE_S

pytestmark = pytest.mark.peers

OURS_AT, THEIRS_AT = "127.38.0.31", "127.38.0.32"
OTHER_ID = "11111111-2222-3333-4444-555555555509"


@pytest.fixture
def ours(tmp_path: Path) -> Iterator[Agent]:
    agent = Agent(OURS, OURS_AT, tmp_path, *SERVER)
    try:
        agent.wait_until_it_leads()
        yield agent
    finally:
        agent.close()


def test_each_change_of_the_pool_is_heard_at_once(ours: Agent, tmp_path: Path) -> None:
    def begin(path: str, index: str) -> "Future[Answer]":
        return threads.submit(ours.ask, f"{path}?index={index}&wait=55s")

    with ThreadPoolExecutor(4) as threads:
        index = ours.ask("/v1/agent/members", User_Agent="a test").headers["x-consul-index"]
        joined, changed = begin("/v1/agent/members", index), begin("/v1/agent/timeline", "1")
        time.sleep(0.5)
        assert not joined.done()
        began_s = time.monotonic()
        real = Agent(REAL, THEIRS_AT, tmp_path, "-node", "real", "-node-id", OTHER_ID, "-retry-join", OURS_AT)
        try:
            first = joined.result(PATIENCE_S)
            assert b'"real"' in first.body
            assert int(first.headers["x-consul-index"]) > int(index)
            assert time.monotonic() - began_s < 50, "not by the end of the wait"
            changed.result(PATIENCE_S)
            real.process.kill()
            statuses = []
            answer = first
            while '"Status":4' not in answer.text and time.monotonic() - began_s < 180:
                answer = begin("/v1/agent/members", answer.headers["x-consul-index"]).result(PATIENCE_S)
                statuses.append(answer.text)
            assert '"Status":4' in answer.text, statuses
            timeline = ours.ask("/v1/agent/timeline/real")
            assert '"dead"' in timeline.text
            assert int(timeline.headers["x-consul-index"]) > 1
        finally:
            real.close()
