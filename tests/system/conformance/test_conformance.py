"""Does a pair of consulpy agents answer as real Consul does? Hundreds of recorded exchanges (README.md here)."""

import json
import re
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.peers.programs import Host, ask, eventually, hosts, members

HERE = Path(__file__).parents[2] / "conformance"
ONE, TWO, PEER = "127.44.0.1", "127.44.0.2", "127.44.0.3"
#: Areas with cases that depend on chance or on seconds: so many of them may differ in one run.
MAY_DIFFER = {"blocking": 1, "cli": 1, "dns-service": 1, "peer": 1, "session": 1}
#: Cases in which we differ on purpose: real Consul is wrong (SURPRISES.md), or newer versions answer otherwise (a
#: transaction has up to 128 operations since 1.14).
BETTER = {"dns-node/addr-wrong-type", "txn/sixty-five-operations"}
PATIENCE_S = 540
#: What a client passes on to its servers.
PASSED_ON = ("kv", "session", "txn", "event", "query", "catalog", "health")
CLIENTS = {"consul": ("127.44.0.5", "127.44.0.6"), "consulpy": ("127.44.0.7", "127.44.0.8")}
#: A node id as the command line shows it.
_SHORT_ID = re.compile(r"\b[0-9a-f]{8}\b")
#: What each call puts before an error that it passes on.
_PASSED_ON = re.compile(r"(rpc error making call: )+")
_WANT_AND_GOT = re.compile(r"  \S+: want (.*), got (.*)")
_INDEX = re.compile(r'Index\\*":\d+')


@pytest.mark.peers
@pytest.mark.timeout(PATIENCE_S + 60)
def test_a_pair_answers_as_consul_does(tmp_path: Path) -> None:
    """One server and one client, fresh; real Consul is the command line, and comes and goes as a third agent."""
    with hosts(tmp_path, None) as (host,):
        for node, address, flags in (
            ("agent-one", ONE, ["-server", "-bootstrap-expect", "1"]),
            ("agent-two", TWO, ["-retry-join", ONE]),
        ):
            data = str(host.directory / node)
            place = ["-node", node, "-bind", address, "-client", address, "-data-dir", data]
            host.start(node, "consulpy", "agent", *place, *flags)
        both = {"agent-one": "alive", "agent-two": "alive"}
        eventually(lambda: members(f"{ONE}:8500") == both, "the two have joined")
        eventually(lambda: len(ask(f"{TWO}:8500/v1/catalog/nodes")) == 2, "both are in the catalog")
        eventually(lambda: len(ask(f"{ONE}:8500/v1/coordinate/nodes")) == 2, "both have told where they are")

        report = tmp_path / "report.json"
        where = ["--http", f"{ONE}:8500", "--dns", f"{ONE}:8600", "--http2", f"{TWO}:8500", "--dns2", f"{TWO}:8600"]
        command = [sys.executable, str(HERE / "conform"), "run", *where, "--consul", "consul", "--peer", PEER]
        done = host.run(
            *command, "--destructive", "--json", str(report), "--lines", "30", check=False, within_s=PATIENCE_S
        )

        cases = json.loads(report.read_text())["cases"]
        areas = sorted({case["area"] for case in cases})
        assert areas == sorted(path.stem for path in (HERE / "golden").glob("*.json"))
        failed = [case for case in cases if not case["passed"] and case["id"] not in BETTER]
        differing = {area: [case["id"] for case in failed if case["area"] == area] for area in areas}
        too_many = {area: ids for area, ids in differing.items() if len(ids) > MAY_DIFFER.get(area, 0)}
        assert not too_many, f"{too_many}\n{done.stdout}"


@pytest.mark.peers
def test_a_client_of_a_real_server_answers_as_the_real_client_does(tmp_path: Path) -> None:
    """The recordings are a server's, and what a client answers differs here and there: ours as the real one, in all."""
    with ThreadPoolExecutor() as both:
        theirs, ours = both.map(lambda program: _asked_of_a_client(program, tmp_path / program), CLIENTS)
    assert len(ours) >= 300
    differing = {case: (ours[case], theirs[case]) for case in ours if ours[case] != theirs[case]}
    assert set(differing) <= BETTER, differing


def _asked_of_a_client(program: str, place: Path) -> dict[str, list[str]]:
    """For each case, how what a client of this program answers differs from the recording."""
    server, client = CLIENTS[program]
    with hosts(place, None) as (host,):
        fast = ["-hcl", "performance { raft_multiplier = 1 }"]
        for node, command, address, flags in (
            ("agent-one", "consul", server, ["-server", "-bootstrap-expect", "1", *fast]),
            ("agent-two", program, client, ["-retry-join", server, "-retry-interval", "1s"]),
        ):
            data = str(host.directory / node)
            host.start(
                node, command, "agent", "-node", node, "-bind", address, "-client", address, "-data-dir", data, *flags
            )
        eventually(lambda: len(ask(f"{client}:8500/v1/catalog/nodes")) == 2, "the client reads the catalog")
        eventually(lambda: len(ask(f"{client}:8500/v1/coordinate/nodes")) == 2, "both have told where they are")
        report = place / "report.json"
        where = ["--http", f"{client}:8500", "--dns", f"{client}:8600", "--http2", f"{client}:8500"]
        command = [sys.executable, str(HERE / "conform"), "run", *where, "--addr1", server, "--consul", "consul"]
        only = [word for area in PASSED_ON for word in ("--only", area)]
        host.run(*command, *only, "--json", str(report), "--diffs", "0", check=False, within_s=240)
        cases = json.loads(report.read_text())["cases"]
        # a case that a client cannot pass tells what it saw last, with indexes that depend on the server's start
        return {case["id"]: [_INDEX.sub("Index", line) for line in case["problems"]] for case in cases}


#: Cases that list all agents, of which there are two more here, in an order of their own.
OF_ALL_AGENTS = {
    *(f"agent/members{more}" for more in ("", "-this", "-wan-needs-a-true-value")),
    *(f"peer/{what}" for what in ("joins", "leaves", "is-killed-and-fails", "fails-and-comes-back")),
    "client/members",
    "client/query",
    "coordinate/datacenters-area",
    "leave/agent-two-leaves",
}
#: What three healthy servers answer: on a busy machine the real ones are unhealthy for moments.
OF_THREE_SERVERS = ("  json.FailureTolerance: want 0, got 1",)
#: First address of each program's four agents: the pair, and the two other servers of its quorum.
QUORUMS = {"consul": "127.44.1", "consulpy": "127.44.2"}


@pytest.mark.peers
@pytest.mark.timeout(PATIENCE_S + 120)
def test_a_follower_of_a_quorum_of_three_answers_as_a_real_one_does(tmp_path: Path) -> None:
    """The recordings are a lone leader's; where a real follower's answers differ from them, ours do in the same way.

    Each step waits until all servers have applied the same log (`--settle`): what DNS and `?stale` reads answer would
    else depend on how far a follower is behind.
    """
    with ThreadPoolExecutor() as both:
        theirs, ours = both.map(lambda program: _asked_of_a_follower(program, tmp_path / program), QUORUMS)
    assert len(ours) >= 600
    as_theirs = {case: {*theirs[case], *OF_THREE_SERVERS} for case in ours}
    differing = {case: (ours[case], theirs[case]) for case in ours if not set(ours[case]) <= as_theirs[case]}
    worse = {case: lines for case, lines in differing.items() if case not in BETTER | OF_ALL_AGENTS}
    areas = Counter(case.partition("/")[0] for case in worse)
    told = [
        "\n  ".join([case, *(f"ours: {line}" for line in mine), *(f"real: {line}" for line in real)])
        for case, (mine, real) in worse.items()
    ]
    assert all(count <= MAY_DIFFER.get(area, 0) for area, count in areas.items()), "\n".join(told)


def _asked_of_a_follower(program: str, place: Path) -> dict[str, list[str]]:
    """For each case, how what a follower and a client of this program answer differs from the recording."""
    one, two, leader, third, peer = (f"{QUORUMS[program]}.{number}" for number in range(1, 6))
    servers = (("agent-lead", leader, "1"), ("agent-one", one, ""), ("agent-third", third, ""))
    with hosts(place, None) as (host,):
        for node, address, expect in servers:
            _start(host, program, node, address, leader, "-server", *(("-bootstrap-expect", expect) if expect else ()))
            if expect:
                eventually(lambda: ask(f"{leader}:8500/v1/status/leader") == f"{leader}:8300", "it leads")
        voters = lambda: [each["Voter"] for each in ask(f"{leader}:8500/v1/operator/raft/configuration")["Servers"]]  # noqa: E731
        eventually(lambda: voters() == [True] * 3, "three voters")
        _start(host, program, "agent-two", two, leader)
        eventually(lambda: len(ask(f"{two}:8500/v1/coordinate/nodes")) == 4, "all have told where they are")
        report = place / "report.json"
        where = ["--http", f"{one}:8500", "--dns", f"{one}:8600", "--http2", f"{two}:8500", "--dns2", f"{two}:8600"]
        where += [word for server in (one, leader, third) for word in ("--settle", f"{server}:8500")]
        command = [sys.executable, str(HERE / "conform"), "run", *where, "--consul", "consul", "--peer", peer]
        host.run(*command, "--destructive", "--json", str(report), "--diffs", "0", check=False, within_s=PATIENCE_S)
        assert ask(f"{one}:8500/v1/status/leader") == f"{leader}:8300", "it was a follower all the time"
        cases = json.loads(report.read_text())["cases"]
        own = QUORUMS[program].replace(".", r"\.")
        return {case["id"]: _comparable(case["problems"], own) for case in cases}


def _comparable(problems: list[str], own: str) -> list[str]:
    """Differences from a recording without what depends on chance: addresses, ids, indexes, and which of the servers a
    client asked, since each that a call goes through puts the same words before its error.
    """
    steps: list[list[str]] = []
    for line in problems:
        text = _SHORT_ID.sub("ID", re.sub(own, "127.44.0", _INDEX.sub("Index", _PASSED_ON.sub(r"\1", line))))
        if not steps or not text.startswith(" "):
            steps.append([])
        steps[-1].append(text)
    found: list[str] = []
    for step in steps:
        remaining = [text for text in step if not _says_the_same(text)]
        found += remaining if len(remaining) > 1 or len(step) == 1 else []
    return found


def _says_the_same(text: str) -> bool:
    found = _WANT_AND_GOT.fullmatch(text)
    return found is not None and found[1] == found[2]


def _start(host: Host, program: str, node: str, address: str, join: str, *flags: str) -> None:
    place = ["-node", node, "-bind", address, "-client", address, "-data-dir", str(host.directory / node)]
    joins = [] if address == join else ["-retry-join", join, "-retry-interval", "1s"]
    host.start(node, program, "agent", *place, *flags, *joins)
