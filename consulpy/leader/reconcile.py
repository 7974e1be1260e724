"""Reconciliation of the catalog with a member of the gossip pool. Pure: member and store in, commands out.

Rules and records are those of docs/wire/rpc.md 13, recorded from the log of real servers.
"""

from collections.abc import Container, Mapping
from typing import Final

from consulpy.codec.lazy_dataclass import dataclass
from consulpy.rpc.server_metadata import ServerInfo, server_of
from consulpy.serf.members import Member, Status
from consulpy.state.commands import Command, Deregister, Register
from consulpy.state.store import Store
from consulpy.structs.check import CRITICAL, PASSING, SERF_HEALTH, HealthCheck
from consulpy.structs.requests import DeregisterRequest, RegisterRequest
from consulpy.structs.service import CONSUL_SERVICE, NodeService, Weights

_CHECK_NAME: Final = "Serf Health Status"
_ALIVE: Final = "Agent alive and reachable"
_FAILED: Final = "Agent not live or unreachable"


@dataclass(frozen=True, slots=True)
class Leader:
    """The leader's name and datacenter."""

    datacenter: str
    node_name: str


def is_server(member: Member) -> bool:
    """Whether the member is a Consul server (of any datacenter)."""
    return server_of(member) is not None


def belongs_to_catalog(leader: Leader, member: Member) -> bool:
    """Whether the member belongs into this leader's catalog: an agent of its datacenter.

    A member with invalid server tags is no agent, as in real Consul.
    """
    is_agent = member.tags.get("role") == "node" or is_server(member)
    return is_agent and member.tags.get("dc") == leader.datacenter


def has_others_node(store: Store, members: Mapping[str, Member], name: str, node_id: str = "") -> bool:
    """Whether the node to be written for a member belongs to another member that is alive.

    The catalog compares names and ids without regard to case, gossip does not.
    """
    nodes = [store.catalog.nodes_table.get(name.lower())]
    nodes += store.catalog.nodes_table.by("id", node_id.lower()) if node_id else ()
    holders = (members.get(node.node) for node in nodes if node is not None and node.node != name)
    return any(holder is not None and holder.status == Status.ALIVE for holder in holders)


def reconcile(store: Store, leader: Leader, member: Member) -> list[Command]:
    """Commands by which the catalog matches `member`."""
    if not belongs_to_catalog(leader, member):
        return []
    if member.status == Status.ALIVE:
        return _alive(store, leader, member)
    if member.status == Status.FAILED:
        return _failed(store, leader, member)
    if member.status == Status.LEFT:
        return remove_member(store, leader, member.name)
    return []


def remove_member(store: Store, leader: Leader, name: str) -> list[Command]:
    """Commands for a member that left or was removed. A leader never deregisters itself."""
    if name.lower() == leader.node_name.lower() or not store.catalog.has_node(name):
        return []
    return [Deregister(DeregisterRequest(datacenter=leader.datacenter, node=name))]


def unknown_nodes(store: Store, members: Container[str]) -> list[str]:
    """Nodes with a `serfHealth` check that are no members any more; `members` are lower-case names."""
    checks = store.catalog.checks_table.by("id", SERF_HEALTH)
    return [check.node for check in checks if check.node.lower() not in members]


def _alive(store: Store, leader: Leader, member: Member) -> list[Command]:
    node = store.catalog.nodes_table.get(member.name.lower())
    server = server_of(member)
    service = _consul_service(member, server) if server is not None else None
    if (
        node is not None
        and node.address == member.address
        and _health_is(store, member, PASSING)
        and (service is None or _has_service(store, member, service))
    ):
        return []
    request = _registration(leader, member, _serf_health(member, PASSING, _ALIVE))
    request.service = service
    if node is not None:
        request.tagged_addresses, request.node_meta = node.tagged_addresses, node.meta
    return [Register(request)]


def _failed(store: Store, leader: Leader, member: Member) -> list[Command]:
    node = store.catalog.nodes_table.get(member.name.lower())
    if node is None or (node.address == member.address and _health_is(store, member, CRITICAL)):
        return []
    request = _registration(leader, member, _serf_health(member, CRITICAL, _FAILED))
    request.skip_node_update = True
    return [Register(request)]


def _registration(leader: Leader, member: Member, check: HealthCheck) -> RegisterRequest:
    return RegisterRequest(
        datacenter=leader.datacenter,
        id=member.tags.get("id", ""),
        node=member.name,
        address=member.address,
        check=check,
    )


def _serf_health(member: Member, status: str, output: str) -> HealthCheck:
    return HealthCheck(node=member.name, check_id=SERF_HEALTH, name=_CHECK_NAME, status=status, output=output)


def _health_is(store: Store, member: Member, status: str) -> bool:
    check = store.catalog.check(member.name, SERF_HEALTH)
    return check is not None and check.status == status


def _has_service(store: Store, member: Member, service: NodeService) -> bool:
    known = store.catalog.service(member.name, CONSUL_SERVICE)
    return known is not None and known.port == service.port and known.meta == service.meta


def _consul_service(member: Member, server: ServerInfo) -> NodeService:
    """The service of each server. Its metadata are texts; the serf_protocol ones are memberlist's versions."""
    tags = member.tags
    return NodeService(
        id=CONSUL_SERVICE,
        service=CONSUL_SERVICE,
        port=server.port,
        weights=Weights(1, 1),
        meta={
            "non_voter": "true" if tags.get("nonvoter") == "1" else "false",
            "raft_version": tags.get("raft_vsn", "0"),
            "serf_protocol_current": str(member.protocol_cur),
            "serf_protocol_min": str(member.protocol_min),
            "serf_protocol_max": str(member.protocol_max),
            "version": tags.get("build", "").partition(":")[0],
        },
    )
