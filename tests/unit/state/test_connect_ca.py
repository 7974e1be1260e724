"""Log entries 13 and 149, and snapshot records 13 to 15, byte for byte those of real servers (docs/wire/connect.md)."""

import json
from typing import Any

import pytest

from consulpy.codec.msgpack import pack, unpack
from consulpy.state.commands import decode
from consulpy.state.connect_ca import PROVIDER, ROOTS, SERIAL
from consulpy.state.connect_commands import ConnectCA, ConnectCALeaf
from consulpy.state.snapshot import Snapshot, restore
from consulpy.state.store import Store
from consulpy.structs.connect_ca import CAConfiguration, CAProviderState, CARequest, CARoot
from tests.conftest import VECTORS

WIRE = VECTORS.parent / "conformance_connect" / "wire.json"
ENTRIES = [entry for entry in json.loads(WIRE.read_text())["entries"] if entry["command"] in (13, 149)]
RECORDS = json.loads((VECTORS / "raft" / "snapshot_acl_connect.json").read_text())["records"]


def sorted_maps(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: sorted_maps(value[key]) for key in sorted(value)}
    return [sorted_maps(each) for each in value] if isinstance(value, list) else value


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: f"{entry['index']}")
def test_an_entry_of_a_real_server_comes_out_as_it_went_in(entry: dict[str, Any]) -> None:
    """Go writes the map `Config` in random order: maps are compared sorted."""
    data = bytes.fromhex(entry["data_hex"])
    command = decode(data)
    assert isinstance(command, ConnectCA | ConnectCALeaf)
    ours = command.encode()
    assert ours[0] == data[0]
    assert pack(sorted_maps(unpack(ours[1:]))) == pack(sorted_maps(unpack(data[1:])))


def replayed(until: int = 10**9) -> Store:
    store = Store()
    for entry in ENTRIES:
        if entry["index"] <= until:
            decode(bytes.fromhex(entry["data_hex"])).apply(store, entry["index"])
    return store


def test_the_start_of_a_real_server_leaves_its_state() -> None:
    store = replayed(until=9)
    ca = store.connect_ca
    configuration = ca.configuration(None)
    assert configuration is not None
    assert configuration.trust_domain == "98359594-3fd1-a06d-86e5-dbcf064a22fd.consul"
    assert (configuration.create_index, configuration.modify_index) == (5, 5)
    index, roots = ca.roots(None)
    assert (index, roots[0].serial_number, roots[0].create_index) == (9, 7, 9)
    assert (store.indexes.get(SERIAL), store.indexes.get(PROVIDER)) == (7, 8)


def test_a_rotation_of_a_real_server_leaves_its_state() -> None:
    """The configuration's index is one more than the entry's; deleting the old state changes no index."""
    store = replayed(until=21)
    ca = store.connect_ca
    configuration = ca.configuration(None)
    assert configuration is not None
    assert (configuration.create_index, configuration.modify_index) == (5, 21)
    assert sorted((root.active, root.create_index, root.modify_index) for root in ca.roots(None)[1]) == [
        (False, 9, 20),
        (True, 20, 20),
    ]
    assert len(ca.provider_table) == 1
    assert (store.indexes.get(SERIAL), store.indexes.get(PROVIDER), store.indexes.get(ROOTS)) == (10, 18, 20)


def test_a_serial_is_the_result_of_its_entry_and_a_leaf_gets_its_index() -> None:
    store = replayed(until=9)
    assert ConnectCA(CARequest(op="increment-provider-serial")).apply(store, 13) == 8
    leaf = next(entry for entry in ENTRIES if entry["command"] == 149)
    assert decode(bytes.fromhex(leaf["data_hex"])).apply(store, 14) == 14


def test_roots_are_written_only_over_those_that_were_read() -> None:
    store = replayed(until=9)
    root = CARoot(id="aa", active=True)
    assert ConnectCA(CARequest(op="set-roots", index=8, roots=[root])).apply(store, 20) is False
    assert ConnectCA(CARequest(op="set-roots", index=9, roots=[root])).apply(store, 21) is True
    assert [each.id for each in store.connect_ca.roots(None)[1]] == ["aa"]


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (CARequest(op="set-roots", roots=[CARoot(id="a")]), "exactly one active CA"),
        (CARequest(op="set-roots", roots=[CARoot(active=True)]), "Missing CA root ID"),
        (CARequest(op="set-config"), "Invalid CA operation"),
        (CARequest(op="nonsense", provider_state=CAProviderState()), "Invalid CA operation 'nonsense'"),
    ],
)
def test_what_cannot_be_applied_changes_nothing(body: CARequest, text: str) -> None:
    store = Store()
    with pytest.raises(Exception, match=text):
        ConnectCA(body).apply(store, 1)
    assert store.connect_ca.roots(None) == (0, ())


def test_a_configuration_that_changed_meanwhile_is_not_overwritten() -> None:
    store = replayed(until=9)
    lost = CAConfiguration(provider="consul", modify_index=4)
    assert ConnectCA(CARequest(op="set-config", config=lost)).apply(store, 20) is False
    kept = CAConfiguration(provider="consul", modify_index=5)
    assert ConnectCA(CARequest(op="set-config", config=kept)).apply(store, 21) is True
    assert store.connect_ca.configuration(None).cluster_id.startswith("98359594")  # type: ignore[union-attr]


def test_records_of_a_real_snapshot_come_back_byte_for_byte() -> None:
    records = [bytes.fromhex(each["record_hex"]) for each in RECORDS]
    store = restore(60, records)
    assert store.connect_ca.active_root is not None
    ours = [each for each in Snapshot.of(store).records() if each[0] in (13, 14, 15)]
    real = [each for each in records if each[0] in (13, 14, 15)]
    assert [(each[0], pack(sorted_maps(unpack(each[1:])))) for each in ours] == [
        (each[0], pack(sorted_maps(unpack(each[1:])))) for each in real
    ]


def test_a_private_key_is_in_no_text_of_a_command() -> None:
    state = CAProviderState(id="x", private_key="secret")
    command = ConnectCA(CARequest(op="set-provider-state", provider_state=state))
    assert "secret" not in repr(command)
    assert "secret" not in repr(state)
