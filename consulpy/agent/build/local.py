"""The local state of an agent: services, checks and user events, and their anti-entropy with the catalog."""

import os
from collections.abc import Callable, Mapping
from dataclasses import field
from functools import partial
from random import Random
from typing import Any

from consulpy.agent.build import settings
from consulpy.agent.build.role import Role, Stops
from consulpy.agent.debug_config import tagged_addresses
from consulpy.agent.process.disk_thread import DiskThread, disk_thread
from consulpy.checks.proxy_environment import Proxies
from consulpy.checks.runner import Runner
from consulpy.codec.lazy_dataclass import dataclass
from consulpy.config.schema import RuntimeConfig
from consulpy.group_commit import run_inline
from consulpy.local.aliases import Aliases
from consulpy.local.central_config import CentralConfig
from consulpy.local.load import configure, restore
from consulpy.local.persist.disk import JournaledDirectory
from consulpy.local.persist.records import Files
from consulpy.local.reaper import Reaper
from consulpy.local.state import LocalState, Scripts
from consulpy.local.sync.anti_entropy import AntiEntropy
from consulpy.local.sync.coordinate import CoordinateSender
from consulpy.local.tokens import AgentTokens
from consulpy.local.user_events import UserEvents
from consulpy.rpc.caller import Caller
from consulpy.serf.machine import Serf
from consulpy.structs.node import Node


@dataclass(slots=True)
class LocalParts:
    """The parts of the local state. `stops`: called last one first."""

    state: LocalState
    runner: Runner
    events: UserEvents
    anti_entropy: AntiEntropy
    coordinates: CoordinateSender
    stops: Stops = field(default_factory=list)


def local_parts(
    config: RuntimeConfig,
    reactor: Any,
    rng: Random,
    role: Role,
    lan: Serf,
    wall_s: Callable[[], float],
    meta: dict[str, str],
    tokens: AgentTokens,
    environment: Mapping[str, str] = os.environ,
) -> LocalParts:
    """Build the parts and load persisted and configured definitions. Raises `ConfigError`."""
    calls = role.own_caller
    certificates = settings.check_tls(config)
    # a simulated agent keeps them in memory
    files: Files | None = JournaledDirectory(config.data_dir) if config.data_dir else getattr(reactor, "files", None)
    disk = disk_thread("services", reactor)
    state = _state(config, reactor, rng, meta, wall_s, files, disk)
    state.starter = runner = Runner(
        reactor,
        rng,
        Aliases(state.entries, calls, tokens.of_registrations),
        docker_host=environment.get("DOCKER_HOST", ""),
        output_max_bytes=config.check_output_max_size_bytes,
        tls=certificates,
        proxies=Proxies.of(environment),
    )
    ports = config.ports
    state.sidecar_ports = (
        range(ports.sidecar_min_port, ports.sidecar_max_port + 1) if ports.sidecar_min_port > 0 else range(0)
    )
    stops: Stops = []
    if config.enable_central_service_config:
        central = CentralConfig(state.entries, calls, reactor, rng, lambda: tokens.agent)
        stops.append(central.stop)
    configure(state, map(dict, config.services), map(dict, config.checks))
    if files is not None:
        restore(state, files, wall_s)
    reaper = Reaper(state, reactor)
    reaper.start()
    stops += [disk.stop, reaper.stop, state.stop]
    events = UserEvents(config.node_name, lambda: state.services.values(), rng)
    if not config.disable_remote_exec:
        stops.append(_enable_remote_exec(config, reactor, calls, events, tokens))
    coordinates = _coordinate_sender(config, reactor, rng, role, lan, tokens)
    anti_entropy = AntiEntropy(
        calls,
        state,
        reactor,
        rng,
        lambda: len(lan.members),
        token=lambda: tokens.agent,
        default_token=tokens.of_registrations,
    )
    return LocalParts(state, runner, events, anti_entropy, coordinates, stops)


def _state(
    config: RuntimeConfig,
    reactor: Any,
    rng: Random,
    meta: dict[str, str],
    wall_s: Callable[[], float],
    files: Files | None,
    disk: DiskThread,
) -> LocalState:
    """The agent's services and checks, without any yet. `meta`: of its node; `disk`: where they are written."""
    return LocalState(
        Node(
            id=config.node_id,
            node=config.node_name,
            address=config.advertise_addr,
            datacenter=config.datacenter,
            tagged_addresses=tagged_addresses(config),
            meta=meta,
        ),
        reactor,
        rng,
        check_update_interval_s=config.check_update_interval_s,
        discard_check_output=config.discard_check_output,
        files=files,
        wall_s=wall_s,
        scripts=Scripts(
            remote=config.enable_script_checks,
            local=config.enable_local_script_checks,
        ),
        run=disk.run,
        hand_back=reactor.callFromThread,
        call=disk.call,
        later=partial(reactor.callLater, 0) if files is not None else run_inline,
    )


def _coordinate_sender(
    config: RuntimeConfig, reactor: Any, rng: Random, role: Role, lan: Serf, tokens: AgentTokens
) -> CoordinateSender:
    """Sends this node's network coordinate, if all known servers store coordinates."""
    router = role.router
    return CoordinateSender(
        role.own_caller,
        config.datacenter,
        config.node_name,
        reactor,
        rng,
        lan.coordinate,
        lambda: len(lan.members),
        token=lambda: tokens.agent,
        supported=lambda: router is None or router.all_take_coordinates(),
    )


def _enable_remote_exec(
    config: RuntimeConfig, reactor: Any, caller: Caller, events: UserEvents, tokens: AgentTokens
) -> Callable[[], object]:
    """Run the jobs of `consul exec`; the returned function stops them."""
    from consulpy.agent.features.remote_exec import RemoteExec  # the import is costly, and few agents enable it

    remote = RemoteExec(reactor, caller, config.datacenter, config.node_name, lambda: tokens.agent)
    events.on_remote_exec = remote.run
    return remote.stop
