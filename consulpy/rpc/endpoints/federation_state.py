"""FederationState.*: the mesh gateways of each datacenter, written in the primary one (docs/wire/rpc.md 10)."""

import dataclasses
from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred

from consulpy.errors import RPCError
from consulpy.gocompat.time import ZERO_TIME, go_time
from consulpy.rpc.methods import read, write
from consulpy.state.commands import FederationState
from consulpy.state.watch import WatchSet
from consulpy.structs.operator import (
    FEDERATION_DELETE,
    FEDERATION_UPSERT,
    FederationStateQuery,
    FederationStateReply,
    FederationStateRequest,
    FederationStatesReply,
    MeshGatewaysReply,
)
from consulpy.structs.requests import SpecificRequest

if TYPE_CHECKING:
    from consulpy.rpc.server import Server


@write("FederationState.Apply", FederationStateRequest, bool)
def apply(server: "Server", request: FederationStateRequest) -> "Deferred[bool]":
    """Write or remove the state of a datacenter; whether one was written. Leaders of other datacenters call it."""
    state = request.state
    if state is None or not state.datacenter:
        raise RPCError("invalid request: missing federation state datacenter")
    if request.op == FEDERATION_UPSERT:
        if state.updated_at == ZERO_TIME:
            state = dataclasses.replace(state, updated_at=go_time(server.wall_s()))
    elif request.op != FEDERATION_DELETE:
        raise RPCError(f"Invalid federation state operation: {request.op}")
    command = dataclasses.replace(request, datacenter=server.datacenter, state=state)
    return server.submit(FederationState(command)).addCallback(bool)


@read("FederationState.Get", FederationStateQuery, FederationStateReply)
def federation_state(server: "Server", request: FederationStateQuery, watch: WatchSet | None) -> FederationStateReply:
    """The federation state of one datacenter."""
    index, state = server.store.operator.federation_state(watch, request.wanted)
    reply = FederationStateReply(state=state)
    reply.meta.index = index
    return reply


@read("FederationState.List", SpecificRequest, FederationStatesReply)
def federation_states(
    server: "Server",
    request: SpecificRequest,  # noqa: ARG001
    watch: WatchSet | None,
) -> FederationStatesReply:
    """The federation states of all datacenters."""
    index, states = server.store.operator.federation_states(watch)
    reply = FederationStatesReply(states=list(states))
    reply.meta.index = index
    return reply


@read("FederationState.ListMeshGateways", SpecificRequest, MeshGatewaysReply)
def mesh_gateways(server: "Server", request: SpecificRequest, watch: WatchSet | None) -> MeshGatewaysReply:  # noqa: ARG001
    """The mesh gateways of the datacenters that have some."""
    index, states = server.store.operator.federation_states(watch)
    reply = MeshGatewaysReply({state.datacenter: state.mesh_gateways for state in states if state.mesh_gateways})
    reply.meta.index = index
    return reply
