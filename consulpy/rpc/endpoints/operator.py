"""Operator.*: the quorum, its health and autopilot (docs/wire/rpc.md 10).

A single server without Raft replies as a quorum of one.
"""

from typing import TYPE_CHECKING, Any

from consulpy.errors import RPCError
from consulpy.gocompat.literals import quoted
from consulpy.gocompat.time import go_time
from consulpy.rpc.long_read import LongRead, Steps
from consulpy.rpc.methods import read, write
from consulpy.rpc.server_metadata import server_of
from consulpy.serf.members import Member, Status
from consulpy.state.commands import Autopilot
from consulpy.state.watch import WatchSet
from consulpy.structs.autopilot_state import AutopilotState
from consulpy.structs.operator import (
    AutopilotConfig,
    AutopilotSetRequest,
    ClusterHealth,
    RaftConfiguration,
    RaftPeerRequest,
    RaftServer,
    ServerHealth,
    TransferLeaderReply,
)
from consulpy.structs.requests import Empty, SpecificRequest
from consulpy.structs.usage import UsageCount, UsageReply, UsageRequest

if TYPE_CHECKING:
    from consulpy.rpc.server import Server

#: Instances that are counted in a step of a long read: less than a millisecond.
_ROWS_OF_A_STEP = 512
#: The constant term of a log without elections.
_TERM = 1
_LAST_VOTER = "Need at least one voter in configuration: {[]}"


# `write`: only the leader replies, and replies without metadata cannot block.


@write("Operator.RaftGetConfiguration", SpecificRequest, RaftConfiguration)
def raft_configuration(server: "Server", request: SpecificRequest) -> RaftConfiguration:  # noqa: ARG001
    """The servers of the quorum, in the order in which they were added."""
    if server.quorum is None:
        own = RaftServer(server.node_id, server.node_name, server.rpc_address, leader=server.is_leader)
        return RaftConfiguration(servers=[own])
    members = server.lan.members.values() if server.lan is not None else ()
    addresses = {each.id: each.address for each in server.quorum.servers()}
    names: dict[str, Member] = {}
    for each in members:
        info = server_of(each)
        if info is not None and (
            info.id not in names or info.rpc_address == addresses.get(info.id)
        ):  # else a copy of it
            names[info.id] = each
    leader = server.leader_address
    shown = []
    for known in server.quorum.servers():
        member = names.get(known.id)
        shown.append(
            RaftServer(
                known.id,
                member.name if member is not None else "(unknown)",
                known.address,
                leader=known.address == leader,
                protocol_version=member.tags.get("raft_vsn", "") if member is not None else "",
                voter=known.is_voter,
            )
        )
    return RaftConfiguration(servers=shown)


@write("Operator.RaftRemovePeerByAddress", RaftPeerRequest, Empty)
def remove_peer_by_address(server: "Server", request: RaftPeerRequest) -> Any:
    """Remove a server from the quorum by its address, but not the last one."""
    return _remove_peer(server, "address", request.address)


@write("Operator.RaftRemovePeerByID", RaftPeerRequest, Empty)
def remove_peer_by_id(server: "Server", request: RaftPeerRequest) -> Any:
    """Remove a server from the quorum by its node id."""
    return _remove_peer(server, "id", request.id)


def _remove_peer(server: "Server", key: str, value: str) -> Any:
    if server.quorum is not None:
        found = [each.id for each in server.quorum.servers() if getattr(each, key) == value]
        is_known, is_last = bool(found), len(server.peers) == 1
    else:
        is_known, is_last = value == (server.node_id if key == "id" else server.rpc_address), True
    if not is_known:
        raise RPCError(f"{key} {quoted(value)} was not found in the Raft configuration")
    if is_last or server.quorum is None:
        raise RPCError(_LAST_VOTER)
    return server.quorum.remove(found[0]).addCallback(lambda _: Empty())


@write("Operator.TransferLeader", RaftPeerRequest, TransferLeaderReply)
def transfer_leader(server: "Server", request: RaftPeerRequest) -> Any:
    """Hand the office over to the server with this id, or to the one that is best prepared."""
    if server.quorum is None or len(server.peers) == 1:
        raise RPCError("cannot find peer")
    if request.id == server.node_id:
        raise RPCError(f'server "{request.id}" leads already')
    if request.id and request.id not in {each.id for each in server.quorum.servers() if each.is_voter}:
        raise RPCError(f'id "{request.id}" is no voter of the Raft configuration')
    return server.quorum.transfer(request.id).addCallback(lambda _: TransferLeaderReply(success=True))


@write("Operator.AutopilotGetConfiguration", SpecificRequest, AutopilotConfig)
def autopilot_configuration(server: "Server", request: SpecificRequest) -> AutopilotConfig:  # noqa: ARG001
    """The autopilot configuration."""
    _, config = server.store.operator.autopilot(None)
    if config is None:
        raise RPCError("autopilot config not initialized yet")
    return config


@write("Operator.AutopilotSetConfiguration", AutopilotSetRequest, bool)
def set_autopilot_configuration(server: "Server", request: AutopilotSetRequest) -> Any:
    """Write the autopilot configuration; the reply is meaningful for a check-and-set only."""
    written = server.submit(Autopilot(request))
    return written if request.cas else written.addCallback(lambda _: False)


@write("Operator.ServerHealth", SpecificRequest, ClusterHealth)
def server_health(server: "Server", request: SpecificRequest) -> ClusterHealth:  # noqa: ARG001
    """Health of the servers. A single server that replies is healthy."""
    if server.quorum is not None:
        return quorum_health(server.quorum.health())
    member = server.lan.members.get(server.node_name) if server.lan is not None else None
    own = ServerHealth(
        id=server.node_id,
        name=server.node_name,
        address=server.rpc_address,
        serf_status=int(member.status if member is not None else Status.ALIVE),
        version=_version_of(member),
        leader=server.is_leader,
        last_term=_TERM,
        last_index=server.store.index,
        healthy=True,
        voter=True,
        stable_since=go_time(round(server.started_s)),
    )
    return ClusterHealth(healthy=True, failure_tolerance=0, servers=[own])


@write("Operator.AutopilotState", SpecificRequest, AutopilotState)
def autopilot_state(server: "Server", request: SpecificRequest) -> AutopilotState:
    """The same by id, in the form of Consul 1.9."""
    metas = {node.id: node.meta for node in server.store.catalog.nodes_table.all() if node.id}
    return AutopilotState.of(server_health(server, request), metas)


def quorum_health(servers: list[ServerHealth]) -> ClusterHealth:
    """Health and failure tolerance, as Consul counts them."""
    voters = sum(each.voter for each in servers)
    healthy = sum(each.voter and each.healthy for each in servers)
    tolerance = max(healthy - (voters // 2 + 1), 0)
    return ClusterHealth(healthy=all(each.healthy for each in servers), failure_tolerance=tolerance, servers=servers)


def _version_of(member: Member | None) -> str:
    return member.tags.get("build", "").partition(":")[0] if member is not None else ""


@read("Operator.Usage", UsageRequest, UsageReply)
def usage(server: "Server", request: UsageRequest, watch: WatchSet | None) -> UsageReply | LongRead:
    """Numbers of nodes, services and instances (Consul 1.15)."""
    if request.is_global:
        raise RPCError("Global: this server counts its own datacenter only; ask each datacenter")
    catalog = server.store.catalog
    index, nodes = catalog.nodes(watch)
    services_index, _ = catalog.services(watch)
    reply = UsageReply()
    reply.meta.index = max(index, services_index)
    count, rows = UsageCount(len(nodes)), catalog.services_table.all()

    def counted() -> Steps:
        for at in range(_ROWS_OF_A_STEP, len(rows), _ROWS_OF_A_STEP):
            yield
            for row in rows[at : at + _ROWS_OF_A_STEP]:
                count.add(row.service)
        reply.usage = {server.datacenter: count.usage}
        return reply

    for row in rows[:_ROWS_OF_A_STEP]:
        count.add(row.service)
    if len(rows) > _ROWS_OF_A_STEP:
        return LongRead(reply.meta, counted())
    reply.usage = {server.datacenter: count.usage}
    return reply
