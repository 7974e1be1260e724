"""The certificate authority: its log entries are those of a real server, its refusals Consul's or clearer ones."""

import json
from typing import Any

import pytest
from cryptography import x509
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from consulpy.codec.msgpack import unpack
from consulpy.connect import certificates
from consulpy.connect.keys import key_pem, make_key
from consulpy.connect.spiffe import AgentId, ServiceId
from consulpy.errors import RPCError
from consulpy.rpc.connect.authority import Authority, initial_configuration
from consulpy.rpc.connect.interface import TlsOfServers
from consulpy.rpc.dispatch import serve_without_certificate
from consulpy.rpc.server import Server
from consulpy.state.commands import Command
from consulpy.state.connect_ca import SERIAL
from consulpy.state.connect_commands import ConnectCA, ConnectCALeaf
from consulpy.structs.connect_ca import CAConfiguration, CARequest, CASignRequest, IssuedCert
from tests.conftest import VECTORS
from tests.harness.rpc import make_server

NOW_S = 1_800_000_000.0
CLUSTER = "98359594-3fd1-a06d-86e5-dbcf064a22fd"
WIRE = VECTORS.parent / "conformance_connect" / "wire.json"
ENTRIES = {entry["index"]: entry for entry in json.loads(WIRE.read_text())["entries"]}


class Laboratory:
    """An authority on a server with a log in memory."""

    def __init__(self, settings: dict[str, Any] | None = None, **initial: Any) -> None:
        self.clock = Clock()
        self.clock.advance(NOW_S)
        self.server: Server = make_server(self.clock)
        self.bodies: list[Any] = []
        submit = self.server.submit

        def noted(command: Command) -> "Deferred[Any]":
            self.bodies.append(command.body if isinstance(command, ConnectCA | ConnectCALeaf) else command)
            return submit(command)

        self.server.submit = noted  # type: ignore[method-assign]
        configuration = initial_configuration(initial.get("provider", ""), settings or {}, CLUSTER)
        self.authority = Authority(self.server, configuration)
        self.server.authority = self.authority

    def run(self, work: Any) -> Any:
        """The result of a coroutine that waits for nothing but the log."""
        found: list[Any] = []
        Deferred.fromCoroutine(work).addBoth(found.append)
        assert found, "it waits"
        if isinstance(found[0], Exception) or hasattr(found[0], "raiseException"):
            found[0].raiseException()
        return found[0]

    def initialize(self) -> None:
        self.run(self.authority.initialize())

    def configure(self, provider: str = "consul", **settings: Any) -> None:
        configuration = CAConfiguration(provider=provider, config=settings)
        self.run(self.authority.configure(CARequest(datacenter="dc1", config=configuration)))

    def sign(self, uri: str, **names: Any) -> IssuedCert:
        request = certificates.make_request(make_key(), uri, **names)
        found: IssuedCert = self.run(self.authority.sign(request, lambda _identity: None))
        return found

    @property
    def ops(self) -> list[str]:
        return [body.op for body in self.bodies]


@pytest.fixture
def lab() -> Laboratory:
    lab = Laboratory()
    lab.initialize()
    return lab


WEB = ServiceId(f"{CLUSTER}.consul", "dc1", "web")


def wire(body: Any) -> Any:
    return json.loads(json.dumps(body.to_wire(), default=lambda raw: {"$bytes": raw.hex()}))


def without_random(body: Any) -> Any:
    """A log entry without what is new each time: keys, certificates, their ids and times."""
    if isinstance(body, dict):
        random = ("RootCert", "PrivateKey", "SigningKeyID", "NotAfter", "NotBefore", "SerialNumber", "RotatedOutAt")
        is_root = "SigningKeyID" in body
        return {
            key: bool(value) if key in random or (is_root and key == "ID") else without_random(value)
            for key, value in body.items()
        }
    if isinstance(body, list):
        return [without_random(each) if isinstance(each, dict) else bool(each) for each in body]
    return body


def test_a_new_leader_writes_what_a_real_one_writes(lab: Laboratory) -> None:
    recorded = [ENTRIES[index]["decoded"] for index in (5, 6, 7, 8, 9)]
    assert [without_random(wire(body)) for body in lab.bodies[:3]] == [without_random(each) for each in recorded[:3]]
    assert [body.op for body in lab.bodies] == [each["Op"] for each in recorded]
    assert without_random(wire(lab.bodies[4])) == without_random(recorded[4]) | {"Index": 0}


def test_a_leader_that_finds_a_ca_writes_nothing(lab: Laboratory) -> None:
    lab.bodies.clear()
    lab.initialize()
    assert lab.ops == []


def test_the_settings_of_the_file_count_for_the_first_leader_only(lab: Laboratory) -> None:
    other = Authority(lab.server, initial_configuration("", {"LeafCertTTL": "5h"}, ""))
    lab.run(other.initialize())
    assert lab.server.store.connect_ca.configuration(None).settings["LeafCertTTL"] == "72h"  # type: ignore[union-attr]


def test_a_leader_completes_a_configuration_as_consul_does(lab: Laboratory) -> None:
    lab.configure(LeafCertTTL="7h")
    lab.initialize()
    configuration = lab.server.store.connect_ca.configuration(None)
    assert configuration is not None
    assert configuration.settings == {"LeafCertTTL": "7h", "IntermediateCertTTL": "8760h0m0s"}


def test_a_leaf_takes_a_serial_and_an_index(lab: Laboratory) -> None:
    lab.bodies.clear()
    leaf = lab.sign(WEB.uri)
    assert lab.ops == ["increment-provider-serial", "increment-index"]
    assert leaf.serial_number == certificates.serial_text(lab.server.store.indexes.get(SERIAL))
    assert leaf.create_index == leaf.modify_index == lab.server.store.index
    assert (leaf.service, leaf.service_uri, leaf.private_key_pem) == ("web", WEB.uri, "")


def test_the_same_configuration_writes_nothing_but_another_number_type_does(lab: Laboratory) -> None:
    lab.configure(LeafCertTTL="24h", PrivateKeyBits=256.0)
    lab.bodies.clear()
    lab.configure(LeafCertTTL="24h", PrivateKeyBits=256.0)
    assert lab.ops == []
    lab.configure(LeafCertTTL="24h", PrivateKeyBits=256)
    assert lab.ops == ["set-config"]


def test_another_key_rotates_the_root_as_a_real_server_does(lab: Laboratory) -> None:
    lab.bodies.clear()
    lab.configure(PrivateKey=key_pem(make_key()))
    recorded = [ENTRIES[index]["decoded"] for index in range(16, 22)]
    assert lab.ops == [each["Op"] for each in recorded]
    ours, real = without_random(wire(lab.bodies[4])), without_random(recorded[4])
    for body in (ours, real):
        body["Index"] = body["Config"]["ModifyIndex"] = 0
        for root in body["Roots"]:
            root["CreateIndex"] = root["ModifyIndex"] = 0
        body["Roots"].sort(key=lambda root: root["Active"])
        body["Config"]["Config"] = sorted(body["Config"]["Config"])
    assert ours == real
    assert wire(lab.bodies[4])["Roots"][0]["RotatedOutAt"]["$bytes"].endswith("0000")


def test_leafs_after_a_rotation_carry_what_old_roots_trust(lab: Laboratory) -> None:
    old = lab.server.store.connect_ca.active_root
    assert old is not None
    lab.configure(PrivateKey=key_pem(make_key()))
    chain = x509.load_pem_x509_certificates(lab.sign(WEB.uri).cert_pem.encode())
    chain[0].verify_directly_issued_by(chain[1])
    chain[1].verify_directly_issued_by(certificates.read_certificate(old.root_cert))


def test_old_roots_stay_listed_for_two_lives_of_a_leaf(lab: Laboratory) -> None:
    lab.configure(PrivateKey=key_pem(make_key()), LeafCertTTL="10h")
    lab.clock.advance(19 * 3600)
    lab.run(lab.authority.prune())
    assert len(lab.server.store.connect_ca.roots(None)[1]) == 2
    lab.clock.advance(2 * 3600)
    lab.run(lab.authority.prune())
    assert [root.active for root in lab.server.store.connect_ca.roots(None)[1]] == [True]


@pytest.mark.parametrize(("period", "due_h"), [("240h", 240), ("1h", 30), (240 * 3600 * 10**9, 240)])
def test_a_root_is_rotated_when_its_period_is_over(lab: Laboratory, period: Any, due_h: int) -> None:
    """Not before three lives of a leaf; the new key stands in the configuration, as if an operator had given it."""
    lab.configure(RotationPeriod=period, LeafCertTTL="10h", private_key_type="ec")
    first = lab.server.store.connect_ca.active_root
    lab.clock.advance(due_h * 3600 - 60)
    lab.run(lab.authority.rotate_on_schedule())
    assert lab.server.store.connect_ca.active_root == first
    lab.clock.advance(120)
    lab.run(lab.authority.rotate_on_schedule())
    second = lab.server.store.connect_ca.active_root
    assert first is not None
    assert second is not None
    assert second.id != first.id
    stored = lab.server.store.connect_ca.configuration(None)
    assert stored is not None
    assert sorted(stored.settings) == ["LeafCertTTL", "PrivateKey", "RotationPeriod", "private_key_type"]
    chain = x509.load_pem_x509_certificates(lab.sign(WEB.uri).cert_pem.encode())
    chain[1].verify_directly_issued_by(certificates.read_certificate(first.root_cert))
    lab.run(lab.authority.rotate_on_schedule())
    assert lab.server.store.connect_ca.active_root == second
    lab.clock.advance(due_h * 3600)
    lab.run(lab.authority.rotate_on_schedule())
    assert lab.server.store.connect_ca.active_root != second


def test_without_a_period_of_its_own_or_with_a_root_of_its_own_a_ca_is_never_rotated(lab: Laboratory) -> None:
    """Every configuration of Consul has 2160h, which does nothing there."""
    lab.clock.advance(5 * 365 * 86400)
    lab.run(lab.authority.rotate_on_schedule())
    assert len(lab.server.store.connect_ca.roots(None)[1]) == 1
    key = make_key()
    root = certificates.make_root(key, 1, "own", "spiffe://own", lab.server.wall_s())
    lab.configure(PrivateKey=key_pem(key), RootCert=root, RotationPeriod="24h")
    lab.clock.advance(365 * 86400)
    lab.run(lab.authority.rotate_on_schedule())
    assert len(lab.server.store.connect_ca.roots(None)[1]) == 2


def test_a_rotation_there_and_back_makes_a_third_root(lab: Laboratory) -> None:
    lab.configure(PrivateKey=key_pem(make_key()))
    lab.configure()
    assert len(lab.server.store.connect_ca.roots(None)[1]) == 3


@pytest.mark.parametrize(
    ("provider", "settings", "text"),
    [
        ("magic", {}, 'could not initialize provider: unknown CA provider "magic"'),
        ("vault", {}, "error configuring provider: must provide a Vault token"),
        ("vault", {"Token": "t", "RootPKIPath": "a", "IntermediatePKIPath": "b"}, "vault is not supported here"),
        ("aws-pca", {}, "aws-pca is not supported here"),
        ("consul", {"LeafCertTTL": "soon"}, "error configuring provider: error decoding config: "),
        ("consul", {"PrivateKey": "my secret"}, "error parsing private key: no PEM-encoded data found"),
    ],
)
def test_a_configuration_that_cannot_work_changes_nothing(
    lab: Laboratory, provider: str, settings: dict[str, Any], text: str
) -> None:
    lab.bodies.clear()
    with pytest.raises(RPCError, match=text) as caught:
        lab.configure(provider, **settings)
    assert lab.ops == []
    assert "my secret" not in str(caught.value)


def test_a_root_of_another_key_is_refused_before_anything_is_written(lab: Laboratory) -> None:
    root = certificates.make_root(make_key(), 5, "own", f"spiffe://{CLUSTER}.consul", NOW_S)
    lab.bodies.clear()
    with pytest.raises(RPCError, match="not that of the private key"):
        lab.configure(PrivateKey=key_pem(make_key()), RootCert=root)
    assert lab.ops == []


def test_a_private_key_beside_the_root_is_refused_before_anything_is_written(lab: Laboratory) -> None:
    """Roots are shown to everybody, with the whole text that was configured."""
    key = make_key()
    root = certificates.make_root(key, 5, "own", f"spiffe://{CLUSTER}.consul", NOW_S)
    lab.bodies.clear()
    for text in (key_pem(key) + root, root + key_pem(key)):
        with pytest.raises(RPCError, match=r"error parsing root fingerprint: .*should be CERTIFICATE type"):
            lab.configure(PrivateKey=key_pem(key), RootCert=text)
    assert lab.ops == []


def test_an_rsa_key_that_tls_libraries_refuse_is_refused_before_anything_is_written(lab: Laboratory) -> None:
    lab.bodies.clear()
    with pytest.raises(RPCError, match="the RSA key has 1024 bits"):
        lab.configure(PrivateKey=key_pem(make_key("rsa", 1024)))
    assert lab.ops == []


def test_a_root_that_has_ended_signs_nothing_but_its_successor(lab: Laboratory) -> None:
    lab.clock.advance(11 * 365 * 24 * 3600)
    lab.bodies.clear()
    with pytest.raises(RPCError, match="the CA's certificate has ended, at 20"):
        lab.sign(WEB.uri)
    assert lab.ops == []
    lab.configure(PrivateKey=key_pem(make_key()))
    lab.clock.advance(1)
    assert lab.sign(WEB.uri).service == "web"


def test_no_settings_and_empty_settings_differ_as_in_consul(lab: Laboratory) -> None:
    lab.configure()
    lab.bodies.clear()
    lab.run(lab.authority.configure(CARequest(config=CAConfiguration(provider="consul"))))
    assert lab.ops == ["set-config"]


def test_the_state_of_the_provider_is_read_only(lab: Laboratory) -> None:
    given = CAConfiguration(provider="consul", config={}, state={"a": "b"})
    with pytest.raises(RPCError, match="Provider State is read-only"):
        lab.run(lab.authority.configure(CARequest(config=given)))


@pytest.mark.parametrize(
    ("uri", "text"),
    [
        (f"spiffe://{CLUSTER}.consul", "SPIFFE ID in CSR must be a service or agent ID"),
        (
            "spiffe://ABCDEF00-0000-0000-0000-000000000001.consul/ns/default/dc/dc1/svc/web",
            "SPIFFE ID in CSR from a different trust domain: ABCDEF00-0000-0000-0000-000000000001.consul, we are ",
        ),
        ("nonsense://x", "SPIFFE ID must have 'spiffe' scheme"),
    ],
)
def test_a_foreign_identity_gets_no_certificate(lab: Laboratory, uri: str, text: str) -> None:
    lab.bodies.clear()
    with pytest.raises(RPCError, match=text):
        lab.sign(uri)
    assert lab.ops == []


def test_a_request_without_a_uri_is_refused_and_nothing_is_proposed(lab: Laboratory) -> None:
    """It ends a real server."""
    lab.bodies.clear()
    request = (
        x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(make_key(), certificates.SHA256())
    )
    pem = request.public_bytes(certificates.Encoding.PEM).decode()
    for work in (lab.authority.sign(pem, lambda _: None), lab.authority.sign_intermediate(pem)):
        with pytest.raises(RPCError, match="has no URI"):
            lab.run(work)
    assert lab.ops == []


def test_an_agent_that_does_not_know_the_trust_domain_gets_ours(lab: Laboratory) -> None:
    leaf = lab.sign(AgentId("dummy.trustdomain", "dc1", "agent-nine").uri, names=["localhost"], addresses=["127.0.0.1"])
    assert leaf.agent_uri == AgentId(f"{CLUSTER}.consul", "dc1", "agent-nine").uri
    certificate = certificates.read_certificate(leaf.cert_pem)
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert certificates.uris_of(names) == [leaf.agent_uri]
    assert names.get_values_for_type(x509.DNSName) == ["localhost"]


def test_more_than_the_limit_is_refused_after_a_short_wait(lab: Laboratory) -> None:
    lab.configure(CSRMaxPerSecond=0.001)
    lab.sign(WEB.uri)
    with pytest.raises(RPCError, match="Rate limit reached, try again later"):
        lab.sign(WEB.uri)
    lab.configure(CSRMaxPerSecond=0.0, CSRMaxConcurrent=1.0)
    lab.sign(WEB.uri)
    lab.sign(WEB.uri)


def test_the_private_key_is_in_no_reply_about_roots(lab: Laboratory) -> None:
    from consulpy.rpc.endpoints.connect_ca import roots_in

    assert b"PRIVATE KEY" not in roots_in(lab.server.store, None).pack()


class AgentsAsk:
    """AutoEncrypt.Sign on a server that gives certificates."""

    def __init__(self, lab: Laboratory) -> None:
        self.lab = lab
        lab.server.agent_certificates = lambda: TlsOfServers(["manual"], True, "consul.")

    def ask(self, method: str = "AutoEncrypt.Sign", uris: tuple[str, ...] = (), names: tuple[str, ...] = ()) -> Any:
        alternatives: list[x509.GeneralName] = [x509.DNSName(name) for name in names]
        alternatives += [x509.UniformResourceIdentifier(uri) for uri in uris]
        builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
        builder = builder.add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
        pem = builder.sign(make_key(), certificates.SHA256()).public_bytes(certificates.Encoding.PEM).decode()
        found: list[Any] = []
        body = unpack(CASignRequest(datacenter="dc1", csr=pem).pack())
        serve_without_certificate(self.lab.server, method, body).addBoth(found.append)
        if hasattr(found[0], "raiseException"):
            found[0].raiseException()
        return found[0]


AGENT = AgentId("dummy.trustdomain", "dc1", "agent-nine").uri


def test_an_agent_without_a_certificate_gets_one_and_what_it_needs_to_trust(lab: Laboratory) -> None:
    reply = AgentsAsk(lab).ask(uris=(AGENT,), names=("localhost", "nine.example"))
    assert reply.issued_cert.agent == "agent-nine"
    assert (reply.manual_ca_roots, reply.verify_server_hostname) == (["manual"], True)
    assert reply.connect_ca_roots.active_root_id
    assert b"PRIVATE KEY" not in reply.pack()


@pytest.mark.parametrize("name", ["server.dc1.consul", "SERVER.dc2.consul", "*.dc1.consul", "server.dc1.consul."])
def test_no_agent_gets_the_name_of_a_server(lab: Laboratory, name: str) -> None:
    """Real Consul gives it, to anyone who reaches port 8300."""
    with pytest.raises(RPCError, match="no agent gets a certificate with the name of a server"):
        AgentsAsk(lab).ask(uris=(AGENT,), names=(name,))


@pytest.mark.parametrize("uris", [(WEB.uri,), (AGENT, WEB.uri), (f"spiffe://{CLUSTER}.consul",)])
def test_without_a_certificate_only_agents_get_one(lab: Laboratory, uris: tuple[str, ...]) -> None:
    with pytest.raises(RPCError, match="must be an agent ID"):
        AgentsAsk(lab).ask(uris=uris)


@pytest.mark.parametrize("method", ["Status.Leader", "ConnectCA.Sign", "KVS.Get", "nonsense"])
def test_there_is_nothing_else_without_a_certificate(lab: Laboratory, method: str) -> None:
    with pytest.raises(RPCError, match=f"rpc: can't find service {method}"):
        AgentsAsk(lab).ask(method, uris=(AGENT,))


def test_a_server_that_gives_none_says_so(lab: Laboratory) -> None:
    agents = AgentsAsk(lab)
    lab.server.agent_certificates = None
    with pytest.raises(RPCError, match="AllowTLS must be enabled"):
        agents.ask(uris=(AGENT,))
