"""Serf's three queues of broadcasts: intents, queries, user events.

They fill what memberlist's own queue leaves of each packet, in that order. Every message is an entry of its own.
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
    """The queues, and their guard. `members`: how many members Serf knows, of any status. `queued()` is called after
    each new message."""

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
        """How many messages were thrown away because a queue was full."""
        return sum(queue.dropped for queue in self._queues.values())

    @property
    def is_empty(self) -> bool:
        """Whether nothing waits to be sent."""
        return not any(map(len, self._queues.values()))

    def intent(self, message: bytes, finished: Callable[[], None] | None = None) -> None:
        """Pass an intent on; `finished` when it has been sent as often as it should."""
        self._queues[INTENTS].queue(message, finished=finished)

    def query(self, message: bytes) -> None:
        """Pass a query on."""
        self._queues[QUERIES].queue(message)

    def event(self, message: bytes) -> None:
        """Pass a user event on."""
        self._queues[EVENTS].queue(message)

    def depth(self, queue: str) -> int:
        """How many messages wait in a queue."""
        return len(self._queues[queue])

    def get(self, overhead: int, limit: int) -> list[bytes]:
        """Messages for one packet, each costing `overhead` more than its length, at most `limit` bytes in all."""
        picked: list[bytes] = []
        for queue in self._queues.values():
            if len(queue):
                messages = queue.get(overhead, limit)
                limit -= sum(len(message) + overhead for message in messages)
                picked += messages
        return picked

    def check(self) -> None:
        """Let the queues grow with the cluster, throw away what is too much, and say once when one is long."""
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
        """Forget everything."""
        for queue in self._queues.values():
            queue.clear()
