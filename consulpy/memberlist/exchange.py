"""Push/pull over streams: sends our state, checks and merges the peer's. Source: docs/wire/gossip.md 4.1."""

from collections.abc import Callable, Sequence
from typing import Final, Protocol

from consulpy.clock import Clock
from consulpy.errors import MergeRefused, WireError
from consulpy.memberlist import stream
from consulpy.memberlist.config import MemberlistConfig
from consulpy.memberlist.delegate import Delegate, Transport
from consulpy.memberlist.member import Address, JoinTarget
from consulpy.memberlist.messages import Err
from consulpy.memberlist.packet import Sealer
from consulpy.memberlist.pushpull import PushPullState
from consulpy.memberlist.stream import MessageReader, PushPull, StreamMessage
from consulpy.metrics.registry import Measures

#: Nodes of a push/pull merged in one reactor turn; new ones take 20 ms together.
MERGE_NODES: Final = 256


class PushPullOwner(Protocol):
    """The part of `Memberlist` that push/pulls use."""

    config: MemberlistConfig
    sealer: Sealer
    running: bool
    push_pull_state: PushPullState

    def seal_stream(self, plain: bytes) -> bytes:
        """Compress, encrypt and label a stream message."""


class PushPullExchange:
    """Push/pulls of one memberlist with peers, in either direction."""

    def __init__(
        self,
        owner: PushPullOwner,
        clock: Clock,
        transport: Transport,
        delegate: Delegate,
        log: Callable[[str, str], None],
        metrics: Measures,
    ) -> None:
        self._owner = owner
        self._clock = clock
        self._transport = transport
        self._delegate = delegate
        self._log = log
        self._metrics = metrics

    def run(self, destination: Address, join: bool, done: Callable[[Exception | None], None]) -> None:
        """Push/pull with any address; `done(error)`, None on success."""
        reader = MessageReader(self._owner.sealer)

        began_s = self._clock.seconds()

        def finished(error: Exception | None) -> None:
            reader.close()
            if error is None and self._owner.running:
                try:
                    self._handle_reply(reader.message, join, merged)
                    return
                except (WireError, MergeRefused) as refused:
                    error = refused
            merged(error)

        def merged(error: Exception | None = None) -> None:
            self._metrics.sample("memberlist.pushPullNode", 1000 * (self._clock.seconds() - began_s))
            done(error)

        state = self.own_state(join)
        self._metrics.incr("memberlist.tcp.connect")
        self._metrics.incr("memberlist.tcp.sent", len(state))
        self._transport.exchange(destination, state, self._owner.config.stream_timeout_s, reader, finished)

    def _handle_reply(self, reply: StreamMessage | None, join: bool, merged: Callable[[], None]) -> None:
        if isinstance(reply, Err):
            raise MergeRefused(f"remote error: {reply.error}")
        if not isinstance(reply, PushPull):
            raise WireError(f"a push/pull was answered with {type(reply).__name__}")
        self.check(reply, join)
        self.merge(reply, join, merged, asked=True)

    def own_state(self, join: bool) -> bytes:
        """The encoded push/pull message with our state."""
        nodes, count = self._owner.push_pull_state.own_state()
        return self._owner.seal_stream(stream.push_pull(join, nodes, count, self._delegate.local_state(join)))

    def check(self, remote: PushPull, join: bool) -> None:
        """Raises `MergeRefused` if a peer's state must not be merged."""
        self._owner.push_pull_state.check(remote)
        if join and remote.nodes:
            self._delegate.notify_merge(self._owner.push_pull_state.members_of(remote, self._clock.seconds()))

    def merge(
        self,
        remote: PushPull,
        join: bool,
        merged: Callable[[], None] = lambda: None,
        first: int = 0,
        *,
        asked: bool = False,
    ) -> None:
        """Merge a peer's state, `MERGE_NODES` nodes in each turn; then call `merged`. `asked`: we began it."""
        if first and not self._owner.running:  # shut down meanwhile
            merged()
            return
        rest = first + MERGE_NODES
        self._owner.push_pull_state.merge(remote.nodes[first:rest])
        if rest < len(remote.nodes):
            self._clock.callLater(0, lambda: self.merge(remote, join, merged, rest, asked=asked))
            return
        if remote.user_state:
            try:
                self._delegate.merge_remote_state(remote.user_state, join, asked)
            except WireError as error:
                self._log("error", f"the user state of a push/pull: {error}")
        merged()

    def join(self, targets: Sequence[JoinTarget], done: Callable[[int, list[str]], None]) -> None:
        """Push/pull with each target in turn; then `done(number of successes, errors)`."""
        waiting = list(targets)
        errors: list[str] = []

        def next_target(joined: int) -> None:
            if not waiting:
                done(joined, errors)
                return
            target = waiting.pop(0)

            def finished(error: Exception | None) -> None:
                if error is not None:
                    errors.append(f"Failed to join {target.address[0]}: {error}")
                next_target(joined + (error is None))

            self.run(target.address, True, finished)

        next_target(0)
