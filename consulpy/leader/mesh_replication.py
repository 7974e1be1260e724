"""Copies config entries and intentions from the primary datacenter, in which alone they are written.

One loop for each: a list that waits for changes, and what differs written here. Source: docs/wire/connect.md,
"Secondary datacenters".
"""

import dataclasses
from collections.abc import Callable, Coroutine
from typing import Any, Final

from twisted.internet.defer import CancelledError, Deferred, succeed

from consulpy.backoff import backoff_s
from consulpy.clock import Clock, pause
from consulpy.errors import RPCError
from consulpy.rpc.primary_caller import CallPrimary
from consulpy.state.command import Command
from consulpy.state.commands import ConfigEntry, Intention
from consulpy.state.config_entry import DELETE, UPSERT
from consulpy.state.store import Store
from consulpy.structs.config_entry import KINDS
from consulpy.structs.config_entry_requests import AllEntriesQuery, EntryRequest
from consulpy.structs.intention import IntentionRequest
from consulpy.structs.newer_config_entry import NEWER_KINDS
from consulpy.structs.options import QueryOptions
from consulpy.structs.requests import SpecificRequest

#: Rounds that follow each other at once in `BURST_S` seconds; more of them have pauses of `PAUSE_S` between them.
BURST: Final = 5
BURST_S: Final = 1.0
PAUSE_S: Final = 0.05
#: After failures, in seconds: at first, and at most.
RETRY_S: Final = 1.0
PAUSE_MOST_S: Final = 30.0
_WAIT_NS: Final = 60 * 10**9
#: Kinds in the order in which they are written: what others need comes first.
_ORDER: Final = (
    "proxy-defaults",
    "service-defaults",
    "service-resolver",
    "service-splitter",
    "service-router",
    "terminating-gateway",
    "ingress-gateway",
)


class MeshReplication:
    """`token()`: the replication token. `submit(command)`: store a change. `say(level, text)`: a line in the log.

    `with_intentions`: intentions are the primary's only where Connect is on. `without_newer_kinds()`: servers of this
    datacenter that entries of newer kinds would end; while there are any, these are not copied.
    """

    def __init__(
        self,
        store: Callable[[], Store],
        clock: Clock,
        primary: str,
        call_primary: CallPrimary,
        submit: Callable[[Command], "Deferred[Any]"],
        token: Callable[[], str],
        say: Callable[[str, str], None],
        *,
        with_intentions: bool,
        without_newer_kinds: Callable[[], "Deferred[list[str]]"] = lambda: succeed([]),
    ) -> None:
        self._without_newer_kinds = without_newer_kinds
        self._store = store
        self._clock = clock
        self._primary = primary
        self._call_primary = call_primary
        self._submit = submit
        self._token = token
        self._say = say
        self._kinds: list[tuple[str, Callable[[int], Coroutine[Any, Any, int]]]] = [("config entries", self._entries)]
        if with_intentions:
            self._kinds.append(("intentions", self._intentions))
        self._running: list[Deferred[None]] = []

    def start(self) -> None:
        """Start the loops."""
        if not self._running:
            self._running = [Deferred.fromCoroutine(self._loop(*each)) for each in self._kinds]
            for loop in self._running:
                loop.addErrback(lambda failure: failure.trap(CancelledError) and None)

    def stop(self) -> None:
        """End it."""
        running, self._running = self._running, []
        for loop in running:
            loop.cancel()

    async def _loop(self, what: str, round_: Callable[[int], Coroutine[Any, Any, int]]) -> None:
        index, failures = 0, 0
        rounds, since_s = 0, self._clock.seconds()
        while True:
            try:
                index, failures = await round_(index), 0
            except RPCError as error:
                index, failures = 0, failures + 1
                self._say("warn", f"{what} could not be copied from {self._primary}: {error}")
            if self._clock.seconds() - since_s >= BURST_S:
                rounds, since_s = 0, self._clock.seconds()
            rounds += 1
            if not failures and rounds < BURST:
                continue
            await pause(self._clock, backoff_s(failures, RETRY_S, PAUSE_MOST_S) if failures else PAUSE_S)

    async def _list(self, method: str, index: int) -> Any:
        options = QueryOptions(token=self._token(), allow_stale=True, min_query_index=index)
        options.max_query_time = _WAIT_NS if index else 0
        if method == "ConfigEntry.ListAll":
            kinds = [*KINDS, *NEWER_KINDS]
            return await self._call_primary(
                method, AllEntriesQuery(datacenter=self._primary, options=options, kinds=kinds)
            )
        return await self._call_primary(method, SpecificRequest(datacenter=self._primary, options=options))

    async def _entries(self, index: int) -> int:
        reply = await self._list("ConfigEntry.ListAll", index)
        here = {(each.kind, each.name): each for each in self._store().config_entries.table.all()}
        there = {(each.kind, each.name): each for each in reply.entries}
        newer = [key for key in (here | there) if key[0] in NEWER_KINDS]
        if any(key not in there or not _is_copy(here.get(key), there[key]) for key in newer):
            lacking = await self._without_newer_kinds()
            if lacking:
                why = f"they would end {', '.join(lacking)}"
                self._say("warn", f"config entries of kinds that came after Consul 1.8 are not copied: {why}")
                here, there = ({key: rows[key] for key in rows if key not in newer} for rows in (here, there))
        refused: list[RPCError] = []
        for key in sorted(here.keys() - there.keys(), key=_rank, reverse=True):
            await self._write_entry(DELETE, here[key], refused)
        for key in sorted(there, key=_rank):
            if not _is_copy(here.get(key), there[key]):
                await self._write_entry(UPSERT, _bare(there[key]), refused)
        if refused:
            raise refused[0]
        return int(reply.meta.index)

    async def _write_entry(self, op: str, entry: Any, refused: list[RPCError]) -> None:
        try:
            await self._submit(ConfigEntry(EntryRequest(self._primary, "", op, entry, entry.kind)))
        except RPCError as error:
            refused.append(error)

    async def _intentions(self, index: int) -> int:
        reply = await self._list("Intention.List", index)
        here = {each.id: each for each in self._store().intentions.table.all()}
        there = {each.id: each for each in reply.intentions or ()}
        for key in sorted(here.keys() - there.keys()):
            await self._submit(Intention(IntentionRequest(self._primary, "", "delete", here[key])))
        for key in sorted(there):
            if key not in here or _bare(here[key]) != _bare(there[key]):
                op = "update" if key in here else "create"
                await self._submit(Intention(IntentionRequest(self._primary, "", op, _bare(there[key]))))
        return int(reply.meta.index)


def _rank(key: tuple[str, str]) -> tuple[int, str]:
    return (_ORDER.index(key[0]) if key[0] in _ORDER else len(_ORDER), key[1])


def _is_copy(row: Any, original: Any) -> bool:
    return row is not None and _bare(row) == _bare(original)


def _bare(row: Any) -> Any:
    """A row without the indexes, which are those of its own datacenter."""
    return dataclasses.replace(row, create_index=0, modify_index=0)
