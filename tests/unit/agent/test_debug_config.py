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
#: Names of which we show less (settings of what this agent does not do), or that the reader of settings makes.
OURS = {"Telemetry", "Logging", "NodeID", "ACLEnableKeyListPolicy"}


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


def test_metrics_and_logs_are_spelled_so_too() -> None:
    found = shown()
    for name in ("Telemetry", "Logging"):
        assert found[name].items() <= REAL[name].items()


def test_names_stand_in_alphabetical_order() -> None:
    assert list(shown()) == sorted(REAL)
