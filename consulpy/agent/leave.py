"""A graceful leave: out of the gossip pools and of the quorum, while clients are still served."""

from collections.abc import Sequence
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater

from consulpy.agent.build.gossip import GossipPool
from consulpy.agent.build.role import Role

#: Most checks whether the quorum has removed a server that leaves, and the pause between them in seconds.
_REMOVAL_CHECKS: Final = 50
_REMOVAL_CHECK_S: Final = 0.1


async def leave(reactor: Any, role: Role, pools: Sequence[GossipPool], drain_time_s: float) -> None:
    """Transfer leadership, leave `pools` in order, and serve for `drain_time_s` more if this is a server."""
    quorum = role.quorum
    if quorum is not None:
        await quorum.transfer_leadership()
    for pool in pools:
        left: Deferred[None] = Deferred()
        pool.serf.leave(lambda left=left: left.callback(None))  # type: ignore[misc]
        await left
    if role.server is None:
        return
    # clients that have not received the leave intent yet are still served
    await deferLater(reactor, drain_time_s)
    for _ in range(_REMOVAL_CHECKS if quorum is not None else 0):
        if quorum is None or quorum.is_removed:
            break
        await deferLater(reactor, _REMOVAL_CHECK_S)
    role.server.is_leader = False
