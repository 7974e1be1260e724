"""Interface of the two roles of an agent, server and client: the parts that differ between them."""

from collections.abc import Callable
from dataclasses import field
from typing import TYPE_CHECKING

from consulpy.clock import Clock
from consulpy.codec.lazy_dataclass import dataclass
from consulpy.rpc.cache.agent_cache import AgentCache
from consulpy.rpc.call import ClientCaller, ServerCaller
from consulpy.rpc.caller import Caller
from consulpy.rpc.limits.reply_timeout import ReplyTimeout
from consulpy.rpc.net.dialer import Dialer
from consulpy.rpc.pool import ConnectionPool
from consulpy.rpc.router import Router

if TYPE_CHECKING:
    from consulpy.agent.build.quorum import QuorumServer
    from consulpy.config.schema import RuntimeConfig
    from consulpy.leader.leader import Leader
    from consulpy.rpc.server import Server

#: Functions that stop parts of an agent; called last one first.
Stops = list[Callable[[], object]]


@dataclass(slots=True)
class Role:
    """The parts of a server or of a client agent.

    `own_caller`: makes the calls. `caller`: the same for DNS and HTTP, behind the agent cache on a client without
    access control. A server has `server` and either `leader` (without Raft: -dev) or `quorum`; a client has `router`
    and `dialer`. Both have `connections` to servers; `timeout` limits the time of their replies.
    """

    own_caller: ServerCaller | ClientCaller
    caller: Caller
    cache: AgentCache
    server: "Server | None" = None
    leader: "Leader | None" = None
    router: Router | None = None
    dialer: Dialer | None = None
    connections: ConnectionPool | None = None
    quorum: "QuorumServer | None" = None
    timeout: ReplyTimeout | None = None
    stops: Stops = field(default_factory=list)


def reply_timeout(config: "RuntimeConfig", clock: Clock) -> ReplyTimeout:
    """The limit of the time of servers' replies (`limits.rpc_client_timeout`)."""
    limits, hold_timeout_s = config.limits, config.performance.rpc_hold_timeout_s
    return ReplyTimeout(clock, limits.rpc_client_timeout_s, hold_timeout_s, config.max_query_time_s)
