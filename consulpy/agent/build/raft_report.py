"""Raft and autopilot in the form of Consul's reports: section `raft` of `consul info`, and the health of servers."""

from consulpy.gocompat.duration import format_duration_ns
from consulpy.gocompat.time import go_time
from consulpy.leader.servers import ServerHealth as SeenServer
from consulpy.leader.servers import contact_ns
from consulpy.raft.configuration import NONVOTER, VOTER, Configuration, Server
from consulpy.raft.machine import Raft
from consulpy.structs.operator import ServerHealth
from consulpy.structs.requests import RaftStats


def raft_stats(raft: Raft) -> dict[str, str]:
    """The statistics of one server's Raft, by Consul's names."""
    log, configurations = raft.log, raft.configurations
    voters = configurations.latest.voters
    others = sum(server.id != raft.server_id for server in voters) if raft.is_voter else 0
    if raft.leadership is not None:
        contact = "0"
    else:
        contact = "never" if raft.contact_s is None else format_duration_ns(int(raft.since_contact_s * 1e9))
    return {
        "applied_index": str(raft.applied_index),
        "commit_index": str(raft.commit_index),
        "fsm_pending": str(raft.commit_index - raft.applied_index),
        "last_contact": contact,
        "last_log_index": str(log.last_index),
        "last_log_term": str(log.last_term),
        "last_snapshot_index": str(log.snapshot_index),
        "last_snapshot_term": str(log.snapshot_term),
        "latest_configuration": _go_text(configurations.latest),
        "latest_configuration_index": str(configurations.latest_index),
        "num_peers": str(others),
        "protocol_version": "3",
        "protocol_version_max": "3",
        "protocol_version_min": "0",
        "snapshot_version_max": "1",
        "snapshot_version_min": "0",
        "state": raft.role.value,
        "term": str(raft.term),
    }


def _go_text(configuration: Configuration) -> str:
    """The servers as Go prints them."""
    names = {VOTER: "Voter", NONVOTER: "Nonvoter"}
    servers = (
        f"{{Suffrage:{names.get(server.suffrage, 'Staging')} ID:{server.id} Address:{server.address}}}"
        for server in configuration.servers
    )
    return f"[{' '.join(servers)}]"


def server_health(seen: SeenServer, server: Server, leader_id: str, to_wall_s: float) -> ServerHealth:
    """Autopilot's record of `server`. `to_wall_s`: seconds from the monotonic clock's time to wall time."""
    stats = seen.stats or RaftStats()
    return ServerHealth(
        id=server.id,
        name=seen.info.name,
        address=server.address,
        serf_status=int(seen.status),
        version=".".join(map(str, seen.info.build)),
        leader=server.id == leader_id,
        last_contact=contact_ns(stats) or 0,
        last_term=stats.last_term,
        last_index=stats.last_index,
        healthy=seen.is_healthy,
        voter=server.is_voter,
        stable_since=go_time(round(seen.stable_since_s + to_wall_s)),
    )
