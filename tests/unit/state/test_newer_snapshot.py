"""Records of newer servers' snapshots: what is derived is passed over, what means something is refused by name."""

from typing import Any

import pytest

from consulpy.codec.msgpack import pack
from consulpy.errors import WireError
from consulpy.state.acl_commands import TokenSet
from consulpy.state.commands import ConfigEntry
from consulpy.state.indexes import NODES, service_key
from consulpy.state.snapshot import Snapshot, restore
from consulpy.state.store import Store
from consulpy.structs.acl import TemplatedPolicy, TemplateVariables, Token
from consulpy.structs.acl_log_entries import TokenBatchSet
from consulpy.structs.config_entry_requests import EntryRequest
from consulpy.structs.newer_config_entry import NewerEntry

NODE = b"\x00" + pack({"Node": "n", "Address": "10.0.0.1", "CreateIndex": 3, "ModifyIndex": 4, "PeerName": ""})


def index(key: str, value: int) -> bytes:
    return b"\x10" + pack({"Key": key, "Value": value})


def names(store: Store) -> list[str]:
    return [each.node for each in store.catalog.nodes_table.unordered()]


@pytest.mark.parametrize("kind", [31, 32, 33, 34])
def test_what_newer_servers_derive_is_passed_over(kind: int) -> None:
    derived = bytes([kind]) + pack({"Key": "virtual-ips", "Value": "true", "Op": "upsert"})
    assert names(restore(9, [derived, NODE])) == ["n"]


@pytest.mark.parametrize(
    ("kind", "feature"), [(35, "peering"), (40, "peering"), (42, "resources"), (43, "virtual IPs")]
)
def test_what_means_something_is_refused_by_name(kind: int, feature: str) -> None:
    with pytest.raises(WireError, match=f"type {kind}: .*{feature}"):
        restore(9, [NODE, bytes([kind]) + pack("protobuf")])


def test_what_nobody_knows_is_refused() -> None:
    with pytest.raises(WireError, match="unknown type 60"):
        restore(9, [bytes([60]) + pack({})])


def test_a_node_of_another_cluster_is_refused() -> None:
    with pytest.raises(WireError, match='PeerName "east" belongs to cluster peering'):
        restore(9, [b"\x00" + pack({"Node": "n", "Address": "10.0.0.1", "PeerName": "east"})])


def test_the_indexes_of_1_13_and_later_count_for_their_tables_and_services() -> None:
    """They are kept twice, without and with the peer's name; the own cluster is called internal."""
    own = [index("nodes", 5), index("peer.internal:nodes", 4), index("peer.internal:service.web", 8)]
    store = restore(9, [NODE, *own, index("peer.east:nodes", 900)])
    assert store.indexes.get(NODES) == 5
    assert store.indexes.get(service_key("web")) == 8
    assert max(value for _, value in store.indexes.items()) == 8


def test_what_this_program_keeps_of_newer_versions_is_in_its_snapshots() -> None:
    """Config entries of newer kinds, and templated policies of tokens."""
    store = Store()
    entry = NewerEntry("mesh", "mesh", {"HTTP": {"SanitizeXForwardedClientCert": False}}, {"a": "b"})
    ConfigEntry(EntryRequest(op="upsert", entry=entry, leading_kind="mesh")).apply(store, 1)
    token = Token("accessor", "secret", templated_policies=[TemplatedPolicy("builtin/node", TemplateVariables("n"))])
    TokenSet(TokenBatchSet(tokens=[token])).apply(store, 2)
    found = restore(2, list(Snapshot.of(store).records()))
    kept = found.config_entries.table.get("mesh", "mesh")
    assert (kept.body, kept.meta, kept.modify_index) == (entry.body, entry.meta, 1)
    assert found.config_entries.has_newer_kinds()
    restored = found.acl.token("secret")
    assert restored is not None
    assert restored.templated_policies == token.templated_policies


def config_entry(kind: str, fields: dict[str, Any]) -> bytes:
    """The record of an entry, as a newer server writes it."""
    body = {"Datacenter": "", "Entry": {"Kind": kind, "Name": "web", **fields}, "Op": "upsert", "Token": ""}
    return bytes([ConfigEntry.TYPE]) + pack(pack(kind) + pack(body))


def test_fields_of_config_entries_that_are_kept_are_restored() -> None:
    record = config_entry("service-resolver", {"RequestTimeout": 10**9, "LoadBalancer": {"Policy": "maglev"}})
    found = restore(9, list(Snapshot.of(restore(9, [record])).records()))
    entry = found.config_entries.find("service-resolver", "web")
    assert (entry.request_timeout, entry.load_balancer.policy) == (10**9, "maglev")


@pytest.mark.parametrize(
    ("kind", "fields", "name"),
    [
        ("service-resolver", {"Failover": {"*": {"Targets": [{"Peer": "x"}]}}}, "Failover\\[\\*\\].Targets"),
        ("service-defaults", {"RateLimits": {"InstanceLevel": {"RequestsPerSecond": 1}}}, "RateLimits"),
    ],
)
def test_fields_that_ask_for_what_is_not_done_are_refused_by_name(kind: str, fields: dict[str, Any], name: str) -> None:
    with pytest.raises(WireError, match=f"config entry {kind}/web: .*{name}"):
        restore(9, [config_entry(kind, fields)])


def test_intentions_are_restored_from_the_entries_that_newer_servers_keep_them_in() -> None:
    legacy = "11111111-2222-3333-4444-555555555555"
    sources = [
        {"Name": "a", "Action": "allow", "Precedence": 9, "Type": "consul", "LegacyID": legacy, "Description": "d"},
        {"Name": "*", "Action": "deny", "Precedence": 8, "Type": "consul", "Permissions": None},
    ]
    record = config_entry("service-intentions", {"Sources": sources, "CreateIndex": 3, "ModifyIndex": 7})
    store, again = restore(9, [record]), restore(9, [record])
    index, found = store.intentions.all(None)
    assert [(each.source_name, each.destination_name, each.action, each.precedence) for each in found] == [
        ("a", "web", "allow", 9),
        ("*", "web", "deny", 8),
    ]
    assert (found[0].id, found[0].description, found[0].modify_index, index) == (legacy, "d", 7, 7)
    assert found == again.intentions.all(None)[1], "all servers that restore it have the same"
    assert not store.config_entries.table.all()


def test_intentions_with_permissions_are_refused() -> None:
    sources = [{"Name": "a", "Permissions": [{"Action": "allow", "HTTP": {"PathPrefix": "/"}}]}]
    with pytest.raises(WireError, match=r'config entry service-intentions: .*"Permissions"'):
        restore(9, [config_entry("service-intentions", {"Sources": sources})])
