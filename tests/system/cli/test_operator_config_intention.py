"""`operator`, `config` and `intention`: the same output and status as the real commands, at an agent of each."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.peers.cli import RealAgent, environment

pytestmark = pytest.mark.peers

FILES = {
    "web.hcl": 'Kind = "service-defaults"\nName = "web"\nProtocol = "http"\n',
    "proxy.json": '{"kind":"proxy-defaults","name":"global","config":{"b_c":{"D":1}},"mesh_gateway":{"mode":"local"}}',
    "block.hcl": 'kind = "service-resolver"\nname = "r"\nfailover { "*" { datacenters = ["dc2"] } }\n',
    "unknown.hcl": 'Kind = "service-defaults"\nName = "web"\nFoo = "http"\n',
    "nokind.hcl": 'Name = "web"\n',
    "i.json": '{"SourceName":"a","DestinationName":"b","Action":"allow"}',
    "cut.json": '{"SourceName":"a",',
}
COMMANDS = """
operator raft list-peers
operator raft list-peers -stale
operator raft remove-peer
operator raft remove-peer -address=1.2.3.4:8300
operator raft remove-peer -id=nope
operator raft remove-peer -id=a -address=b
operator autopilot get-config
operator autopilot set-config -cleanup-dead-servers=false -last-contact-threshold=1300ms -min-quorum=3
operator autopilot get-config
operator autopilot set-config
config list
config list -kind nope
config list -kind service-defaults
config read
config read -kind service-defaults
config read -kind service-defaults -name web
config write
config write web.hcl
config write proxy.json
config write block.hcl
config write unknown.hcl
config write nokind.hcl
config write nope.hcl
config write web.hcl proxy.json
config write -cas web.hcl
config write -cas -modify-index=1 web.hcl
config write -modify-index=1 web.hcl
config read -kind service-defaults -name web
config read -kind proxy-defaults -name global
config read -kind service-resolver -name r
config list -kind service-defaults
config delete
config delete -kind service-defaults
config delete -kind service-defaults -name web
config delete -kind service-defaults -name nope
intention create
intention create web
intention create web db
intention create web db
intention create -allow -deny a b
intention create -replace -deny -meta a=b -meta c=d web db
intention create -file
intention create -file i.json
intention create -file cut.json
intention create -file nope.json
intention check
intention check web db
intention check a b
intention check x y
intention get
intention get web db
intention get nope nope
intention get 123
intention match
intention match db
intention match -source web
intention match -source -destination db
intention match nope
intention delete
intention delete web db
intention delete web db
intention delete nope
intention create * *
intention match zzz
intention create n/a n/b
intention get n/a n/b
"""
#: What differs from agent to agent and from moment to moment.
VARYING = re.compile(
    r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|node-1\d|127\.36\.1\.\d+|\w+day, \S+ [\d:]+ UTC|(?<=Index\": )\d+"
)


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[tuple[int, str]]]:
    """By program: (status, output and errors) of each command, in turn."""
    found: dict[str, list[tuple[int, str]]] = {}
    programs = {"theirs": ["consul"], "ours": [sys.executable, "-m", "consulpy"]}
    for number, (name, program) in enumerate(programs.items()):
        directory = tmp_path_factory.mktemp(name)
        for file, text in FILES.items():
            (directory / file).write_text(text)
        with RealAgent(f"127.36.1.{10 + number}", directory, "-hcl", "connect { enabled = true }") as agent:
            found[name] = [run(program, agent.address, line.split(), directory) for line in lines()]
    return found


def lines() -> list[str]:
    return COMMANDS.strip().splitlines()


def run(program: list[str], address: str, words: list[str], directory: Path) -> tuple[int, str]:
    done = subprocess.run(
        [*program, *words],
        env=environment(address),
        cwd=directory,
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    return done.returncode, VARYING.sub("#", done.stdout + done.stderr)


@pytest.mark.parametrize("number", range(len(lines())), ids=lambda number: lines()[number])
def test_the_same_output_and_status(answers: dict[str, list[tuple[int, str]]], number: int) -> None:
    ours, theirs = answers["ours"][number], answers["theirs"][number]

    assert ours == theirs
