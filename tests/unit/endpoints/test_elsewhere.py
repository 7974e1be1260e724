"""Status, coordinates, datacenters, dumps and events by their RPC methods (docs/wire/rpc.md 10)."""

import math
from typing import Any

import pytest

from consulpy.errors import RPCError
from consulpy.serf.members import Member, Status
from consulpy.state.commands import CoordinateBatchUpdate
from consulpy.structs.coordinate import Coord, Coordinate
from tests.fakes.endpoints import Pool, Server

HERE = {"Vec": [0.0] * 8, "Error": 1.5, "Adjustment": 0.0, "Height": 1e-5}


@pytest.fixture
def server() -> Server:
    return Server()


def wan_server(name: str, datacenter: str) -> Member:
    tags = {"role": "consul", "dc": datacenter}
    return Member(name=f"{name}.{datacenter}", address="127.0.0.1", tags=tags, status=Status.ALIVE)


def test_status(server: Server) -> None:
    server.register(Node="a", Address="1.1.1.1")
    assert server.call("Status.Leader") == "127.20.0.1:8300"
    assert server.call("Status.Peers") == ["127.20.0.1:8300"]
    assert server.call("Status.Ping").to_wire() == {}
    assert server.call("Status.RaftStats").to_wire() == {"LastContact": "0", "LastIndex": 1, "LastTerm": 1}


def test_a_coordinate_is_queued_for_the_leaders_next_batch(server: Server) -> None:
    server.call("Coordinate.Update", {"Node": "a", "Coord": HERE})
    (update,) = server.queued
    assert (update.node, update.coord) == ("a", Coord())
    assert server.store.index == 0


@pytest.mark.parametrize(
    ("coord", "text"),
    [
        (None, "incompatible coordinate"),
        ({**HERE, "Vec": [0.0] * 7}, "incompatible coordinate"),
        ({**HERE, "Vec": [math.inf, *[0.0] * 7]}, "invalid coordinate"),
        ({**HERE, "Height": math.nan}, "invalid coordinate"),
    ],
)
def test_a_coordinate_that_means_nothing_is_refused(server: Server, coord: Any, text: str) -> None:
    with pytest.raises(RPCError, match=text):
        server.call("Coordinate.Update", {"Node": "a", "Coord": coord})
    assert not server.queued


def test_coordinates_are_listed_by_node(server: Server) -> None:
    for node in ("b", "a"):
        server.register(Node=node, Address="1.1.1.1")
    server.submit(CoordinateBatchUpdate([Coordinate(node=node, coord=Coord()) for node in ("b", "a", "x")]))
    assert [each.node for each in server.call("Coordinate.ListNodes").coordinates] == ["a", "b"]
    reply = server.call("Coordinate.Node", {"Node": "B"})
    assert ([each.node for each in reply.coordinates], reply.meta.index) == (["b"], 3)
    assert server.call("Coordinate.Node", {"Node": "x"}).coordinates is None


def test_one_datacenter_alone(server: Server) -> None:
    assert server.call("Catalog.ListDatacenters") == ["dc1"]
    (only,) = server.call("Coordinate.ListDatacenters")
    assert (only.datacenter, only.area_id, [each.node for each in only.coordinates]) == ("dc1", "wan", ["s1"])


def test_datacenters_come_by_the_median_distance_of_their_servers(server: Server) -> None:
    names = [("s1", "dc1"), ("f1", "far"), ("n1", "near"), ("n2", "near"), ("u1", "unknown"), ("a1", "also-unknown")]
    server.wan = Pool(*(wan_server(*name) for name in names), Member(name="stranger"))
    for name, x in (("f1.far", 0.2), ("n1.near", 0.01), ("n2.near", 0.02)):
        server.wan.coordinates[name] = Coord(vec=[x, *[0.0] * 7])
    assert server.call("Catalog.ListDatacenters") == ["dc1", "near", "far", "also-unknown", "unknown"]
    listed = {each.datacenter: [c.node for c in each.coordinates] for each in server.call("Coordinate.ListDatacenters")}
    assert listed == {"also-unknown": [], "dc1": ["s1"], "far": ["f1"], "near": ["n1", "n2"], "unknown": []}


def test_dumps_for_the_ui(server: Server) -> None:
    server.register(Node="b", Address="1.1.1.1")
    server.register(Node="a", Address="1.1.1.2", Service={"Service": "web"}, Check={"Name": "c", "ServiceID": "web"})
    dump = server.call("Internal.NodeDump").dump
    assert [(each.node, len(each.services or ()), len(each.checks or ())) for each in dump] == [
        ("a", 1, 1),
        ("b", 0, 0),
    ]
    assert [each.node for each in server.call("Internal.NodeInfo", {"Node": "A"}).dump] == ["a"]
    assert server.call("Internal.NodeInfo", {"Node": "z"}).dump is None
    assert len(server.call("Internal.ServiceDump").nodes) == 1
    typical = server.call("Internal.ServiceDump", {"UseServiceKind": True, "ServiceKind": ""}).nodes
    assert [row.service.id for row in typical] == ["web"]
    assert server.call("Internal.ServiceDump", {"UseServiceKind": True, "ServiceKind": "connect-proxy"}).nodes is None


def test_gateways_have_no_services_yet(server: Server) -> None:
    assert server.call("Catalog.GatewayServices", {"ServiceName": "g"}).services is None
    assert server.call("Health.ServiceNodes", {"ServiceName": "g", "Ingress": True}).nodes is None


def test_an_event_is_gossiped_under_consuls_prefix_and_not_coalesced(server: Server) -> None:
    reply = server.call("Internal.EventFire", {"Datacenter": "dc1", "Name": "deploy", "Payload": b"\x81"})
    assert server.lan is not None
    assert server.lan.events == [("consul:event:deploy", b"\x81", False)]
    assert (reply.meta.index, reply.meta.known_leader) == (0, True)


def test_an_event_without_a_datacenter_is_gossiped_nowhere(server: Server) -> None:
    with pytest.raises(RPCError, match="No path to datacenter"):
        server.call("Internal.EventFire", {"Name": "deploy"})
    assert server.lan.events == []


def test_an_event_that_is_too_large_is_told_in_consuls_words(server: Server) -> None:
    with pytest.raises(RPCError) as refused:
        server.call("Internal.EventFire", {"Datacenter": "dc1", "Name": "big", "Payload": b"x" * 600})
    assert str(refused.value) == (
        '1 error occurred:\n\t* error broadcasting event to segment "": '
        "user event exceeds configured limit of 512 bytes before encoding\n\n"
    )
