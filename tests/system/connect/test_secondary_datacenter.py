"""A secondary datacenter's CA, own and real on either side: one trust domain, a key certified by the primary's root."""

import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.peers.programs import Host, ask, eventually, hosts

pytestmark = [pytest.mark.peers, pytest.mark.programs("openssl")]

OWN, REAL = "consulpy", "consul"
SETTINGS = {
    "performance": {"raft_multiplier": 1},
    "primary_datacenter": "dc1",
    "connect": {"enabled": True},
    "limits": {},
}
_blocks = itertools.count(1)


class Datacenters:
    """One server in each of two datacenters."""

    def __init__(self, host: Host, primary: str, secondary: str) -> None:
        self.host = host
        self.block = f"127.89.{next(_blocks)}"
        self.programs = {
            number: host.start(
                f"{self.block}-{number}", kind, "agent", "-server", "-bootstrap-expect", "1", "-node", f"n{number}",
                "-bind", self.address(number), "-client", self.address(number), "-datacenter", f"dc{number}",
                "-data-dir", f"{self.block}-data{number}", "-hcl", json.dumps(SETTINGS),
                *(["-retry-join-wan", self.address(1), "-retry-interval-wan", "1s"] if number == 2 else []),
            )
            for number, kind in ((1, primary), (2, secondary))
        }  # fmt: skip

    def address(self, number: int) -> str:
        return f"{self.block}.{number}"

    def get(self, number: int, path: str) -> Any:
        return ask(f"{self.address(number)}:8500/v1/{path}")

    def roots(self, number: int) -> Any:
        return self.get(number, "connect/ca/roots")

    def active(self, number: int) -> Any:
        roots = self.roots(number)
        return next((root for root in roots["Roots"] or () if root["ID"] == roots["ActiveRootID"]), None)

    def certified(self) -> bool:
        root = self.active(2)
        return bool(root and root["IntermediateCerts"] and root["ID"] == self.roots(1)["ActiveRootID"])

    def verify(self, name: str) -> None:
        """Openssl finds a leaf of the secondary good by the primary's roots."""
        leaf = self.get(2, f"agent/connect/ca/leaf/{name}")
        roots = "".join(root["RootCert"] for root in self.roots(2)["Roots"])
        for file, text in (("leaf.pem", leaf["CertPEM"]), ("roots.pem", roots)):
            (self.host.directory / file).write_text(text)
        done = self.host.run("openssl", "verify", "-CAfile", "roots.pem", "-untrusted", "leaf.pem", "leaf.pem")
        assert done.stdout.strip() == "leaf.pem: OK"
        assert "/dc/dc2/svc/" in leaf["ServiceURI"]


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    with hosts(tmp_path, None) as (only,):
        yield only


@pytest.mark.parametrize(
    ("primary", "secondary"), [(REAL, OWN), (OWN, REAL), (OWN, OWN)], ids=["real primary", "real secondary", "own"]
)
def test_the_secondary_signs_with_a_key_that_the_primary_certified(host: Host, primary: str, secondary: str) -> None:
    both = Datacenters(host, primary, secondary)
    eventually(both.certified, "a certificate of the primary")
    assert both.roots(1)["TrustDomain"] == both.roots(2)["TrustDomain"]
    both.verify("web")

    # a new root in the primary: the secondary follows
    key = host.output("openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout")
    body = json.dumps({"Provider": "consul", "Config": {"PrivateKey": key}}).encode()
    old = both.roots(2)["ActiveRootID"]
    ask(f"{both.address(1)}:8500/v1/connect/ca/configuration", "PUT", body)
    eventually(lambda: both.roots(2)["ActiveRootID"] != old and both.certified(), "the new root")
    assert sorted(root["Active"] for root in both.roots(2)["Roots"]) == [False, True]
    both.verify("db")

    # the primary goes: leafs are signed here all the same
    both.programs[1].kill()
    both.verify("alone")
