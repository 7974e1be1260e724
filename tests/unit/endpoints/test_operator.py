"""The quorum of one server, its autopilot, and what is kept of each datacenter; bodies of real agents as vectors."""

from typing import Any

import pytest
from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock

from consulpy.codec.msgpack import pack, unpack
from consulpy.errors import RPCError
from consulpy.gocompat.time import ZERO_TIME, go_time, go_time_json, unix_s
from consulpy.rpc.dispatch import serve
from consulpy.rpc.endpoints.keyring import base64_fault
from consulpy.rpc.methods import Method
from consulpy.state.commands import FederationState
from consulpy.structs.operator import FederationState as State
from consulpy.structs.operator import FederationStateRequest
from tests.fakes.endpoints import Server
from tests.harness.rpc import make_server
from tests.harness.vectors import VECTORS, assert_bodies_come_out_as_they_went_in


class Elsewhere:
    """Other datacenters, which note what they are asked."""

    def __init__(self, asked: list[tuple[str, str]]) -> None:
        self.asked = asked

    def call(self, datacenter: str, method: Method, request: Any) -> "Deferred[Any]":
        assert request.datacenter == datacenter
        self.asked.append((datacenter, method.name))
        return succeed("there")


FAMILIES = ("Operator", "Intention", "PreparedQuery", "ConfigEntry")
CAPTURED = sorted(path.stem for path in VECTORS.glob("*.*.json") if path.stem.split(".")[0] in FAMILIES)


@pytest.mark.parametrize("method", CAPTURED)
def test_captured_bodies_come_out_as_they_went_in(method: str) -> None:
    assert_bodies_come_out_as_they_went_in(method)


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        (ZERO_TIME, "0001-01-01T00:00:00Z"),
        (bytes.fromhex("010000000ee295b7252aa4e1ddffff"), "2026-11-23T04:25:09.715448797Z"),
        (bytes.fromhex("010000000ee295b3a119e0c32c0000"), "2026-11-23T04:10:09.434160428Z"),
        (b"", "0001-01-01T00:00:00Z"),
        (b"\x01" + b"\xff" * 14, "0001-01-01T00:00:00Z"),
    ],
)
def test_times_are_shown_as_go_shows_them(raw: bytes, shown: str) -> None:
    assert go_time_json(raw) == shown


def test_times_come_back() -> None:
    assert unix_s(go_time(1_795_408_202.25)) == 1_795_408_202.25
    assert go_time_json(go_time(0.0)) == "1970-01-01T00:00:00Z"


@pytest.mark.parametrize(
    ("key", "fault"), [("x", 0), ("abcdx", 4), ("ab!d", 2), ("abcd", None), ("3lg9DxVfKNzI8O+IQ5Ek+Q==", None)]
)
def test_a_key_that_is_not_base64_is_told_as_go_tells_it(key: str, fault: int | None) -> None:
    assert base64_fault(key) == fault


def test_what_is_kept_of_a_datacenter_says_when_it_was_written() -> None:
    server = Server()
    state = State(datacenter="dc1", updated_at=go_time(1.0))
    server.submit(FederationState(FederationStateRequest("dc1", "upsert", state)))
    reply = server.call("FederationState.Get", {"Datacenter": "dc1", "TargetDatacenter": "dc1"})
    index = server.store.index
    assert (reply.state.primary_modify_index, reply.state.create_index, reply.meta.index) == (index, index, index)
    assert server.call("FederationState.Get", {"Datacenter": "dc2", "TargetDatacenter": "dc1"}).state is None
    assert [each.datacenter for each in server.call("FederationState.List").states] == ["dc1"]
    assert server.call("FederationState.ListMeshGateways").datacenter_nodes == {}


GATEWAY = {"Node": {"Node": "n", "Address": "1.1.1.1"}, "Service": {"ID": "g", "Service": "g", "Kind": "mesh-gateway"}}


def test_leaders_of_other_datacenters_write_their_gateways_here() -> None:
    server = Server()
    state = {"Datacenter": "dc7", "MeshGateways": [GATEWAY]}
    assert server.call("FederationState.Apply", {"Op": "upsert", "State": state}) is True
    index = server.store.index
    (stored,) = server.call("FederationState.List").states
    assert (stored.datacenter, stored.primary_modify_index, stored.create_index) == ("dc7", index, index)
    assert unix_s(stored.updated_at) == Server.wall_s()
    nodes = server.call("FederationState.ListMeshGateways").datacenter_nodes
    assert [each.service.service for each in nodes["dc7"]] == ["g"]

    assert server.call("FederationState.Apply", {"Op": "delete", "State": state}) is False, "as Consul answers"
    assert server.call("FederationState.List").states == []
    index = server.store.indexes.get("federation-states")
    assert server.call("FederationState.Apply", {"Op": "delete", "State": state}) is False
    assert server.store.indexes.get("federation-states") == index, "there was none"


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        ({}, "invalid request: missing federation state datacenter"),
        ({"Op": "upsert", "State": {"Datacenter": ""}}, "invalid request: missing federation state datacenter"),
        ({"Op": "", "State": {"Datacenter": "dc7"}}, "Invalid federation state operation: "),
        ({"Op": None, "State": {"Datacenter": "dc7"}}, "Invalid federation state operation: "),
        ({"Op": "zork", "State": {"Datacenter": "dc7"}}, "Invalid federation state operation: zork"),
    ],
)
def test_a_federation_state_that_is_none_is_refused(body: dict[str, Any], fault: str) -> None:
    server = Server()
    assert server.answer("FederationState.Apply", {"Op": "upsert", **body}) == fault
    assert server.call("FederationState.List").states == []


@pytest.mark.parametrize("op", ["", "zork"])
def test_a_federation_state_in_the_log_whose_operation_is_unknown_changes_nothing(op: str) -> None:
    server = Server()
    with pytest.raises(RPCError, match=f"invalid federation state operation type: {op}"):
        FederationState(FederationStateRequest("dc1", op, State(datacenter="dc7"))).apply(server.store, 1)
    assert server.call("FederationState.List").states == []


@pytest.mark.parametrize("primary", ["", "dc0"])
def test_federation_states_are_written_in_the_primary_datacenter_and_read_where_it_is_said(primary: str) -> None:
    server, asked = make_server(Clock()), []
    server.mesh_primary = primary
    server.remote_datacenters = Elsewhere(asked)
    found: list[Any] = []
    for datacenter in ("", "dc1", "dc2"):
        body = {"Datacenter": datacenter, "Op": "upsert", "State": {"Datacenter": "dc2"}}
        serve(server, "FederationState.Apply", unpack(pack(body))).addCallback(found.append)
    assert found == (["there"] * 3 if primary else [True] * 3)
    serve(server, "FederationState.Get", unpack(pack({"Datacenter": "dc1", "TargetDatacenter": "dc2"})))  # as named
    assert asked == [("dc0", "FederationState.Apply")] * (3 if primary else 0) + [("dc2", "FederationState.Get")]
