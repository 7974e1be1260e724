"""A server that was away for long gets a snapshot instead of the log: ours from a real leader, a real one from ours."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.peers.programs import Host, ask, eventually, hosts
from tests.peers.quorum import FAST, OWN, REAL, Quorum

pytestmark = [pytest.mark.peers]

#: Entries beyond which a server takes a snapshot, and how many it keeps.
THRESHOLD, TRAILING = 100, 20
#: Rewritten often: ours takes no snapshot while the log has not some times as many entries as the state has rows.
KEYS, TIMES, SIZE = 40, 18, 20000


class SmallLogs(Quorum):
    """Servers that take snapshots early."""

    settings = json.dumps(
        {
            **json.loads(FAST),
            "raft_snapshot_threshold": THRESHOLD,
            "raft_snapshot_interval": "1s",
            "raft_trailing_logs": TRAILING,
        }
    )

    def led_by(self, kind: str) -> int:
        """The leader, after others of the other kind have ended and come back."""
        while self.kinds[leader := eventually(self.leader, "a leader that all name")] != kind:
            self.running.pop(leader).kill()
            rest = next(iter(self.running))
            eventually(lambda rest=rest: self.put(rest, "elected", "x"), "another leader")
            self.start(leader)
            eventually(lambda leader=leader: self.value(leader, "elected") == "x", "it is back")
        return leader

    def last_snapshot(self, number: int) -> int:
        return int(ask(self.url(number, "agent/self"))["Stats"]["raft"]["last_snapshot_index"])


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    with hosts(tmp_path, None) as (only,):
        yield only


@pytest.mark.parametrize(
    ("programs", "leads", "gets", "line"),
    [
        ((OWN, OWN, OWN), OWN, OWN, "installed a snapshot"),
        ((OWN, REAL, OWN), OWN, REAL, "Installed remote snapshot"),
        ((REAL, OWN, REAL), REAL, OWN, "installed a snapshot"),
    ],
)
def test_a_server_that_was_away_for_long_gets_a_snapshot(
    host: Host, programs: tuple[str, ...], leads: str, gets: str, line: str
) -> None:
    quorum = SmallLogs(host, programs)
    for number in quorum.kinds:
        quorum.start(number)
    leader = quorum.led_by(leads)
    away = next(number for number, kind in quorum.kinds.items() if kind == gets and number != leader)
    quorum.running.pop(away).kill()
    began = int(ask(quorum.url(leader, "agent/self"))["Stats"]["raft"]["applied_index"])
    for count in range(TIMES * KEYS):
        assert quorum.put(leader, f"key/{count % KEYS}", f"{count} " + "x" * SIZE)
    last = (TIMES - 1) * KEYS
    eventually(lambda: quorum.last_snapshot(leader) > began + TRAILING, "the leader takes a snapshot")
    quorum.start(away)
    eventually(lambda: line in quorum.running[away].output, "it gets the snapshot")
    eventually(lambda: quorum.value(away, "key/39").startswith(f"{last + 39} "), "it has what it missed")
    assert len(ask(quorum.url(away, "kv/key/?keys&stale"))) == KEYS
    assert quorum.value(away, "key/7") == f"{last + 7} " + "x" * SIZE
    assert quorum.put(away, "after", "x")
    eventually(lambda: quorum.value(away, "after") == "x", "and takes part again")
    again = quorum.running.pop(away)
    again.kill()
    quorum.start(away)
    eventually(lambda: quorum.value(away, "key/7").startswith(f"{last + 7} "), "what was installed is on its disk")
