"""Copies policies, roles and global tokens from the primary datacenter (docs/wire/acl.md section 15).

One loop for each kind: a list that waits for changes, the differences by hash, what differs read whole and written.
"""

import dataclasses
from collections.abc import Callable, Coroutine, Iterable
from typing import Any, Final

from twisted.internet.defer import CancelledError, Deferred

from consulpy.backoff import backoff_s
from consulpy.clock import Clock, pause
from consulpy.errors import RPCError
from consulpy.gocompat.time import go_time
from consulpy.rpc.primary_caller import CallPrimary
from consulpy.state.acl_commands import PolicyDelete, PolicySet, RoleDelete, RoleSet, TokenDelete, TokenSet
from consulpy.state.command import Command
from consulpy.state.store import Store
from consulpy.structs.acl_log_entries import (
    PolicyBatchDelete,
    PolicyBatchSet,
    RoleBatchDelete,
    RoleBatchSet,
    TokenBatchDelete,
    TokenBatchSet,
)
from consulpy.structs.acl_requests import (
    PolicyBatchRequest,
    ReplicationStatus,
    RoleListRequest,
    TokenBatchRequest,
    TokenListRequest,
)
from consulpy.structs.options import QueryOptions
from consulpy.structs.requests import SpecificRequest

#: Between two rounds, in seconds; after a failure at first, and at most.
PAUSE_S: Final = 1.0
PAUSE_MOST_S: Final = 30.0
#: Rows that are read or written at a time.
BATCH: Final = 256
_WAIT_NS: Final = 60 * 10**9


class AclReplication:
    """`token()`: the replication token. `submit(command)`: store a change. `say(level, text)`: a line in the log.

    `with_tokens`: `acl.enable_token_replication`.
    """

    def __init__(
        self,
        store: Callable[[], Store],
        clock: Clock,
        wall_s: Callable[[], float],
        primary: str,
        call_primary: CallPrimary,
        submit: Callable[[Command], "Deferred[Any]"],
        token: Callable[[], str],
        say: Callable[[str, str], None],
        *,
        with_tokens: bool = True,
    ) -> None:
        self._store = store
        self._clock = clock
        self._wall_s = wall_s
        self._primary = primary
        self._call_primary = call_primary
        self._submit = submit
        self._token = token
        self._say = say
        self._running: list[Deferred[None]] = []
        self._with_tokens = with_tokens
        self.status = ReplicationStatus(
            enabled=True, source_datacenter=primary, replication_type="tokens" if with_tokens else "policies"
        )

    def start(self) -> None:
        """Start the loops."""
        if self._running:
            return
        self.status.running = True
        loops = [("policies", self._policies), ("roles", self._roles)]
        if self._with_tokens:
            loops.append(("tokens", self._tokens))
        self._running = [
            Deferred.fromCoroutine(self._loop(*each)).addErrback(lambda failure: failure.trap(CancelledError) and None)
            for each in loops
        ]

    def stop(self) -> None:
        """End it."""
        running, self._running = self._running, []
        self.status.running = False
        for loop in running:
            loop.cancel()

    async def _loop(self, what: str, round_: Callable[[int], Coroutine[Any, Any, int]]) -> None:
        index, failures = 0, 0
        while self.status.running:
            try:
                index = await round_(index)
                self.status.last_success = go_time(self._wall_s())
                failures = 0
            except RPCError as error:
                self._say("warn", f"ACL {what} could not be copied from {self._primary}: {error}")
                self.status.last_error = go_time(self._wall_s())
                index, failures = 0, failures + 1
            await pause(self._clock, backoff_s(failures + 1, PAUSE_S, PAUSE_MOST_S))

    def _options(self, index: int = 0) -> QueryOptions:
        return QueryOptions(
            token=self._token(), allow_stale=True, min_query_index=index, max_query_time=_WAIT_NS if index else 0
        )

    async def _policies(self, index: int) -> int:
        asked = SpecificRequest(datacenter=self._primary, options=self._options(index))
        reply = await self._call_primary("ACL.PolicyList", asked)
        here = {row.id: row.hash for row in self._store().acl.policies.all()}
        there = {row.id: row.hash for row in reply.policies or ()}
        for ids in _batches(here.keys() - there.keys()):
            await self._submit(PolicyDelete(PolicyBatchDelete(ids)))
        for ids in _batches(key for key, found in there.items() if here.get(key) != found):
            request = PolicyBatchRequest(datacenter=self._primary, policy_ids=ids, options=self._options())
            found = await self._call_primary("ACL.PolicyBatchRead", request)
            if found.policies:
                rows = [dataclasses.replace(row, create_index=0, modify_index=0) for row in found.policies]
                await self._submit(PolicySet(PolicyBatchSet(rows)))
        self.status.replicated_index = reply.meta.index
        return int(reply.meta.index)

    async def _roles(self, index: int) -> int:
        asked = RoleListRequest(datacenter=self._primary, options=self._options(index))
        reply = await self._call_primary("ACL.RoleList", asked)
        here = {row.id: row.hash for row in self._store().acl.roles.all()}
        there = {row.id: row for row in reply.roles or ()}
        for ids in _batches(here.keys() - there.keys()):
            await self._submit(RoleDelete(RoleBatchDelete(ids)))
        for ids in _batches(key for key, row in there.items() if here.get(key) != row.hash):
            rows = [dataclasses.replace(there[key], create_index=0, modify_index=0) for key in ids]
            await self._submit(RoleSet(RoleBatchSet(rows, allow_missing_links=True)))
        self.status.replicated_role_index = reply.meta.index
        return int(reply.meta.index)

    async def _tokens(self, index: int) -> int:
        asked = TokenListRequest(datacenter=self._primary, include_global=True, options=self._options(index))
        reply = await self._call_primary("ACL.TokenList", asked)
        here = {row.accessor_id: row.hash for row in self._store().acl.tokens.all() if not row.local}
        there = {row.accessor_id: row.hash for row in reply.tokens or () if row.accessor_id}
        for accessors in _batches(here.keys() - there.keys()):
            await self._submit(TokenDelete(TokenBatchDelete(accessors)))
        for accessors in _batches(key for key, found in there.items() if here.get(key) != found):
            request = TokenBatchRequest(datacenter=self._primary, accessor_ids=accessors, options=self._options())
            found = await self._call_primary("ACL.TokenBatchRead", request)
            if found.redacted:
                raise RPCError("the replication token lacks acl:write, without which secrets are not shown")
            if found.tokens:
                rows = [dataclasses.replace(row, create_index=0, modify_index=0) for row in found.tokens]
                body = TokenBatchSet(tokens=rows, allow_missing_links=True, from_replication=True)
                await self._submit(TokenSet(body))
        self.status.replicated_token_index = reply.meta.index
        return int(reply.meta.index)


def _batches(keys: Iterable[str]) -> list[list[str]]:
    ordered = sorted(keys)
    return [ordered[at : at + BATCH] for at in range(0, len(ordered), BATCH)]
