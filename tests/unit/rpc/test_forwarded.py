"""What would end a real server is never passed on to one, neither to a leader nor to another datacenter."""

from typing import Any

import pytest
from cryptography import x509
from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock

from consulpy.codec.record import Record
from consulpy.connect import certificates
from consulpy.connect.keys import make_key
from consulpy.errors import RPCError
from consulpy.rpc.methods import METHODS, Method
from consulpy.rpc.server import Server
from consulpy.structs.config_entry import ProxyDefaults
from consulpy.structs.config_entry_requests import EntryRequest
from consulpy.structs.connect_ca import CASignRequest
from tests.harness.rpc import make_server


class Elsewhere:
    """A leader, and other datacenters, that note what they are asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.has_lease = self.had_contact = True
        self.leader_address = "127.33.0.2:8300"
        self.last_contact_ns = 0

    def forward(self, method: Method, request: Record) -> "Deferred[Any]":
        self.asked.append(method.name)
        return succeed("passed on")

    def call(self, datacenter: str, method: Method, request: Record) -> "Deferred[Any]":
        self.asked.append(f"{method.name} in {datacenter}")
        return succeed("passed on")


@pytest.fixture
def elsewhere() -> Elsewhere:
    return Elsewhere()


@pytest.fixture
def follower(elsewhere: Elsewhere) -> Server:
    server = make_server(Clock(), leads=False)
    quorum: Any = elsewhere
    server.quorum, server.remote_datacenters = quorum, quorum
    return server


def csr(*uris: str) -> str:
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    if uris:
        names = [x509.UniformResourceIdentifier(uri) for uri in uris]
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    return builder.sign(make_key(), certificates.SHA256()).public_bytes(certificates.Encoding.PEM).decode()


def asked(server: Server, method: str, request: Record) -> Any:
    found: list[Any] = []
    server.handle(METHODS[method], request).addBoth(found.append)
    return found[0].value if hasattr(found[0], "value") else found[0]


def null(datacenter: str) -> EntryRequest:
    entry = ProxyDefaults(kind="proxy-defaults", name="global", config={"a": {"b": [1, None]}})
    return EntryRequest(datacenter=datacenter, op="upsert", entry=entry, leading_kind="proxy-defaults")


@pytest.mark.parametrize("datacenter", ["dc1", "dc2"])
@pytest.mark.parametrize("method", ["ConnectCA.Sign", "ConnectCA.SignIntermediate"])
def test_a_signing_request_without_a_uri(follower: Server, elsewhere: Elsewhere, method: str, datacenter: str) -> None:
    refused = asked(follower, method, CASignRequest(datacenter=datacenter, csr=csr()))
    assert isinstance(refused, RPCError)
    assert "has no URI" in str(refused)
    assert elsewhere.asked == []
    assert asked(follower, method, CASignRequest(datacenter=datacenter, csr=csr("spiffe://a.b"))) == "passed on"


@pytest.mark.parametrize("datacenter", ["dc1", "dc2"])
def test_a_null_in_the_settings_of_proxies(follower: Server, elsewhere: Elsewhere, datacenter: str) -> None:
    refused = asked(follower, "ConfigEntry.Apply", null(datacenter))
    assert isinstance(refused, RPCError)
    assert "Config.a.b[1] is null" in str(refused)
    assert elsewhere.asked == []
