"""`consulpy simulate`: figures from a seed, as a table, JSON and a picture."""

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from consulpy.cli.main import main
from tests.harness.effort import cases

needs_matplotlib = pytest.mark.skipif(
    find_spec("matplotlib") is None, reason="matplotlib is not installed: pip install -e '.[plot]'"
)
SMALL = ["simulate", "-nodes", "20", "-duration", "2m", "-kill", "2"]


def found(capsys: pytest.CaptureFixture[str], *flags: str) -> dict[str, Any]:
    assert main([*SMALL, "-format", "json", *flags]) == 0
    return json.loads(capsys.readouterr().out)  # type: ignore[no-any-return]


def test_json_has_the_settings_and_all_figures(capsys: pytest.CaptureFixture[str]) -> None:
    report = found(capsys, "-loss", "5%", "-seed", "3")
    assert report["settings"] == {
        "nodes": 20, "servers": 0, "duration": 120.0, "seed": 3, "loss": 0.05, "kill": 2, "config": {},
    }  # fmt: skip
    for kind in ("failure", "join", "leave", "event"):
        times = report[kind]
        assert times["count"] >= 32, kind
        assert times["unknown"] == 0, kind
        assert 0 < times["median"] <= times["p99"] <= times["worst"] < 40, kind
    assert report["failure"]["median"] > 4, "a suspected node has its time to refute"
    assert report["event"]["worst"] < 5
    assert report["false_failures"] == 0
    assert report["bytes_per_node_per_second"] > 100
    assert report["cpu_seconds_per_node"] > 0


def test_equal_seeds_give_equal_figures_and_others_do_not(capsys: pytest.CaptureFixture[str]) -> None:
    one, two, other = (found(capsys, "-seed", seed) for seed in ("3", "3", "4"))
    for report in (one, two, other):
        del report["cpu_seconds_per_node"], report["settings"]
    assert one == two != other


def test_ones_own_gossip_settings_count(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "gossip.hcl"
    path.write_text('gossip_lan { probe_interval = "200ms" suspicion_mult = 2 }\nnode_name = "mine"\nserver = true\n')
    quick, plain = found(capsys, "-config", str(path)), found(capsys)
    assert quick["settings"]["config"] == {"gossip_lan": {"probe_interval": "200ms", "suspicion_mult": 2}}
    assert quick["failure"]["worst"] < plain["failure"]["median"] / 2
    assert quick["bytes_per_node_per_second"] > 2 * plain["bytes_per_node_per_second"]


def test_a_network_that_loses_most_shows_false_suspicions(capsys: pytest.CaptureFixture[str]) -> None:
    assert found(capsys, "-loss", "60%", "-kill", "0")["false_suspicions"] > 0


@needs_matplotlib
@pytest.mark.parametrize(("name", "begin"), [("out.svg", b"<?xml"), ("out.png", b"\x89PNG")][: cases(2)])
def test_a_picture_and_a_table(tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, begin: bytes) -> None:
    assert main([*SMALL, "-plot", str(tmp_path / name)]) == 0
    assert (tmp_path / name).read_bytes().startswith(begin)
    shown = capsys.readouterr().out
    for part in ("20 nodes", "failure", "P99", "false suspicions", "times real time"):
        assert part in shown


@pytest.mark.parametrize(
    ("flags", "text"),
    [
        (["-loss", "500%"], "expected a share"),
        (["-nodes", "1"], "expected 2 or more"),
        (["-nodes", "4001"], "4000 at most"),
        (["-servers", "21"], "no fewer than -servers"),
        (["-duration", "0s"], "1s or more"),
        (["-kill", "10"], "9 at most"),
        (["-servers", "18", "-kill", "2"], "1 at most"),
        (["-plot", "out.gif"], ".svg or .png"),
        (["-plot", "/nowhere/out.svg"], "can't write /nowhere/out.svg"),
        (["-config", "missing.hcl"], "missing.hcl"),
        (["extra"], "Too many arguments"),
    ],
)
def test_a_mistake_is_one_line(flags: list[str], text: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*SMALL, *flags]) == 1
    shown = capsys.readouterr()
    assert text in shown.err.splitlines()[0]
    assert shown.out == ""


def test_a_cluster_of_two_has_nobody_to_kill(capsys: pytest.CaptureFixture[str]) -> None:
    """The default is for clusters that have some to spare."""
    assert main(["simulate", "-nodes", "2", "-duration", "5s", "-format", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["settings"]["kill"] == 0
