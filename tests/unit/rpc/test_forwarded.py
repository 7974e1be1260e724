"""What a follower passes on: never what would end a real server, and stale reads while its own state is older."""

import copy
import dataclasses
from typing import Any

import pytest
from cryptography import x509
from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock

from consulpy.codec.msgpack import pack, unpack
from consulpy.codec.record import Record
from consulpy.connect import certificates
from consulpy.connect.keys import make_key
from consulpy.errors import RPCError
from consulpy.rpc.methods import METHODS, Method
from consulpy.rpc.server import Server
from consulpy.structs.config_entry import ProxyDefaults
from consulpy.structs.config_entry_requests import EntryRequest
from consulpy.structs.connect_ca import CARequest, CASignRequest
from consulpy.structs.intention import IntentionQuery, IntentionRequest
from consulpy.structs.kv import EntriesReply, KeyRequest
from consulpy.structs.options import QueryMeta, QueryOptions
from consulpy.structs.prepared_query import QueryRequest
from consulpy.structs.requests import (
    CheckServiceNodesReply,
    NodeRequest,
    NodeServiceListReply,
    ServiceNodesReply,
    ServiceRequest,
)
from consulpy.structs.service import CheckServiceNode, ConnectProxy, NodeService, NodeServiceList, ServiceNode
from consulpy.structs.txn import TxnOp, TxnReadRequest, TxnRequest
from tests.harness.config_entries import put
from tests.harness.rpc import make_server


class Elsewhere:
    """A leader, and other datacenters, that note what they are asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.has_lease = self.had_contact = self.has_caught_up = True
        self.reply: Any = "passed on"
        self.leader_address = "127.33.0.2:8300"
        self.last_contact_ns = 0

    def confirm(self) -> "Deferred[None]":
        self.confirmed: Deferred[None] = Deferred()
        return self.confirmed

    def forward(self, method: Method, request: Record) -> "Deferred[Any]":
        self.asked.append(method.name)
        return succeed(self.reply)

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


@pytest.mark.parametrize("datacenter", ["dc1", "dc2"])
@pytest.mark.parametrize(
    ("method", "request_type", "empty"),
    [
        ("PreparedQuery.Apply", QueryRequest, {"op": "create"}),
        ("Intention.Match", IntentionQuery, {}),
        ("ConnectCA.ConfigurationSet", CARequest, {"op": "set-config"}),
        ("Txn.Apply", TxnRequest, {"ops": [TxnOp(intention=IntentionRequest(op="create"))]}),
        ("Txn.Read", TxnReadRequest, {"ops": [TxnOp(intention=IntentionRequest(op="create"))]}),
        ("ConfigEntry.Delete", EntryRequest, {"entry": null("dc1").entry}),
        ("ConfigEntry.DeleteCas", EntryRequest, {"entry": null("dc1").entry}),
    ],
)
def test_a_call_without_what_it_is_about(
    follower: Server, elsewhere: Elsewhere, datacenter: str, method: str, request_type: Any, empty: dict[str, Any]
) -> None:
    """Each was sent to a real leader, which ended at a nil."""
    refused = asked(follower, method, request_type(datacenter=datacenter, **empty))
    assert isinstance(refused, RPCError)
    assert elsewhere.asked == []


def test_a_deleted_entry_has_nothing_but_its_name_in_the_log() -> None:
    """A null in free settings ends every real server, also where the entry is deleted."""
    server = make_server(Clock())
    submitted: list[bytes] = []
    submit = server.log.submit

    def noted(command: Any, done: Any) -> None:
        submitted.append(command.encode())
        submit(command, done)

    server.log.submit = noted  # type: ignore[method-assign]
    for method in ("ConfigEntry.Delete", "ConfigEntry.DeleteCas"):
        written = ProxyDefaults(kind="proxy-defaults", name="global", config={"a": 1})
        asked(server, "ConfigEntry.Apply", EntryRequest(datacenter="dc1", entry=written))
        request = null("dc1")
        request.entry.modify_index = server.store.index
        asked(server, method, request)
        assert not server.store.config_entries.all(None)[1], method
        body = unpack(unpack(submitted[-1][1:])[len(pack("proxy-defaults")) :])
        assert unpack(body[b"Entry"])[b"Config"] is None


def test_stale_reads_are_passed_on_until_the_own_state_is_as_new_as_what_was_passed_on(
    follower: Server, elsewhere: Elsewhere
) -> None:
    """Else the index would go back on a server that restarted, when its leader dies before it has caught up."""
    read = KeyRequest(datacenter="dc1", options=QueryOptions(allow_stale=True))
    elsewhere.has_caught_up = False
    elsewhere.reply = EntriesReply(meta=QueryMeta(index=7))
    assert asked(follower, "KVS.List", read).meta.index == 7
    elsewhere.has_caught_up = True
    assert asked(follower, "KVS.List", read).meta.index == 7
    assert follower.stale_read_validator is None
    assert elsewhere.asked == ["KVS.List"] * 2

    follower.store.index = 7
    assert asked(follower, "KVS.List", read) is not elsewhere.reply
    assert elsewhere.asked == ["KVS.List"] * 2


@pytest.mark.parametrize("options", [QueryOptions(), QueryOptions(require_consistent=True)])
def test_a_read_of_a_leader_that_leads_no_more_is_passed_on(options: QueryOptions) -> None:
    """As after a freeze: it has no lease any more, and a majority has another leader."""
    clock = Clock()
    server, elsewhere = make_server(clock), Elsewhere()
    quorum: Any = elsewhere
    server.quorum = quorum
    elsewhere.has_lease = False
    found: list[Any] = []
    server.handle(METHODS["KVS.Get"], KeyRequest(datacenter="dc1", key="a", options=options)).addBoth(found.append)
    elsewhere.confirmed.errback(RPCError("node is not the leader"))
    server.is_leader = False
    clock.advance(0)
    assert found == ["passed on"]
    assert elsewhere.asked == ["KVS.Get"]


def test_a_leader_that_cannot_confirm_its_lead_says_so(elsewhere: Elsewhere) -> None:
    clock = Clock()
    server = make_server(clock)
    quorum: Any = elsewhere
    server.quorum = quorum
    elsewhere.has_lease = False
    found: list[Any] = []
    server.handle(METHODS["KVS.Get"], KeyRequest(datacenter="dc1", key="a")).addBoth(found.append)
    elsewhere.confirmed.errback(RPCError("node is not the leader"))
    clock.advance(0)
    assert "node is not the leader" in str(found[0].value)
    assert elsewhere.asked == []


PROXY = NodeService(
    kind="connect-proxy",
    id="p",
    service="web-proxy",
    proxy=ConnectProxy(destination_service_name="web", destination_service_id="web"),
)


@pytest.mark.parametrize(
    ("method", "request_", "reply", "shown"),
    [
        (
            "Health.ServiceNodes",
            ServiceRequest(datacenter="dc1", service_name="web", connect=True, merge_central_config=True),
            CheckServiceNodesReply(QueryMeta(index=3), [CheckServiceNode(service=PROXY)]),
            lambda reply: reply.nodes[0].service.proxy,
        ),
        (
            "Catalog.ServiceNodes",
            ServiceRequest(datacenter="dc1", service_name="web-proxy", merge_central_config=True),
            ServiceNodesReply(
                QueryMeta(index=3),
                [ServiceNode(service_kind=PROXY.kind, service_name=PROXY.service, service_proxy=PROXY.proxy)],
            ),
            lambda reply: reply.service_nodes[0].service_proxy,
        ),
        (
            "Catalog.NodeServiceList",
            NodeRequest(datacenter="dc1", node="n", merge_central_config=True),
            NodeServiceListReply(QueryMeta(index=3), NodeServiceList(services=[PROXY])),
            lambda reply: reply.node_services.services[0].proxy,
        ),
    ],
)
def test_what_a_leader_of_1_8_does_not_merge_is_merged_by_the_follower(
    follower: Server, elsewhere: Elsewhere, method: str, request_: Any, reply: Any, shown: Any
) -> None:
    """Newer agents ask for it (`MergeCentralConfig`); one that has merged says so, and is believed."""
    entry = {"Kind": "proxy-defaults", "Name": "global", "Config": {"protocol": "http"}}
    assert put(follower.store, entry) == ""
    index, _ = follower.store.config_entries.all(None)
    elsewhere.reply = copy.deepcopy(reply)
    found = asked(follower, method, request_)
    assert shown(found).config == {"protocol": "http"}
    assert (found.meta.has_central_config, found.meta.index) == (True, max(index, 3))
    elsewhere.reply = copy.deepcopy(reply)
    elsewhere.reply.meta.has_central_config = True
    assert shown(asked(follower, method, request_)).config is None
    elsewhere.reply = copy.deepcopy(reply)
    assert shown(asked(follower, method, dataclasses.replace(request_, merge_central_config=False))).config is None
