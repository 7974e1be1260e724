"""Settings that only a whole agent can show: each does what it does in Consul 1.8.7."""

import json
import time
from pathlib import Path
from typing import Any

import pytest

from tests.peers.programs import ask, eventually, hosts

ADDRESS = "127.82.1.1"
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
        assert program.process.wait(60) == 0
        assert time.monotonic() - before > 3


def test_config_entries_that_are_missing_are_written(tmp_path: Path) -> None:
    text = """config_entries {
  bootstrap {
    kind = "proxy-defaults" name = "global" config { a = 1 protocol = "http" } mesh_gateway { mode = "local" }
  }
  bootstrap { Kind = "service-splitter" Name = "web" Splits { weight = 100 } }
}"""
    (tmp_path / "entries.hcl").write_text(text)
    flags = ["-bind", ADDRESS, "-client", ADDRESS, "-config-file", str(tmp_path / "entries.hcl")]
    with hosts(tmp_path, None) as (host,):
        server = ["agent", "-server", "-bootstrap-expect", "1", "-data-dir", "data", *flags]
        program = host.start("agent", "consulpy", *server)
        found = eventually(lambda: ask(f"{HTTP}/v1/config/proxy-defaults/global"), "it was written")
        assert (found["Config"], found["MeshGateway"]) == ({"a": 1, "protocol": "http"}, {"Mode": "local"})
        assert ask(f"{HTTP}/v1/config/service-splitter/web")["Splits"][0]["Weight"] == 100
        changed = {"Kind": "proxy-defaults", "Name": "global", "Config": {"a": 5, "protocol": "http"}}
        assert ask(f"{HTTP}/v1/config", "PUT", json.dumps(changed).encode()) is True
        program.interrupt()
        host.start("again", "consulpy", *server)
        eventually(lambda: ask(f"{HTTP}/v1/status/leader"), "it leads again")
        assert ask(f"{HTTP}/v1/config/proxy-defaults/global")["Config"] == changed["Config"], "what is there stays"


def test_a_server_without_a_wan_port_has_no_wan_pool(tmp_path: Path) -> None:
    flags = file_of(tmp_path, {"ports": {"serf_wan": -1, "dns": -5, "https": -2}})
    with hosts(tmp_path, None) as (host,):
        host.start("agent", "consulpy", "agent", "-dev", *flags)
        eventually(lambda: ask(f"{HTTP}/v1/status/leader"), "it leads")
        assert ask(f"{HTTP}/v1/agent/members?wan=1") is None
        assert ask(f"{HTTP}/v1/catalog/datacenters") == ["dc1"]
        with pytest.raises(ValueError, match="WAN Federation is disabled"):
            ask(f"{HTTP}/v1/agent/join/127.0.0.2?wan=1", "PUT")
