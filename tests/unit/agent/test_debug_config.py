"""`DebugConfig`: Consul's names and spellings. debug_config.json: a configuration, and what real Consul 1.8.7 shows."""

import json
from pathlib import Path
from typing import Any

from consulpy.agent.debug_config import debug_config
from consulpy.config.flags import read_flags
from consulpy.config.load import read
from tests.fakes.config import FakeHost

RECORDED: dict[str, Any] = json.loads(Path(__file__).with_name("debug_config.json").read_text())
REAL: dict[str, Any] = RECORDED["debug_config"]
#: Names that the reader of settings makes.
OURS = {"Logging", "NodeID", "ACLEnableKeyListPolicy"}


def shown() -> dict[str, Any]:
    text = json.dumps(RECORDED["configuration"])
    config = read(read_flags(["-hcl", text]), FakeHost())
    found: dict[str, Any] = json.loads(json.dumps(debug_config(config)))
    return found


def test_all_names_are_consuls() -> None:
    assert shown().keys() == REAL.keys()
    assert len(REAL) == 206


def test_every_setting_is_spelled_as_consul_spells_it() -> None:
    found = shown()
    assert {name: found[name] for name in REAL if name not in OURS} == {
        name: value for name, value in REAL.items() if name not in OURS
    }


def test_logs_are_spelled_so_too() -> None:
    assert shown()["Logging"].items() <= REAL["Logging"].items()


def test_what_is_not_set_is_shown_so() -> None:
    """Consul shows what its files say: the defaults of the parts that use it are theirs."""
    found = debug_config(read(read_flags(["-dev"]), FakeHost()))
    assert found["SessionTTLMin"] == found["Logging"]["LogRotateDuration"] == "0s"


def test_names_stand_in_alphabetical_order() -> None:
    found = shown()
    assert list(found) == sorted(REAL)
    assert all(list(value) == sorted(value) for value in found.values() if isinstance(value, dict))


def test_when_the_log_is_compacted_is_shown_as_it_was_set() -> None:
    settings = 'raft_snapshot_interval="40s" raft_snapshot_threshold=999 raft_trailing_logs=888'
    found = debug_config(read(read_flags(["-dev", "-hcl", settings]), FakeHost()))
    shown = (found["RaftSnapshotInterval"], found["RaftSnapshotThreshold"], found["RaftTrailingLogs"])
    assert shown == ("40s", 999, 888)
