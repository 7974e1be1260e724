"""Gossip keys of two datacenters joined over the WAN, ours and a real one: each changes and lists those of both."""

import json
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from tests.peers.programs import Host, ask, eventually, hosts

pytestmark = [pytest.mark.peers]

BLOCK = "127.80.9"
OURS, CLIENT, THEIRS = f"{BLOCK}.1", f"{BLOCK}.2", f"{BLOCK}.3"
KEY, SECOND = "pUqJrVyVRj5jsiYEkM/tFQ==", "3lg9DxVfKNzI8O+IQ5Ek+Q=="
MASTER = "cf000000-0000-0000-0000-0000000000aa"
SETTINGS = {"acl": {"enabled": True, "default_policy": "deny", "tokens": {"master": MASTER, "agent": MASTER}}}


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    """Our server and client agent in dc2, a real server in dc1; both with access control and the same master token."""
    with hosts(tmp_path_factory.mktemp("keys"), None) as (running,):
        common = ["-encrypt", KEY, "-retry-interval", "1s", "-hcl", json.dumps(SETTINGS)]
        server = ["-server", "-bootstrap-expect", "1"]
        places = (("consul", "dc1", THEIRS, server), ("consulpy", "dc2", OURS, server))
        for program, datacenter, address, rest in (*places, ("consulpy", "dc2", CLIENT, ["-retry-join", OURS])):
            place = ["-datacenter", datacenter, "-bind", address, "-client", address, "-node", f"n{address[-1]}"]
            running.start(address, program, "agent", "-data-dir", f"data-{address}", *place, *common, *rest)
        for address in (THEIRS, OURS):
            eventually(lambda address=address: ask(f"{address}:8500/v1/acl/token/self?token={MASTER}"), "it leads")
        joined = running.run("consul", "join", f"-http-addr={THEIRS}:8500", f"-token={MASTER}", "-wan", OURS)
        assert joined.returncode == 0, joined.stderr
        for address in (THEIRS, OURS):
            eventually(lambda address=address: len(ask(f"{address}:8500/v1/catalog/datacenters")) == 2, "both known")
        eventually(lambda: len(ask(f"{OURS}:8500/v1/agent/members?token={MASTER}")) == 2, "our client has joined")
        yield running


def keyring(host: Host, program: str, address: str, *words: str) -> subprocess.CompletedProcess[str]:
    return host.run(program, "keyring", f"-http-addr={address}:8500", *words, check=False)


def listed(address: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = ask(f"{address}:8500/v1/operator/keyring?token={MASTER}")
    return sorted(rows, key=lambda row: (not row["WAN"], row["Datacenter"]))


def pools(datacenter: str) -> list[dict[str, Any]]:
    """What a server of `datacenter` lists while all members of all pools have the one key."""
    rows = ((True, datacenter, 2), (False, "dc1", 1), (False, "dc2", 2))
    return [{"WAN": wan, "Datacenter": where, "Segment": "", **all_have(KEY, count)} for wan, where, count in rows]


def all_have(key: str, count: int) -> dict[str, Any]:
    return {"Keys": {key: count}, "PrimaryKeys": {key: count}, "NumNodes": count}


def test_each_lists_the_keys_of_both(host: Host) -> None:
    assert listed(THEIRS) == pools("dc1")
    assert listed(OURS) == pools("dc2")
    for address in (THEIRS, OURS):
        ours = keyring(host, "consulpy", address, f"-token={MASTER}", "-list")
        real = keyring(host, "consul", address, f"-token={MASTER}", "-list")
        assert (real.returncode, ours.returncode) == (0, 0), real.stderr + ours.stderr
        assert sorted(ours.stdout.splitlines()) == sorted(real.stdout.splitlines())
        assert "dc1 (LAN):" in real.stdout
        assert "dc2 (LAN):" in real.stdout


@pytest.mark.parametrize(("begins", "other"), [(THEIRS, OURS), (OURS, THEIRS)])
def test_a_key_that_one_installs_is_in_both(host: Host, begins: str, other: str) -> None:
    secret = f"-token={MASTER}"
    for words in (("-install", SECOND), ("-use", SECOND)):
        assert keyring(host, "consul", begins, secret, *words).returncode == 0
    for row in listed(other):
        assert row["Keys"] == {KEY: row["NumNodes"], SECOND: row["NumNodes"]}
        assert row["PrimaryKeys"] == {SECOND: row["NumNodes"]}
    for words in (("-use", KEY), ("-remove", SECOND)):
        assert keyring(host, "consulpy", begins, secret, *words).returncode == 0
    assert [row["Keys"] for row in listed(other)] == [{KEY: 2}, {KEY: 1}, {KEY: 2}]


def test_what_fails_in_the_other_is_told_alike(host: Host) -> None:
    texts = {}
    for address in (THEIRS, OURS):
        refused = keyring(host, "consul", address, f"-token={MASTER}", "-use", SECOND)
        assert refused.returncode == 1
        texts[address] = sorted(line for line in refused.stderr.splitlines() if line.startswith("\t*"))
    assert texts[THEIRS] == texts[OURS]
    assert "\t* dc1 (LAN) error: 1/1 nodes reported failure" in texts[OURS]
    assert "\t* dc2 (LAN) error: 2/2 nodes reported failure" in texts[OURS]


def test_only_who_may_does(host: Host) -> None:
    for address in (THEIRS, OURS):
        policy = {"Name": "keys", "Rules": 'keyring = "read"'}
        ask(f"{address}:8500/v1/acl/policy?token={MASTER}", "PUT", json.dumps(policy).encode())
        body = {"SecretID": "cf000000-0000-0000-0000-0000000000bb", "Policies": [{"Name": "keys"}]}
        ask(f"{address}:8500/v1/acl/token?token={MASTER}", "PUT", json.dumps(body).encode())
    reader = f"-token={body['SecretID']}"
    for address in (THEIRS, OURS):
        assert "Reading keyring denied by ACLs" in keyring(host, "consul", address, "-list").stderr
        assert keyring(host, "consul", address, reader, "-list").returncode == 0
        assert "Modifying keyring denied due to ACLs" in keyring(host, "consul", address, reader, "-use", KEY).stderr
    only_here = {"SecretID": "cf000000-0000-0000-0000-0000000000cc", "Local": True, "Policies": [{"Name": "keys"}]}
    ask(f"{OURS}:8500/v1/acl/token?token={MASTER}", "PUT", json.dumps(only_here).encode())
    refused = keyring(host, "consul", OURS, f"-token={only_here['SecretID']}", "-list")
    assert "Reading keyring denied by ACLs" in refused.stderr, "the other datacenter sees no token"


def test_a_client_agent_of_ours_refuses(host: Host) -> None:
    refused = keyring(host, "consul", CLIENT, f"-token={MASTER}", "-list")
    assert "keyring operations must run against a server node" in refused.stderr
