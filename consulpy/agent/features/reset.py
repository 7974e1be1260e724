"""An agent as new, for tests: nothing that its clients have written is left.

Address, node name and the pools stay; the index goes on, so that queries that wait are woken.
"""

from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred, succeed

from consulpy.errors import RPCError
from consulpy.local.load import configure
from consulpy.state.store import Store

if TYPE_CHECKING:
    from consulpy.agent.parts import AgentParts


def reset(agent: "AgentParts") -> "Deferred[None]":
    """Empty the agent's own state, and a leader's state store. For a single server in memory all of it happens at once.

    Fails with `RPCError` if the servers' log cannot be written.
    """
    parts, config = agent.parts, agent.config
    parts.anti_entropy.stop()
    agent.local.clear()
    agent.events.clear()
    agent.tokens.reset()
    agent.agent_cache.close()
    configure(agent.local, map(dict, config.services), map(dict, config.checks))
    server, role = agent.server, agent.role
    leader = role.leader if role.quorum is None else role.quorum.leader
    if server is None or leader is None:
        parts.anti_entropy.start()
        return succeed(None)
    leader.sessions.forget_lock_delays()
    replaced: Deferred[Any] = Deferred()
    server.log.restore(Store(), replaced.callback)

    def finish(result: Any) -> None:
        if isinstance(result, Exception):
            raise RPCError(str(result))
        if role.quorum is None:
            for call in server.after_restore:
                call()
        leader.reconcile_members()
        parts.anti_entropy.start()

    return replaced.addCallback(finish)
