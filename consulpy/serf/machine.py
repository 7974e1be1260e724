"""`Serf`: members, events and queries on top of a memberlist (signatures; the body follows)."""

from collections.abc import Callable, Sequence
from random import Random
from typing import TYPE_CHECKING, Protocol

from consulpy.clock import Clock
from consulpy.memberlist.delegate import Transport
from consulpy.serf.config import SerfConfig
from consulpy.serf.events import Event
from consulpy.serf.members import Member
from consulpy.structs.coordinate import Coord

if TYPE_CHECKING:
    from consulpy.memberlist.config import MemberlistConfig
    from consulpy.memberlist.machine import JoinTarget, Memberlist
    from consulpy.memberlist.timeline import TimelineEvent


class SnapshotStore(Protocol):
    """Where the snapshot is kept (`consulpy.serf.transport.SnapshotFile`)."""

    def read(self) -> str: ...
    def append(self, text: str) -> None: ...
    def replace(self, text: str) -> None: ...
    def sync(self) -> None: ...
    def close(self) -> None: ...


class Serf:
    """One member of one gossip pool.

    `on_event` gets every event, one after the other. `check_merge` sees all members of a join's push/pull,
    `check_alive` each alive member; both refuse by raising `MergeRefused`. `snapshot`: where to keep the members for
    a rejoin after a restart. `save_keyring` is called with all keys, primary first, after a key operation changed them.
    `on_shutdown` is called if this Serf stops by itself (it lost its name).
    """

    memberlist: "Memberlist"
    members: dict[str, Member]

    def __init__(
        self,
        config: SerfConfig,
        memberlist: "MemberlistConfig",
        clock: Clock,
        rng: Random,
        transport: Transport,
        on_event: Callable[[Event], None],
        *,
        check_merge: Callable[[list[Member]], None] | None = None,
        check_alive: Callable[[Member], None] | None = None,
        snapshot: SnapshotStore | None = None,
        save_keyring: Callable[[list[bytes]], None] | None = None,
        on_shutdown: Callable[[str], None] | None = None,
        log: Callable[[str, str], None] | None = None,
    ) -> None:
        raise NotImplementedError

    @property
    def local_member(self) -> Member:
        """Ourselves."""
        raise NotImplementedError

    def start(self) -> None:
        """Become a member; rejoin the snapshot's members."""
        raise NotImplementedError

    def join(
        self, targets: "Sequence[JoinTarget]", ignore_old: bool, done: Callable[[int, list[str]], None]
    ) -> None:
        """Join through each of `targets`; `done(joined, errors)`. `ignore_old`: no user events of the past."""
        raise NotImplementedError

    def leave(self, done: Callable[[], None]) -> None:
        """Leave gracefully; `done` once everybody had time to hear of it (we still answer until `shutdown`)."""
        raise NotImplementedError

    def shutdown(self) -> None:
        """Stop at once, telling nobody."""
        raise NotImplementedError

    def force_leave(self, name: str, prune: bool = False) -> None:
        """Make a failed member a left one everywhere; `prune`: and forget it."""
        raise NotImplementedError

    def user_event(self, name: str, payload: bytes, coalesce: bool) -> None:
        """Tell everybody, ourselves included. Raises `ValueError` if it is too large."""
        raise NotImplementedError

    def set_tags(self, tags: dict[str, str]) -> None:
        """Change what we tell of ourselves. Raises `ConfigError` if it is more than 512 bytes."""
        raise NotImplementedError

    def coordinate(self) -> Coord | None:
        """Where we are (a copy); None if coordinates are off."""
        raise NotImplementedError

    def cached_coordinate(self, name: str) -> Coord | None:
        """The coordinate that came with `name`'s last ack; None if unknown."""
        raise NotImplementedError

    def stats(self) -> dict[str, str]:
        """What `consul info` shows under serf_lan."""
        raise NotImplementedError

    def timeline(self, name: str) -> "list[TimelineEvent]":
        """What memberlist remembers of `name`."""
        raise NotImplementedError
