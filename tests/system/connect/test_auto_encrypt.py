"""auto_encrypt between real and own agents: a client that has only the CA's certificate gets its own from a server."""

import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.peers.programs import Host, ask, eventually, hosts, members

pytestmark = [pytest.mark.peers, pytest.mark.programs("openssl")]

OWN, REAL = "consulpy", "consul"
_blocks = itertools.count(1)
COMMON = {
    "performance": {"raft_multiplier": 1, "leave_drain_time": "200ms"},
    "ports": {"https": 8501},
    "verify_incoming_rpc": True,
    "verify_outgoing": True,
    "verify_server_hostname": True,
    "ca_file": "consul-agent-ca.pem",
    "limits": {},
}
SERVER = COMMON | {
    "auto_encrypt": {"allow_tls": True},
    "cert_file": "dc1-server-consul-0.pem",
    "key_file": "dc1-server-consul-0-key.pem",
    "connect": {"enabled": True},
}
CLIENT = COMMON | {"auto_encrypt": {"tls": True, "dns_san": ["two.example"], "ip_san": ["10.82.0.7"]}}


class Pair:
    """A server and a client."""

    def __init__(self, host: Host, server: str, client: str) -> None:
        self.host = host
        self.block = f"127.88.{next(_blocks)}"
        self.kinds = {1: server, 2: client}
        #: Variables of libfaketime.
        self.fake: list[str] = []
        host.run("consul", "tls", "ca", "create")
        host.run("consul", "tls", "cert", "create", "-server")

    def address(self, number: int) -> str:
        return f"{self.block}.{number}"

    def start(self, number: int, settings: dict[str, Any] | None = None) -> Any:
        role = ["-server", "-bootstrap-expect", "1"] if number == 1 else ["-retry-join", self.address(1)]
        return self.host.start(
            f"{self.block}-{number}", "env", *self.fake, self.kinds[number], "agent", *role, "-node", f"n{number}",
            "-bind", self.address(number), "-client", self.address(number), "-data-dir", f"{self.block}-data{number}",
            "-retry-interval", "1s", "-hcl", json.dumps(settings or (SERVER if number == 1 else CLIENT)),
        )  # fmt: skip

    def http(self, number: int) -> str:
        return f"{self.address(number)}:8500"

    def begin(self) -> "Pair":
        self.start(1)
        eventually(lambda: ask(f"{self.http(1)}/v1/connect/ca/roots")["Roots"], "a CA")
        self.start(2)
        self.joined()
        return self

    def joined(self) -> None:
        def both() -> bool:
            return {row["Node"] for row in ask(f"{self.http(2)}/v1/catalog/nodes")} == {"n1", "n2"}

        eventually(both, "a client in the catalog")

    def certificate(self) -> str:
        """What the client's HTTPS port shows, as text."""
        (self.host.directory / "root.pem").write_text(
            ask(f"{self.http(1)}/v1/connect/ca/roots")["Roots"][0]["RootCert"]
        )
        shown = self._session("-CAfile", "root.pem")
        assert "Verify return code: 0 (ok)" in shown, shown
        return self._text(shown)

    def shown(self) -> str:
        """The same, whether or not it is valid by the clock of this machine."""
        return self._text(self._session())

    def _session(self, *flags: str) -> str:
        command = ("openssl", "s_client", "-connect", f"{self.address(2)}:8501", "-showcerts", *flags)
        return self.host.run(*command, check=False).stdout

    def _text(self, shown: str) -> str:
        (self.host.directory / "two.pem").write_text(shown)
        return self.host.output("openssl", "x509", "-in", "two.pem", "-noout", "-text")


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    with hosts(tmp_path, None) as (only,):
        yield only


@pytest.mark.parametrize(
    ("server", "client"), [(OWN, REAL), (REAL, OWN), (OWN, OWN)], ids=["real client", "real server", "own"]
)
def test_a_client_gets_its_certificate_and_uses_it(host: Host, server: str, client: str) -> None:
    pair = Pair(host, server, client).begin()
    domain = ask(f"{pair.http(1)}/v1/connect/ca/roots")["TrustDomain"]
    text = pair.certificate()
    assert f"URI:spiffe://{domain}/agent/client/dc/dc1/id/n2" in text
    for name in ("DNS:localhost", "DNS:two.example", "IP Address:10.82.0.7", "IP Address:127.0.0.1"):
        assert name in text
    # all of 8300 goes over it: the server refuses who has none
    ask(f"{pair.http(2)}/v1/kv/a", "PUT", b"1")
    body = json.dumps({"Name": "web", "Port": 80}).encode()
    ask(f"{pair.http(2)}/v1/agent/service/register", "PUT", body)
    eventually(lambda: ask(f"{pair.http(1)}/v1/catalog/service/web"), "a service of the client")
    leaf = ask(f"{pair.http(2)}/v1/agent/connect/ca/leaf/web")
    assert leaf["Service"] == "web"


def test_a_client_renews_after_a_new_root_and_after_a_restart(host: Host) -> None:
    pair = Pair(host, REAL, OWN).begin()
    before = pair.certificate()
    key = host.output("openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout")
    body = json.dumps({"Provider": "consul", "Config": {"PrivateKey": key}}).encode()
    ask(f"{pair.http(1)}/v1/connect/ca/configuration", "PUT", body)

    def renewed() -> bool:
        roots = ask(f"{pair.http(1)}/v1/connect/ca/roots")
        (host.directory / "new.pem").write_text(next(root["RootCert"] for root in roots["Roots"] if root["Active"]))
        shown = host.run(
            "openssl", "s_client", "-connect", f"{pair.address(2)}:8501", "-CAfile", "new.pem", check=False
        )
        return "Verify return code: 0 (ok)" in shown.stdout

    eventually(renewed, "a certificate of the new root")
    ask(f"{pair.http(2)}/v1/kv/b", "PUT", b"2")
    host.programs[-1].terminate()
    pair.start(2)
    pair.joined()
    assert "id/n2" in before
    assert members(pair.http(2)) == {"n1": "alive", "n2": "alive"}


def test_a_client_waits_for_a_server(host: Host) -> None:
    pair = Pair(host, OWN, OWN)
    client = pair.start(2)
    eventually(lambda: "no certificate from" in client.output, "a try")
    pair.start(1)
    pair.joined()
    assert "got a certificate from" in client.output


def test_a_server_that_gives_none_is_named(host: Host) -> None:
    pair = Pair(host, OWN, OWN)
    pair.start(1, {key: value for key, value in SERVER.items() if key != "auto_encrypt"})
    client = pair.start(2)
    eventually(lambda: f"no certificate from {pair.address(1)}:8300" in client.output, "an error")
    assert client.terminate() != 0


def test_a_client_that_knows_no_server_says_so(host: Host) -> None:
    done = host.run(
        "consulpy",
        "agent",
        "-data-dir",
        "d",
        "-bind",
        "127.88.250.1",
        "-hcl",
        "auto_encrypt { tls = true }",
        check=False,
    )
    assert done.returncode == 1
    assert "auto_encrypt.tls: which servers to ask is not known" in done.stderr


MASTER = "cf000000-0000-0000-0000-0000000000aa"


def access(**tokens: str) -> dict[str, Any]:
    return {"acl": {"enabled": True, "default_policy": "deny", "tokens": tokens}}


@pytest.mark.parametrize("server", [OWN, REAL])
def test_under_access_control_a_client_needs_the_right_to_write_its_node(host: Host, server: str) -> None:
    pair = Pair(host, server, OWN)
    pair.start(1, SERVER | access(master=MASTER, agent=MASTER))
    eventually(lambda: ask(f"{pair.http(1)}/v1/connect/ca/roots")["Roots"], "a CA")
    nobody = pair.start(2, CLIENT | access())
    eventually(lambda: "Permission denied" in nobody.output, "a refusal")
    nobody.terminate()
    pair.start(2, CLIENT | access(agent=MASTER))

    def both() -> bool:
        return {row["Node"] for row in ask(f"{pair.http(2)}/v1/catalog/nodes?token={MASTER}")} == {"n1", "n2"}

    eventually(both, "a client in the catalog")


def test_a_client_whose_certificate_has_ended_gets_another(host: Host) -> None:
    """Both clocks are set three days ahead, as after a machine slept: the client renews, or asks as at the start."""
    pair = Pair(host, OWN, OWN)
    offset = host.directory / "offset"
    offset.write_text("+0")
    library = next(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))
    pair.fake = [f"LD_PRELOAD={library}", f"FAKETIME_TIMESTAMP_FILE={offset}", "FAKETIME_NO_CACHE=1"]
    pair.fake += ["FAKETIME_DONT_FAKE_MONOTONIC=1"]
    pair.begin()
    before = pair.certificate()
    offset.write_text(f"+{73 * 3600}")
    host.programs[0].close()
    pair.start(1)
    eventually(lambda: pair.shown() != before, "another certificate", 120)
    assert ask(f"{pair.http(2)}/v1/catalog/nodes"), "which the server takes"
