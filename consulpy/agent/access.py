"""Access control of an agent, from its configuration: guard, token resolver, own tokens."""

import dataclasses
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred, DeferredLock

from consulpy.agent.process.logs import reporter
from consulpy.agent.process.monotonic import wall_clock
from consulpy.agent.process.token_file import read_tokens, write_tokens
from consulpy.config.schema import RuntimeConfig
from consulpy.local.access import AgentAccess
from consulpy.local.tokens import NAMES, AgentTokens
from consulpy.rpc.acl.interface import CallGuard, NoGuard, Prepare
from consulpy.rpc.caller import Caller

if TYPE_CHECKING:
    from consulpy.leader.acl import AclTasks
    from consulpy.leader.acl_replication import AclReplication
    from consulpy.rpc.acl.guard import Resolver
    from consulpy.rpc.acl.remote import RemoteResolver
    from consulpy.rpc.server import Server
    from consulpy.state.command import Command
    from consulpy.state.log import Log
    from consulpy.state.store import Store


def server_guard(config: RuntimeConfig, log: "Log", reactor: Any, server: "Callable[[], Server]") -> CallGuard:
    """The guard that authorizes the RPCs of a server. `server()`: that server, once it is there."""
    if not config.acl.enabled:
        return NoGuard()
    # Here and below: most of what access control needs is loaded only where it is on.
    from consulpy.rpc.acl.guard import Guard
    from consulpy.rpc.acl.resolver import Authorizers, StateResolver

    default_allows = config.acl.default_policy == "allow"
    state = StateResolver(
        lambda: log.store, config.datacenter, wall_clock(reactor), Authorizers(default_allows=default_allows)
    )
    resolver: Resolver = state
    prepare: Prepare | None = None
    if config.primary_datacenter != config.datacenter:
        from consulpy.rpc.acl.primary_tokens import CopiedTokens, PrimaryTokens
        from consulpy.rpc.primary_caller import PrimaryCaller

        caller = PrimaryCaller(server, config.primary_datacenter)
        remote = _remote(config, reactor, caller, config.primary_datacenter, lambda: log.store)
        asked = PrimaryTokens(remote, lambda: log.store)
        is_copying = config.acl.enable_token_replication
        secret: Callable[[], str] = lambda: server().replication_token()  # noqa: E731
        tokens = CopiedTokens(state, asked, lambda: log.store, secret) if is_copying else asked
        resolver, prepare = tokens, tokens.prepare
    return Guard(
        resolver,
        default_allows=default_allows,
        lists_keys_by_right=config.acl.enable_key_list_policy,
        prepare=prepare,
    )


def _remote(
    config: RuntimeConfig,
    reactor: Any,
    caller: Caller,
    datacenter: str,
    replicated: "Callable[[], Store] | None" = None,
) -> "RemoteResolver":
    from consulpy.rpc.acl.remote import DOWN_POLICIES, RemoteResolver
    from consulpy.rpc.acl.resolver import Authorizers

    acl = config.acl
    return RemoteResolver(
        caller,
        reactor,
        wall_clock(reactor),
        datacenter,
        config.datacenter,
        Authorizers(default_allows=acl.default_policy == "allow"),
        token_ttl_s=acl.token_ttl_s,
        policy_ttl_s=acl.policy_ttl_s,
        role_ttl_s=acl.role_ttl_s,
        down=DOWN_POLICIES[acl.down_policy],
        replicated=replicated,
    )


def acl_duties(
    config: RuntimeConfig, log: "Log", reactor: Any, server: "Server"
) -> "Callable[[Callable[[Command], None]], AclTasks] | None":
    """A factory of the leader's tasks for access control; None if it is off."""
    if not config.acl.enabled:
        return None
    from consulpy.leader.acl import AclTasks

    replication = _replication(config, log, reactor, server) if server.primary_datacenter else None
    return lambda write: AclTasks(
        log.store, reactor, wall_clock(reactor), write, master=config.acl.tokens.master, replication=replication
    )


def _replication(config: RuntimeConfig, log: "Log", reactor: Any, server: "Server") -> "AclReplication":
    from consulpy.leader.acl_replication import AclReplication
    from consulpy.rpc.primary_caller import PrimaryCaller

    replication = AclReplication(
        lambda: log.store,
        reactor,
        wall_clock(reactor),
        config.primary_datacenter,
        PrimaryCaller(lambda: server, config.primary_datacenter).call,
        server.submit,
        lambda: server.replication_token(),
        reporter("acl.replication"),
        with_tokens=config.acl.enable_token_replication,
    )
    server.acl_replication = lambda: replication.status
    return replication


def agent_tokens(config: RuntimeConfig, in_thread: Callable[[Callable[[], None]], "Deferred[None]"]) -> AgentTokens:
    """The agent's own tokens: those that were set over HTTP, else those of the configuration. Raises `ConfigError`.

    `in_thread(job)`: runs a blocking job in a thread.
    """
    data_dir, acl = config.data_dir, config.acl
    if data_dir is None or not (acl.enabled and acl.enable_token_persistence):
        tokens = AgentTokens()
        tokens.configure(_configured(config))
        return tokens
    folder = data_dir
    one_by_one = DeferredLock()
    tokens = AgentTokens(lambda found: one_by_one.run(in_thread, partial(write_tokens, folder, found)))
    tokens.configure(_configured(config), read_tokens(folder))
    return tokens


def reconfigure(tokens: AgentTokens, config: RuntimeConfig) -> None:
    """Replace the configured tokens after a reload."""
    tokens.configure(_configured(config))


def _configured(config: RuntimeConfig) -> dict[str, str]:
    found = dataclasses.asdict(config.acl.tokens)
    return {name: found[name] for name in NAMES}


def agent_access(
    config: RuntimeConfig, reactor: Any, tokens: AgentTokens, server: "Server | None", caller: Caller
) -> AgentAccess:
    """Authorization of the agent's own HTTP endpoints; on a client, tokens are resolved by the servers."""
    acl = config.acl
    if not acl.enabled:
        return AgentAccess(tokens, config.node_name, default_policy=acl.default_policy)
    if server is not None:
        return AgentAccess(tokens, config.node_name, server.guard.identify, acl.default_policy, acl.down_policy)
    remote = _remote(config, reactor, caller, config.datacenter)  # whose servers know its local tokens too
    return AgentAccess(tokens, config.node_name, remote.resolve, acl.default_policy, acl.down_policy)
