"""`consulpy debug`, against a real agent that has everything to capture, and what it refuses."""

import json
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.peers.cli import RealAgent, ours

pytestmark = pytest.mark.peers


@pytest.fixture(scope="module")
def agent(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealAgent]:
    with RealAgent("127.79.1.1", tmp_path_factory.mktemp("debug"), "-hcl", "enable_debug = true") as running:
        yield running


def test_everything_that_a_real_agent_has_is_in_the_archive(agent: RealAgent, tmp_path: Path) -> None:
    where = tmp_path / "captured"
    status, out, err = ours(agent.address, "debug", "-duration=10s", "-interval=5s", f"-output={where}")
    assert (status, err) == (0, "")
    assert f"Saved debug archive: {where}.tar.gz" in out
    assert not where.exists()
    with tarfile.open(f"{where}.tar.gz") as archive:
        names = archive.getnames()
        index = json.loads(archive.extractfile("captured/index.json").read())  # type: ignore[union-attr]
    assert index["Targets"] == ["metrics", "logs", "pprof", "host", "agent", "cluster"]
    assert {"captured/host.json", "captured/agent.json", "captured/cluster.json"} <= set(names)
    inside = {name.split("/")[2] for name in names if name.count("/") == 2}
    assert inside == {"consul.log", "metrics.json", "heap.prof", "goroutine.prof", "profile.prof", "trace.out"}
    assert len({name.split("/")[1] for name in names if name.count("/") == 2}) == 2


@pytest.mark.parametrize(
    ("flags", "why"),
    [
        (["-duration=9s"], "duration must be longer than 10s"),
        (["-interval=1s"], "interval must be longer than 5s"),
        (["-duration=10s", "-interval=20s"], "duration (10s) must be longer than interval (20s)"),
        (["-capture=nope"], "target not found: nope"),
        (["-output=/"], "output directory already exists: /"),
    ],
)
def test_what_cannot_be_captured_is_refused_at_once(agent: RealAgent, flags: list[str], why: str) -> None:
    status, _, err = ours(agent.address, "debug", *flags)
    assert (status, err) == (1, f"==> Capture validation failed: {why}\n")


def test_statistics_as_json(agent: RealAgent) -> None:
    status, out, _ = ours(agent.address, "info", "-format=json")
    assert status == 0
    assert json.loads(out)["build"]["version"] == "1.8.7"
