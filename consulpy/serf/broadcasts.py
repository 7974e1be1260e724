"""Serf's three broadcast queues: intents, queries, user events.

They fill the space that memberlist's own queue leaves in a packet, in that order. No message invalidates another.
Source: docs/wire/gossip.md 2.6 and 5.7.
"""

from collections.abc import Callable
from typing import Final

from consulpy.memberlist.broadcast import BroadcastQueue
from consulpy.serf.config import SerfConfig

INTENTS: Final = "intent"
QUERIES: Final = "query"
EVENTS: Final = "event"


class Broadcasts:
    """The three queues and their depth limits.

    `members()`: the number of members of any status. `queued()` is called after each new message.
    """

    def __init__(
        self,
        config: SerfConfig,
        retransmit_mult: int,
        members: Callable[[], int],
        log: Callable[[str, str], None],
        queued: Callable[[], None],
    ) -> None:
        self._config = config
        self._members = members
        self._log = log
        self._queues = {
            name: BroadcastQueue(retransmit_mult, members, queued=queued) for name in (INTENTS, QUERIES, EVENTS)
        }
        self._deep: set[str] = set()
        self._dropped = 0

    @property
    def dropped(self) -> int:
        """Number of messages dropped because a queue was full."""
        return sum(queue.dropped for queue in self._queues.values())

    @property
    def is_empty(self) -> bool:
        """Whether all queues are empty."""
        return not any(map(len, self._queues.values()))

    def intent(self, message: bytes, finished: Callable[[], None] | None = None) -> None:
        """Queue an intent; `finished` is called when it reached the transmit limit."""
        self._queues[INTENTS].queue(message, finished=finished)

    def query(self, message: bytes) -> None:
        """Queue a query."""
        self._queues[QUERIES].queue(message)

    def event(self, message: bytes) -> None:
        """Queue a user event."""
        self._queues[EVENTS].queue(message)

    def depth(self, queue: str) -> int:
        """Number of messages in a queue."""
        return len(self._queues[queue])

    def get(self, overhead: int, limit: int) -> list[bytes]:
        """Messages for one packet: each costs its length plus `overhead`, together at most `limit` bytes."""
        picked: list[bytes] = []
        for queue in self._queues.values():
            if len(queue):
                messages = queue.get(overhead, limit)
                limit -= sum(len(message) + overhead for message in messages)
                picked += messages
        return picked

    def check(self) -> None:
        """Scale the depth limits with the cluster, drop messages above them, and log a warning when a queue becomes
        deep.
        """
        config = self._config
        limit = max(config.min_queue_depth, 2 * self._members()) if config.min_queue_depth else config.max_queue_depth
        for name, queue in self._queues.items():
            queue.depth_max = limit
            queue.prune(limit)
            if len(queue) <= config.queue_depth_warning:
                self._deep.discard(name)
            elif name not in self._deep:
                self._deep.add(name)
                self._log("warn", f"{name} queue depth: {len(queue)}")
        if self.dropped > self._dropped:
            self._log("warn", f"queues deeper than {limit}: dropped {self.dropped - self._dropped} messages")
            self._dropped = self.dropped

    def clear(self) -> None:
        """Drop all messages."""
        for queue in self._queues.values():
            queue.clear()
