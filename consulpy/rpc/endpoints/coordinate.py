"""Coordinate.*: network coordinates of nodes and datacenters (docs/wire/rpc.md 10)."""

import math
from typing import TYPE_CHECKING

from consulpy.errors import RPCError
from consulpy.rpc.endpoints._result_filters import distance_s
from consulpy.rpc.methods import local, read, write
from consulpy.state.watch import WatchSet
from consulpy.structs.coordinate import Coord, Coordinate, DatacenterCoordinates
from consulpy.structs.requests import (
    CoordinatesReply,
    CoordinateUpdateRequest,
    Empty,
    NodeRequest,
    SpecificRequest,
)

if TYPE_CHECKING:
    from consulpy.rpc.server import Server

#: Dimensions of a coordinate.
_DIMENSIONS = 8
_WAN_AREA = "wan"


def _check(_server: "Server", request: CoordinateUpdateRequest) -> None:
    coord = request.coord
    if coord is None or len(coord.vec) != _DIMENSIONS:
        raise RPCError("incompatible coordinate")
    if not all(map(math.isfinite, (*coord.vec, coord.error, coord.adjustment, coord.height))):
        raise RPCError("invalid coordinate")


@write("Coordinate.Update", CoordinateUpdateRequest, Empty, before_token=_check)
def update(server: "Server", request: CoordinateUpdateRequest) -> Empty:
    """Queue the coordinate of a node; the leader writes them in batches."""
    _check(server, request)
    server.queue_coordinate(request)
    return Empty()


@read("Coordinate.ListNodes", SpecificRequest, CoordinatesReply)
def list_nodes(server: "Server", request: SpecificRequest, watch: WatchSet | None) -> CoordinatesReply:  # noqa: ARG001
    """The coordinates of all nodes."""
    index, coordinates = server.store.coordinates.all(watch)
    reply = CoordinatesReply(coordinates=list(coordinates) or None)
    reply.meta.index = index
    return reply


@read("Coordinate.Node", NodeRequest, CoordinatesReply)
def node(server: "Server", request: NodeRequest, watch: WatchSet | None) -> CoordinatesReply:
    """The coordinates of one node, one for each network segment."""
    index, coordinates = server.store.coordinates.node(watch, request.node)
    reply = CoordinatesReply(coordinates=list(coordinates) or None)
    reply.meta.index = index
    return reply


@local("Coordinate.ListDatacenters", Empty, list)
def list_datacenters(server: "Server", request: Empty) -> list[DatacenterCoordinates]:  # noqa: ARG001
    """The coordinates of all servers of each datacenter, as the WAN pool sees them."""
    known = _server_coordinates(server)
    return [
        DatacenterCoordinates(
            datacenter=datacenter,
            area_id=_WAN_AREA,
            coordinates=[Coordinate(node=name, coord=coord) for name, coord in sorted(coordinates.items())],
        )
        for datacenter, coordinates in sorted(known.items())
    ]


def datacenters_by_distance(server: "Server") -> list[str]:
    """All datacenters, by the median distance of their servers; unknown distances last, equal ones by name."""
    from statistics import median  # most agents never need it

    known = _server_coordinates(server)
    here = _own_coordinate(server)

    def distance(datacenter: str) -> float:
        distances = [distance_s(here, coord) for coord in known[datacenter].values()] if here is not None else []
        return median(distances) if distances else math.inf

    return sorted(known, key=lambda datacenter: (datacenter != server.datacenter, distance(datacenter), datacenter))


def _own_coordinate(server: "Server") -> Coord | None:
    pool = server.wan or server.lan
    return pool.coordinate() if pool is not None else None


def _server_coordinates(server: "Server") -> dict[str, dict[str, Coord]]:
    """For each datacenter the names and coordinates of its servers; also for one without coordinates."""
    found: dict[str, dict[str, Coord]] = {server.datacenter: {}}
    own = _own_coordinate(server)
    if own is not None:
        found[server.datacenter][server.node_name] = own
    if server.wan is None:
        return found
    for member in server.wan.members.values():
        datacenter = member.tags.get("dc")
        if member.tags.get("role") != "consul" or not datacenter:
            continue
        name = member.name.removesuffix(f".{datacenter}")
        coord = server.wan.cached_coordinate(member.name)
        if (datacenter, name) == (server.datacenter, server.node_name):
            continue
        servers = found.setdefault(datacenter, {})
        if coord is not None:
            servers[name] = coord
    return found
