"""The gossip pools of an agent: its LAN pool, and a server's WAN pool.

Source of names, ports, tags and timings: docs/wire/gossip.md 9.
"""

import dataclasses
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

from consulpy.agent.features.keyring import KeyringFile
from consulpy.agent.process.disk_thread import DiskThread
from consulpy.agent.process.logs import reporter
from consulpy.codec.lazy_dataclass import dataclass
from consulpy.config.schema import RuntimeConfig
from consulpy.memberlist.config import MemberlistConfig
from consulpy.memberlist.keyring import Keyring
from consulpy.memberlist.transport import GossipTransport
from consulpy.metrics.registry import NOTHING, Measures
from consulpy.rpc.merge import NoMembers, check_lan_join, check_lan_merge, wan_merge_check
from consulpy.rpc.server_metadata import agent_tags, reap_after_s
from consulpy.serf.config import SerfConfig
from consulpy.serf.disk import SnapshotFile
from consulpy.serf.events import Event
from consulpy.serf.machine import Serf
from consulpy.serf.members import Member
from consulpy.serf.membership import NameHolders


@dataclass(slots=True)
class GossipPool:
    """One gossip pool: the Serf machine, its transport (a `GossipTransport`, or one that was given to `lan_pool`), and
    the port of members that are joined without one.
    """

    serf: Serf
    transport: Any
    default_port: int


def lan_pool(
    config: RuntimeConfig,
    reactor: Any,
    rng: Random,
    disk: DiskThread,
    on_event: Callable[[Event], None],
    metrics: Measures = NOTHING,
    transport: Any = None,
) -> GossipPool:
    """The pool of all agents of the datacenter. `transport`: in place of sockets of the reactor."""
    tags = agent_tags(config, wan=False)
    members = MemberlistConfig.lan(
        name=config.node_name,
        advertise=(config.advertise_addr, config.ports.serf_lan),
        **_gossip(config, config.gossip_lan, config.serf_lan_allowed_cidrs),
    )
    bind = config.serf_lan_bind or config.bind_addr
    built: list[GossipPool] = []
    check = check_lan_merge(
        config.node_name,
        config.node_id,
        config.advertise_addr,
        config.datacenter,
        known=lambda: NameHolders(built[0].serf.membership, reactor.seconds) if built else NoMembers(),
    )
    port = config.ports.serf_lan
    transport = transport or GossipTransport(reactor, bind, port)
    built.append(_pool(config, reactor, rng, disk, on_event, "local", members, transport, port, tags, check, metrics))
    return built[0]


def wan_pool(
    config: RuntimeConfig, reactor: Any, rng: Random, disk: DiskThread, on_event: Callable[[Event], None]
) -> GossipPool:
    """The pool of the servers of all datacenters."""
    tags = agent_tags(config, wan=True)
    members = MemberlistConfig.wan(
        name=f"{config.node_name}.{config.datacenter}",
        advertise=(config.advertise_addr_wan, config.ports.serf_wan),
        # Consul's WAN pool has the LAN's number of gossip nodes
        **{"gossip_nodes": 3, **_gossip(config, config.gossip_wan, config.serf_wan_allowed_cidrs)},
    )
    bind, port = config.serf_wan_bind or config.bind_addr, config.ports.serf_wan
    built: list[GossipPool] = []
    check = wan_merge_check(
        members.name,
        config.node_id,
        config.advertise_addr_wan,
        known=lambda: NameHolders(built[0].serf.membership, reactor.seconds) if built else NoMembers(),
    )
    transport = GossipTransport(reactor, bind, port)
    built.append(_pool(config, reactor, rng, disk, on_event, "remote", members, transport, port, tags, check))
    return built[0]


def _gossip(config: RuntimeConfig, timings: Any, cidrs: Sequence[str]) -> dict[str, Any]:
    """The settings of one pool: timings, encryption, allowed networks."""
    names = (
        "gossip_nodes",
        "gossip_interval_s",
        "probe_interval_s",
        "probe_timeout_s",
        "retransmit_mult",
        "suspicion_mult",
    )
    changed = {name: getattr(timings, name) for name in names if getattr(timings, name) is not None}
    return {
        **changed,
        "dead_node_reclaim_time_s": 30.0,
        "encrypt_verify_incoming": config.encrypt_verify_incoming,
        "encrypt_verify_outgoing": config.encrypt_verify_outgoing,
        "allowed_cidrs": tuple(cidrs),
    }


def _pool(
    config: RuntimeConfig,
    reactor: Any,
    rng: Random,
    disk: DiskThread,
    on_event: Callable[[Event], None],
    file_name: str,
    members: MemberlistConfig,
    transport: Any,
    port: int,
    tags: dict[str, str],
    check: Callable[[list[Member]], None],
    metrics: Measures = NOTHING,
) -> GossipPool:
    folder = Path(config.data_dir) / "serf" if config.data_dir else None
    keyring_path = folder / f"{file_name}.keyring" if folder and not config.disable_keyring_file else None
    keyring_file = KeyringFile(keyring_path)
    keys = keyring_file.load(config.encrypt)
    if keys:
        members = dataclasses.replace(members, keyring=Keyring(keys))
    wan = file_name == "remote"
    settings = SerfConfig.consul(
        tags=tags,
        reap_after_s=reap_after_s,
        reconnect_timeout_s=config.reconnect_timeout_wan_s if wan else config.reconnect_timeout_s,
        rejoin_after_leave=config.rejoin_after_leave,
        coordinates=not config.disable_coordinates,
    )
    serf = Serf(
        settings,
        members,
        reactor,
        rng,
        transport,
        on_event,
        check_merge=check if wan else _checking_pool(check),
        check_alive=lambda member: check([member]),
        snapshot=SnapshotFile(folder / f"{file_name}.snapshot", disk.run) if folder else None,
        save_keyring=partial(_save, keyring_file, disk),
        log=reporter("serf.wan" if wan else "serf.lan"),
        metrics=metrics,
    )
    transport.attach(serf.memberlist)
    return GossipPool(serf, transport, port)


def _checking_pool(check: Callable[[list[Member]], None]) -> Callable[[list[Member]], None]:
    """The check of a LAN join: no WAN pool is taken for one."""

    def checked(members: list[Member]) -> None:
        check_lan_join(members)
        check(members)

    return checked


def _save(file: KeyringFile, disk: DiskThread, keys: list[bytes], done: Callable[[Exception | None], None]) -> None:
    """Write a changed keyring in the disk thread; see `consulpy.serf.key_manager.SaveKeyring`."""
    errors: list[Exception] = []

    def save() -> None:
        try:
            file.save(keys)
        except OSError as error:
            errors.append(error)

    disk.call(save, lambda: done(errors[0] if errors else None))
