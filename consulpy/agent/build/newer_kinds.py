"""Keeps real servers of 1.8.7 out of a quorum whose state or log has config entries that would end their program.

Also out of one whose state has fields that they would drop: once such a server leads, no other could keep them. A
server that joins gets the log, or a snapshot and what follows it. An entry that was deleted is still in the log until
that is compacted.
"""

from collections.abc import Callable
from typing import Final

from twisted.internet.defer import Deferred

from consulpy.clock import Clock, pause
from consulpy.errors import WireError
from consulpy.raft.machine import Raft
from consulpy.raft.messages import COMMAND, LogEntry
from consulpy.rpc.server_metadata import ServerInfo
from consulpy.state.commands import ConfigEntry
from consulpy.state.store import Store
from consulpy.structs.newer_config_entry import NEWER_KINDS

#: Entries, and bytes of them, that are looked at in one turn.
_ENTRIES: Final = 512
_BYTES: Final = 1 << 20

#: Receives the addresses of the quorum that a server says it is in; None: it is not added now.
Answered = Callable[[list[str] | None], None]


class NewerKindsGuard:
    """`knows(server)`: whether it can store newer kinds. `peers`: asks a server for `Status.Peers`.

    `say(level, text)`: a line in the log.
    """

    def __init__(
        self,
        raft: Raft,
        clock: Clock,
        store: Store,
        knows: Callable[[ServerInfo], "Deferred[bool]"],
        peers: Callable[[ServerInfo, Answered], None],
        say: Callable[[str, str], None],
    ) -> None:
        self._raft = raft
        self._clock = clock
        self._store = store
        self._knows = knows
        self._peers = peers
        self._say = say
        #: The last entry that was looked at, and the last one with a newer kind.
        self._scanned = self._newest = 0
        self._refused: set[str] = set()

    def peers(self, info: ServerInfo, answered: Answered) -> None:
        """The quorum of a server that wants to join; None for one that would end here."""

        def decided(why: str) -> None:
            if not why:
                self._refused.discard(info.id)
                self._peers(info, answered)
                return
            if info.id not in self._refused:
                self._refused.add(info.id)
                self._say("error", f"{info.name} is not added, as its program {why}")
            answered(None)

        Deferred.fromCoroutine(self._reason(info)).addCallback(decided)

    async def _reason(self, info: ServerInfo) -> str:
        """Why a server may not join; "" if it may."""
        if await self._knows(info):
            return ""
        if self._store.config_entries.has_newer_kinds():
            return "would end: there are config entries of kinds that came after Consul 1.8; delete them"
        if entry := self._store.config_entries.with_newer_fields():
            return f"would drop fields of config entries that came after Consul 1.8; write them without ({entry})"
        if await self._is_in_log():
            return (
                "would end: the log has config entries of kinds that came after Consul 1.8, though they are deleted; "
                "save a snapshot and restore it, which begins a new log"
            )
        return ""

    async def _is_in_log(self) -> bool:
        """Whether the log that is kept has a newer kind; also if that cannot be known."""
        log, last = self._raft.log, self._raft.commit_index
        first = max(self._scanned + 1, log.first_index)
        while first <= last:
            entries = log.cached(first, _ENTRIES, _BYTES)
            if entries is None:
                entries = await self._read(first)
            if not entries:
                return True
            for entry in entries:
                if _has_newer_kind(entry):
                    self._newest = max(self._newest, entry.index)
            self._scanned = max(self._scanned, entries[-1].index)
            first = entries[-1].index + 1
            await pause(self._clock, 0)
        return self._newest >= log.first_index

    async def _read(self, first: int) -> list[LogEntry]:
        """Entries of the disk; none if they cannot be read."""
        count = min(_ENTRIES, self._raft.log.stored_count(first))
        done: Deferred[list[LogEntry] | Exception] = Deferred()
        self._raft.storage.read(first, count, _BYTES, done.callback)
        found = await done
        return [] if isinstance(found, Exception) else found


def _has_newer_kind(entry: LogEntry) -> bool:
    data = entry.data or b""
    if entry.type != COMMAND or not data.startswith(bytes([ConfigEntry.TYPE])):
        return False
    try:
        return ConfigEntry.decode(memoryview(data)[1:]).body.leading_kind in NEWER_KINDS
    except WireError:
        return True  # part of a large one, which is not put together here
