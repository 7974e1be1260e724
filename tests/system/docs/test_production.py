"""docs/production.md and deploy/: configurations are valid, metrics exist, the unit is one that systemd takes."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from consulpy.config.load import validate_files
from tests.peers.programs import ROOT, Host, ask, eventually, hosts

DEPLOY = ROOT / "deploy"
PAGE = (ROOT / "docs" / "production.md").read_text()
CONFIGURATIONS = [
    ["server"],
    ["client"],
    ["server", "encrypted"],
    ["client", "encrypted"],
    ["server", "acl"],
    ["client", "acl"],
]


@pytest.mark.parametrize("names", CONFIGURATIONS, ids="+".join)
def test_each_configuration_is_valid_here_and_has_no_key_without_effect(names: list[str]) -> None:
    config = validate_files([str(DEPLOY / "config" / f"{name}.hcl") for name in names])
    assert [text for text in config.warnings if "expecting 3 servers" not in text] == []


@pytest.mark.peers
@pytest.mark.parametrize("names", CONFIGURATIONS, ids="+".join)
def test_each_configuration_is_valid_for_real_consul(names: list[str], tmp_path: Path) -> None:
    for name in names:
        shutil.copy(DEPLOY / "config" / f"{name}.hcl", tmp_path)
    done = subprocess.run(["consul", "validate", str(tmp_path)], capture_output=True, text=True, check=False)
    assert "Configuration is valid!" in done.stdout, done.stdout + done.stderr


def alerts() -> set[str]:
    """The metrics in the table of alerts."""
    table = PAGE.partition("## What to alert on")[2].partition("## ")[0]
    return {name for line in table.splitlines() for name in re.findall(r"`(consul\.[\w.]+)`", line)}


def agent(host: Host, name: str, address: str, *flags: str) -> None:
    more = ["-data-dir", str(host.directory / f"data-{name}"), "-hcl", "telemetry { disable_hostname = true }"]
    host.start(name, "consulpy", "agent", "-node", name, "-bind", address, "-client", address, *more, *flags)


def metrics(address: str) -> set[str]:
    found = ask(f"{address}:8500/v1/agent/metrics")
    return {each["Name"] for kind in ("Gauges", "Counters", "Samples") for each in found[kind]}


@pytest.mark.long
def test_each_metric_to_alert_on_exists(tmp_path: Path) -> None:
    """Two servers and a client; one server is killed, so that what only trouble counts is counted."""
    one, two, three = "127.0.63.1", "127.0.63.2", "127.0.63.3"
    with hosts(tmp_path, None) as (host,):
        agent(host, "one", one, "-server", "-bootstrap-expect=2", "-retry-join", two)
        agent(host, "two", two, "-server", "-bootstrap-expect=2", "-retry-join", one)
        eventually(lambda: ask(f"{one}:8500/v1/status/leader"), "a leader")
        agent(host, "three", three, "-retry-join", one, "-retry-join", two)
        watched = f"{three}:8500/v1/health/service/consul?stale"
        eventually(lambda: ask(watched) and "consul" in ask(f"{three}:8500/v1/catalog/services"), "a client")
        ask(f"{one}:8500/v1/kv/key", "PUT", b"value")
        seen: set[str] = set()

        def missing() -> set[str]:
            for address in (one, two, three):
                try:
                    seen.update(metrics(address))
                except OSError:
                    continue
            return alerts() - seen

        assert len(alerts()) > 12
        ask(watched)
        leader = ask(f"{one}:8500/v1/status/leader")
        stopped = "one" if leader.startswith(one) else "two"
        follower = host.programs[1 if stopped == "one" else 0]
        follower.kill()
        of_the_client = {"consul.client.rpc.failed", "consul.client.copies.stale"}
        eventually(lambda: ask(watched) and missing() <= of_the_client, "failures")
        host.programs[0 if stopped == "one" else 1].kill()

        def failing() -> bool:
            for path in ("/v1/kv/key", "/v1/health/service/consul?stale"):
                try:
                    ask(f"{three}:8500{path}")
                except ValueError:
                    continue
            return not missing()

        eventually(failing, f"the rest of {json.dumps(sorted(missing()))}")


@pytest.mark.programs("systemd-analyze")
def test_the_unit_is_taken_by_systemd(tmp_path: Path) -> None:
    unit = tmp_path / "consulpy.service"
    program = tmp_path / "consulpy"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    unit.write_text((DEPLOY / "consulpy.service").read_text().replace("/opt/consulpy/bin/consulpy", str(program)))
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(unit)], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
