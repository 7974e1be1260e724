"""Keys of the configuration that set Raft's timings and limits."""

from typing import Any

import pytest

from consulpy.agent.build.settings import raft
from consulpy.config.load import from_mapping
from consulpy.raft.interfaces import Settings
from tests.fakes.config import FakeHost


@pytest.mark.parametrize(
    ("given", "settings"),
    [
        ({}, Settings.scaled(5)),
        ({"performance": {"raft_multiplier": 1}}, Settings()),
        ({"performance": {"raft_multiplier": 10}}, Settings.scaled(10)),
        (
            {"raft_snapshot_threshold": 50},
            Settings.scaled(5, snapshot_threshold=50, snapshot_spares_large_states=False),
        ),
        ({"raft_snapshot_interval": "2s"}, Settings.scaled(5, snapshot_interval_s=2.0)),
        ({"raft_trailing_logs": 20}, Settings.scaled(5, trailing_logs=20)),
    ],
)
def test_each_key_has_its_setting(given: dict[str, Any], settings: Settings) -> None:
    assert raft(from_mapping(given, host=FakeHost())) == settings
