"""Recovery by raft/peers.json: what the file may say, and what becomes of the log."""

import json
from pathlib import Path
from typing import Any

import pytest

from consulpy.errors import ConfigError
from consulpy.raft.configuration import NONVOTER, VOTER, Configuration, Server
from consulpy.raft.messages import CONFIGURATION, NOOP, LogEntry
from consulpy.raft.peers_file import delete_peers, read_peers, recover
from consulpy.raft.storage import HardState, SnapshotMeta, Update
from tests.unit.raft.log_file import Opened, put

LEFT = Configuration.of([Server("10.0.0.1:8300", "a", VOTER), Server("10.0.0.2:8300", "b", NONVOTER)])


def test_the_file_names_the_servers_that_are_left(tmp_path: Path) -> None:
    path = tmp_path / "peers.json"
    servers = [{"id": "a", "address": "10.0.0.1:8300"}, {"id": "b", "address": "10.0.0.2:8300", "non_voter": True}]
    path.write_text(json.dumps(servers))
    assert read_peers(path) == LEFT
    delete_peers(path)
    delete_peers(path)
    assert not path.exists()


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("", "cannot be read"),
        ("{}", "expected an array"),
        ('["a"]', "expected an array"),
        ("[]", "at least one voter"),
        ('[{"id": 1, "address": "a:1"}]', "expected texts"),
        ('[{"id": "a", "address": "a:1", "non_voter": "no"}]', "expected texts"),
        ('[{"id": "a", "address": "a:1", "non_voter": true}]', "at least one voter"),
        ('[{"id": "a", "address": "a:1"}, {"id": "a", "address": "b:1"}]', "duplicate ID"),
        ('[{"id": "", "address": "a:1"}]', "empty ID"),
    ],
)
def test_a_mistake_in_it_is_one_clear_error(tmp_path: Path, text: str, error: str) -> None:
    path = tmp_path / "peers.json"
    path.write_text(text)
    with pytest.raises(ConfigError, match=error):
        read_peers(path)
    assert path.read_text() == text


def entries(*data: Any) -> list[LogEntry]:
    return [LogEntry(each, None, number, 3, kind) for number, (kind, each) in enumerate(data, 1)]


def test_everything_that_is_stored_becomes_the_state_also_what_was_not_committed(tmp_path: Path) -> None:
    three = Configuration.of([Server(f"10.0.0.{number}:8300", str(number)) for number in (1, 2, 3)])
    opened = Opened(tmp_path / "log.sqlite")
    log = entries((CONFIGURATION, three.pack()), (NOOP, None), (0, put("a").encode()), (0, put("b").encode()))
    opened.write(Update(HardState(5, 5, "10.0.0.1:8300"), None, log))
    assert recover(opened.database, opened.storage.load(), LEFT) == 4
    opened.database.close()

    again = Opened(tmp_path / "log.sqlite")
    assert again.found.snapshot == SnapshotMeta(4, 3, LEFT, 1)
    assert again.found.hard_state.term == 5, "the vote is not forgotten"
    assert again.entries == []
    assert again.found.state.kv.table.get("b").modify_index == 4


def test_a_server_without_state_refuses(tmp_path: Path) -> None:
    opened = Opened(tmp_path / "log.sqlite")
    with pytest.raises(ConfigError, match="no state"):
        recover(opened.database, opened.found, LEFT)


def test_a_log_that_cannot_be_applied_stays(tmp_path: Path) -> None:
    opened = Opened(tmp_path / "log.sqlite")
    opened.write(Update(None, None, entries((0, b"\x63\x80"))))
    with pytest.raises(ConfigError, match="type 99"):
        recover(opened.database, opened.storage.load(), LEFT)
    assert len(list(opened.storage.load().entries)) == 1
