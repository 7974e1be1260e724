"""The quorum of one server, its autopilot, and what is kept of each datacenter; bodies of real agents as vectors."""

import pytest

from consulpy.gocompat.time import ZERO_TIME, go_time, go_time_json, unix_s
from consulpy.rpc.endpoints.keyring import base64_fault
from consulpy.state.commands import FederationState
from consulpy.structs.operator import FederationState as State
from consulpy.structs.operator import FederationStateRequest
from tests.fakes.endpoints import Server
from tests.harness.vectors import VECTORS, assert_bodies_come_out_as_they_went_in

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
    server.submit(FederationState(FederationStateRequest(datacenter="dc1", state=state)))
    reply = server.call("FederationState.Get", {"Datacenter": "dc1", "TargetDatacenter": "dc1"})
    index = server.store.index
    assert (reply.state.primary_modify_index, reply.state.create_index, reply.meta.index) == (index, index, index)
    assert server.call("FederationState.Get", {"TargetDatacenter": "dc2"}).state is None
    assert [each.datacenter for each in server.call("FederationState.List").states] == ["dc1"]
    assert server.call("FederationState.ListMeshGateways").datacenter_nodes == {}
