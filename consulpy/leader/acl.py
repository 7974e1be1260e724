"""ACL tasks of the leader: built-in policies and tokens, expired tokens, legacy tokens (docs/wire/acl.md 10)."""

import dataclasses
from collections.abc import Callable
from random import Random, SystemRandom
from typing import Any, Final

from consulpy.clock import Clock, Timer, cancel_timer
from consulpy.gocompat.time import go_time
from consulpy.leader.acl_replication import AclReplication
from consulpy.rpc.uuids import new_uuid
from consulpy.state.acl_commands import AclBootstrap, PolicySet, TokenDelete, TokenSet
from consulpy.state.command import Command
from consulpy.state.store import Store
from consulpy.structs.acl import (
    ANONYMOUS_SECRET,
    GLOBAL_MANAGEMENT_ID,
    GLOBAL_MANAGEMENT_RULES,
    MANAGEMENT,
    Link,
    anonymous_token,
    global_management,
    management_token,
)
from consulpy.structs.acl_log_entries import Bootstrap, PolicyBatchSet, TokenBatchDelete, TokenBatchSet

#: Seconds between two rounds.
INTERVAL_S: Final = 1.0
#: Maximum tokens in one command.
BATCH: Final = 4096
UPGRADE_BATCH: Final = 128
_SECRETS: Final = SystemRandom()


class AclTasks:
    """The ACL tasks of one term. `master`: the secret of the configured management token, "" for none.
    `write(command)`: submits a command.
    `replication`: copies from the primary datacenter, None in that itself.
    """

    def __init__(
        self,
        store: Store,
        clock: Clock,
        wall_s: Callable[[], float],
        write: Callable[[Command], None],
        *,
        master: str = "",
        rng: Random = _SECRETS,
        replication: AclReplication | None = None,
    ) -> None:
        self._replication = replication
        self._store = store
        self._clock = clock
        self._wall_s = wall_s
        self._write = write
        self._master = master
        self._rng = rng
        self._timer: Timer | None = None

    def first_writes(self) -> list[Command]:
        """Commands for what the state lacks: built-in policies and tokens."""
        if self._replication is not None:
            return []
        acl = self._store.acl
        now = go_time(self._wall_s())
        steps: list[Command] = []
        policy = acl.policies.get(GLOBAL_MANAGEMENT_ID)
        if policy is None or policy.rules != GLOBAL_MANAGEMENT_RULES:
            fresh = global_management()
            if policy is not None:
                fresh = dataclasses.replace(fresh, name=policy.name, description=policy.description)
                fresh.hash = fresh.content_hash()
            steps.append(PolicySet(PolicyBatchSet([fresh])))
        if self._master and acl.token(self._master) is None:
            token = management_token(new_uuid(self._rng), self._master, "Master Token", now)
            can_bootstrap = not acl.reset_index
            steps.append(
                AclBootstrap(Bootstrap(token=token)) if can_bootstrap else TokenSet(TokenBatchSet(tokens=[token]))
            )
        if acl.token(ANONYMOUS_SECRET) is None:
            steps.append(TokenSet(TokenBatchSet(tokens=[anonymous_token(now)])))
        return steps

    def start(self) -> None:
        """Start the rounds."""
        if self._timer is None:
            self._timer = self._clock.callLater(INTERVAL_S, self._look)
        if self._replication is not None:
            self._replication.start()

    def stop(self) -> None:
        """Stop the rounds."""
        if self._replication is not None:
            self._replication.stop()
        cancel_timer(self._timer)
        self._timer = None

    def _look(self) -> None:
        self._timer = self._clock.callLater(INTERVAL_S, self._look)
        self._reap()
        if self._replication is None:
            self._upgrade()

    def _reap(self) -> None:
        """Remove expired tokens."""
        now_s = self._wall_s()
        expired = self._store.acl.expired(now_s, local=True, most=BATCH)
        if self._replication is None:  # global ones are the primary datacenter's
            expired += self._store.acl.expired(now_s, local=False, most=BATCH - len(expired))
        if expired:
            accessors = [token.accessor_id for token in expired]
            self._write(TokenDelete(TokenBatchDelete(accessors)))

    def _upgrade(self) -> None:
        """Write an accessor to legacy tokens (before 1.4), and management tokens among them their policy."""
        rows: list[Any] = []
        for token in self._store.acl.tokens.by("unnamed", "")[:UPGRADE_BATCH]:
            policies = token.policies
            if token.type == MANAGEMENT and not policies:
                policies = [Link(GLOBAL_MANAGEMENT_ID)]
            fresh = dataclasses.replace(token, accessor_id=new_uuid(self._rng), policies=policies, create_index=0)
            fresh.hash = fresh.content_hash()
            rows.append(fresh)
        if rows:
            self._write(TokenSet(TokenBatchSet(tokens=rows, cas=True)))
