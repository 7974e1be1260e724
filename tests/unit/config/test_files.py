"""Whole configuration files: ours and the real agent's answers, recorded by `record_files`, are the same.

What `validate` of Consul 1.8.7 takes and its agent refuses is refused by our `validate` too.
"""

import json
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.task import Clock

from consulpy.agent.features.watches import check_watches
from consulpy.config.flags import AgentFlags
from consulpy.config.load import read, validate_files
from consulpy.config.schema import RuntimeConfig
from consulpy.errors import ConfigError
from consulpy.gocompat.duration import format_duration
from consulpy.local.api import checks, services
from consulpy.local.load import configure
from consulpy.local.state import LocalState
from tests.fakes.config import FakeHost
from tests.fakes.local import Fraction, node
from tests.unit.config.record_files import PLACE, texts

ROWS: list[dict[str, Any]] = json.loads(PLACE.read_text(encoding="utf-8"))
#: Where ours is another one on purpose, by the beginning of the text.
OTHERWISE: dict[str, str] = {
    "{ datacenter": "braces around a file are taken, as around JSON",
}


def ours(tmp_path: Path, row: dict[str, Any]) -> RuntimeConfig:
    (tmp_path / f"x.{row['format']}").write_text(row["text"], encoding="utf-8")
    (tmp_path / "a.hcl").write_text('data_dir = "/x"\nbind_addr = "127.0.0.1"\n')
    config = validate_files([str(tmp_path)], host=FakeHost())
    check_watches(config)
    return read(AgentFlags(config_paths=(str(tmp_path),), dev=True), FakeHost())


def reason(row: dict[str, Any]) -> str:
    return next((why for text, why in OTHERWISE.items() if row["text"].startswith(text)), "")


def test_the_record_is_of_these_texts() -> None:
    assert [(row["format"], row["text"]) for row in ROWS] == texts()


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["text"][:60])
def test_the_same_files_are_taken(tmp_path: Path, row: dict[str, Any]) -> None:
    """Those that a real agent starts with."""
    try:
        ours(tmp_path, row)
        taken = True
    except ConfigError:
        taken = False
    assert taken == (row["agent"] is not None and row["valid"]) or reason(row)


@pytest.mark.parametrize("row", [row for row in ROWS if row["agent"]], ids=lambda row: row["text"][:60])
def test_they_mean_the_same(tmp_path: Path, row: dict[str, Any]) -> None:
    if reason(row):
        return
    config = ours(tmp_path, row)
    local = LocalState(node(), Clock(), Fraction())
    configure(local, map(dict, config.services), map(dict, config.checks))
    found = {
        "settings": {
            "Datacenter": config.datacenter,
            "NodeName": row["agent"]["settings"]["NodeName"] if config.node_name == "vm" else config.node_name,
            "HTTPSPort": config.ports.https,
            "NodeMeta": dict(config.node_meta),
            "RetryJoinLAN": list(config.retry_join),
            # the real one shows nothing for its default
            "SessionTTLMin": "0s" if config.session_ttl_min_s == 10 else format_duration(config.session_ttl_min_s),
        },
        "services": shown(services(local)),
        "checks": {
            key: {name: check[name] for name in row["agent"]["checks"].get(key, check)}
            for key, check in shown(checks(local)).items()
        },
    }
    assert found == row["agent"]


def shown(answer: Any) -> Any:
    return json.loads(json.dumps(answer.body))
