"""The certificate authority beside real Consul: one quorum of both, snapshots to and fro, openssl as the judge."""

import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.peers.programs import Host, Program, ask, eventually, hosts

pytestmark = [pytest.mark.peers, pytest.mark.programs("openssl")]

OWN, REAL = "consulpy", "consul"
SETTINGS = json.dumps(
    {"performance": {"raft_multiplier": 1, "leave_drain_time": "200ms"}, "connect": {"enabled": True}, "limits": {}}
)
_blocks = itertools.count(1)


class Servers:
    """Servers with Connect on addresses of their own."""

    def __init__(self, host: Host, *kinds: str) -> None:
        self.host = host
        self.block = f"127.87.{next(_blocks)}"
        self.kinds = dict(enumerate(kinds, 1))
        self.running: dict[int, Program] = {}

    def address(self, number: int) -> str:
        return f"{self.block}.{number}"

    def start(self, number: int, *flags: str) -> None:
        joins = [flag for other in self.kinds if other != number for flag in ("-retry-join", self.address(other))]
        self.running[number] = self.host.start(
            f"{self.block}-n{number}", self.kinds[number], "agent", "-server",
            "-bootstrap-expect", str(len(self.kinds)),
            "-node", f"n{number}", "-bind", self.address(number), "-client", self.address(number),
            "-data-dir", f"{self.block}-data{number}", "-retry-interval", "1s", "-hcl", SETTINGS, *joins, *flags,
        )  # fmt: skip

    def begin(self) -> "Servers":
        for number in self.kinds:
            self.start(number)
        eventually(lambda: all(self.roots(number)["Roots"] for number in self.running), "roots on all servers")
        return self

    def get(self, number: int, path: str) -> Any:
        return ask(f"{self.address(number)}:8500/v1/{path}")

    def roots(self, number: int) -> Any:
        return self.get(number, "connect/ca/roots")

    def leaf(self, number: int, name: str) -> Any:
        return self.get(number, f"agent/connect/ca/leaf/{name}")

    @property
    def leader(self) -> int:
        named = {self.get(number, "status/leader") for number in self.running}
        (number,) = [number for number in self.running if named == {f"{self.address(number)}:8300"}]
        return number

    def verify(self, number: int, name: str) -> None:
        """Openssl finds the leaf of an agent good by the roots of all."""
        leaf, roots = self.leaf(number, name), self.roots(number)
        files = {"leaf.pem": leaf["CertPEM"], "roots.pem": "".join(root["RootCert"] for root in roots["Roots"])}
        for file, text in files.items():
            (self.host.directory / file).write_text(text)
        done = self.host.run("openssl", "verify", "-CAfile", "roots.pem", "-untrusted", "leaf.pem", "leaf.pem")
        assert done.stdout.strip() == "leaf.pem: OK"
        text = self.host.output("openssl", "x509", "-in", "leaf.pem", "-noout", "-text")
        assert f"URI:spiffe://{roots['TrustDomain']}/ns/default/dc/dc1/svc/{name}" in text

    def rotate(self, number: int) -> None:
        """Give the CA a key of its own."""
        key = self.host.output("openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout")
        body = json.dumps({"Provider": "consul", "Config": {"PrivateKey": key}}).encode()
        ask(f"{self.address(number)}:8500/v1/connect/ca/configuration", "PUT", body)


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    with hosts(tmp_path, None) as (only,):
        yield only


@pytest.mark.parametrize("kind", [OWN, REAL])
def test_openssl_finds_the_leafs_of_both_good(host: Host, kind: str) -> None:
    servers = Servers(host, kind).begin()
    servers.verify(1, "web")
    old = servers.roots(1)["ActiveRootID"]
    servers.rotate(1)
    assert servers.roots(1)["ActiveRootID"] != old
    servers.verify(1, "db")


@pytest.mark.parametrize("kinds", [(OWN, REAL, OWN), (REAL, OWN, REAL)], ids=["one real", "two real"])
def test_a_quorum_of_both_has_one_authority(host: Host, kinds: tuple[str, ...]) -> None:
    servers = Servers(host, *kinds).begin()
    first = eventually(lambda: _one({servers.roots(number)["ActiveRootID"] for number in servers.running}), "one root")
    for number in servers.running:
        servers.verify(number, f"web-{number}")
    serials = [servers.leaf(number, f"web-{number}")["SerialNumber"] for number in servers.running]
    assert len(set(serials)) == len(serials)

    # the leader goes: the next one, of whatever kind, signs with the same root, and can rotate it
    gone = servers.leader
    servers.running.pop(gone).kill()
    rest = list(servers.running)
    eventually(lambda: servers.leader in rest, "another leader")
    eventually(lambda: servers.leaf(rest[0], "after")["CertPEM"], "a leaf of the next leader")
    servers.verify(rest[0], "after")
    assert servers.roots(rest[0])["ActiveRootID"] == first
    servers.rotate(rest[1])
    second = servers.roots(rest[1])["ActiveRootID"]
    assert second != first

    # it comes back and has all of it
    servers.start(gone)
    eventually(lambda: servers.roots(gone)["ActiveRootID"] == second, "the new root on the server that was away")
    for number in servers.running:
        assert len(servers.roots(number)["Roots"]) == 2
        servers.verify(number, f"again-{number}")


@pytest.mark.parametrize(("source", "target"), [(OWN, REAL), (REAL, OWN)], ids=["to a real one", "from a real one"])
def test_a_snapshot_carries_the_authority(host: Host, source: str, target: str) -> None:
    servers, others = Servers(host, source).begin(), Servers(host, target).begin()
    servers.rotate(1)
    leaf, roots = servers.leaf(1, "web"), servers.roots(1)
    at = ("-http-addr", f"{servers.address(1)}:8500")
    host.run("consul", "snapshot", "save", *at, "ca.snap")
    host.run("consul", "snapshot", "restore", "-http-addr", f"{others.address(1)}:8500", "ca.snap")

    def restored() -> bool:
        found = others.roots(1)
        return bool(found["ActiveRootID"] == roots["ActiveRootID"] and found["TrustDomain"] == roots["TrustDomain"])

    eventually(restored, "the roots of the snapshot")
    others.verify(1, "web")
    fresh = others.leaf(1, "other")
    assert int(fresh["SerialNumber"].replace(":", ""), 16) > int(leaf["SerialNumber"].replace(":", ""), 16)
    assert others.get(1, "connect/ca/configuration")["Config"]["PrivateKey"].startswith("-----BEGIN EC")


def _one(values: set[str]) -> str:
    """The only value, or nothing yet."""
    return values.pop() if len(values) == 1 else ""


def test_private_keys_are_in_no_log_and_no_debug_archive(host: Host) -> None:
    servers = Servers(host, OWN)
    servers.start(1, "-log-level", "trace")
    eventually(lambda: servers.roots(1)["Roots"], "roots")
    servers.rotate(1)
    key = servers.get(1, "connect/ca/configuration")["Config"]["PrivateKey"]
    leaf_key = servers.leaf(1, "web")["PrivateKeyPEM"]
    secrets = [line for pem in (key, leaf_key) for line in pem.splitlines()[1:-1]]
    host.run(
        "consulpy", "debug", "-http-addr", f"{servers.address(1)}:8500", "-duration", "11s", "-interval", "10s",
        "-output", "archive", within_s=60,
    )  # fmt: skip
    host.run("tar", "-xzf", "archive.tar.gz")
    shown = servers.running[1].output + "".join(
        path.read_text(errors="replace") for path in (host.directory / "archive").rglob("*") if path.is_file()
    )
    shown += json.dumps(servers.get(1, "agent/self"))
    assert len(shown) > 1000
    assert [line for line in secrets if line in shown] == []
