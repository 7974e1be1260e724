"""Settings that only a whole agent can show: each does what it does in Consul 1.8.7."""

import json
import os
import time
from pathlib import Path
from typing import Any

import pytest

from tests.scenarios.programs import ask, eventually, hosts

ADDRESS = f"127.82.{os.getpid() % 250 + 1}.1"
HTTP = f"{ADDRESS}:8500"


def file_of(tmp_path: Path, settings: dict[str, Any]) -> list[str]:
    (tmp_path / "agent.json").write_text(json.dumps(settings))
    return ["-bind", ADDRESS, "-client", ADDRESS, "-node", "one", "-config-file", str(tmp_path / "agent.json")]


def test_sessions_and_addresses_and_the_time_to_leave(tmp_path: Path) -> None:
    flags = file_of(
        tmp_path,
        {
            "session_ttl_min": "30s",
            "tagged_addresses": {"lan": "1.2.3.4", "rack": "5.6.7.8"},
            "performance": {"leave_drain_time": "3s"},
        },
    )
    with hosts(tmp_path, None) as (host,):
        program = host.start("agent", "consulpy", "agent", "-dev", *flags)
        eventually(lambda: ask(f"{HTTP}/v1/catalog/node/one")["Node"]["TaggedAddresses"], "it is in the catalog")
        addresses = ask(f"{HTTP}/v1/catalog/node/one")["Node"]["TaggedAddresses"]
        assert addresses == {
            "rack": "5.6.7.8", "lan": ADDRESS, "lan_ipv4": ADDRESS, "wan": ADDRESS, "wan_ipv4": ADDRESS
        }  # fmt: skip
        with pytest.raises(ValueError, match=r"must be between \[30s=24h0m0s\]"):
            ask(f"{HTTP}/v1/session/create", "PUT", b'{"TTL": "29s"}')
        assert ask(f"{HTTP}/v1/session/create", "PUT", b'{"TTL": "30s"}')["ID"]
        before = time.monotonic()
        leaving = host.run("consulpy", "leave", "-http-addr", HTTP, check=False)
        assert leaving.returncode == 0
        assert program.process.wait(30) == 0
        assert time.monotonic() - before > 3
