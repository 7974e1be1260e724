"""A client agent: RPC to the servers that gossip knows, behind the agent cache."""

from collections.abc import Callable
from random import Random
from typing import Any

from twisted.internet.threads import deferToThreadPool

from consulpy.agent.build.role import Role, Stops, reply_timeout
from consulpy.agent.process.logs import reporter
from consulpy.config.schema import RuntimeConfig
from consulpy.rpc.cache.agent_cache import AgentCache
from consulpy.rpc.cache.caching_caller import CachingCaller
from consulpy.rpc.call import ClientCaller
from consulpy.rpc.caller import Caller
from consulpy.rpc.limits.rate_limit import RateLimiter
from consulpy.rpc.net.dialer import Dialer
from consulpy.rpc.pool import ConnectionPool
from consulpy.rpc.router import Router
from consulpy.tls.contexts import Tls


def client_role(config: RuntimeConfig, reactor: Any, rng: Random, cluster_size: Callable[[], int], tls: Tls) -> Role:
    """Router, connection pool, caller and cache of a client. `cluster_size()`: members of the LAN pool."""
    dialer = Dialer(reactor, config.bind_addr, tls=tls)
    dial: Any = dialer
    pool = ConnectionPool(dial, reactor)
    router = Router(
        config.datacenter,
        reactor,
        rng,
        lambda server: pool.call(server, "Status.Ping", b"\x80"),
        cluster_size,
        log=reporter("router"),
    )
    router.start()
    timeout = reply_timeout(config, reactor)
    calls = ClientCaller(
        router,
        pool,
        reactor,
        rng,
        log=reporter("rpc"),
        hold_timeout_s=config.performance.rpc_hold_timeout_s,
        timeout=timeout,
        rate=RateLimiter(reactor, config.limits.rpc_rate, config.limits.rpc_max_burst),
        in_thread=lambda job: deferToThreadPool(reactor, reactor.getThreadPool(), job),
    )
    cache = AgentCache(calls, reactor, calls)
    # With access control a client is not notified when the rights of a token change: every read goes to a server.
    caller: Caller = calls if config.acl.enabled else CachingCaller(calls, cache, config.datacenter)
    stops: Stops = [pool.close, calls.close, router.stop, cache.close]
    return Role(calls, caller, cache, router=router, dialer=dialer, connections=pool, timeout=timeout, stops=stops)
