"""Flood joining: the servers of a datacenter are brought into one WAN pool by each other.

When a server appears in the LAN pool, and once a minute, every alive LAN server that the WAN pool lacks is joined at
its LAN address and `wan_join_port`. Source: docs/wire/gossip.md 9.1.
"""

from collections.abc import Callable, Sequence
from typing import Final, Protocol

from consulpy.clock import Clock, Timer, cancel_timer
from consulpy.log import Logger
from consulpy.memberlist.member import JoinTarget
from consulpy.rpc.server_metadata import server_of
from consulpy.serf.members import Member, Status

#: Seconds between two looks for servers that are missing, as in Consul.
INTERVAL_S: Final = 60.0

_log = Logger()


class Members(Protocol):
    """The part of `Serf` that is read of both pools."""

    @property
    def members(self) -> dict[str, Member]:
        """All members by name, gone ones included."""


class WanPool(Members, Protocol):
    """The part of `Serf` that is used of the WAN pool."""

    def join(self, targets: Sequence[JoinTarget], ignore_old: bool, done: Callable[[int, list[str]], None]) -> None:
        """Join through each of `targets`; `done(joined, errors)`."""


class FloodJoin:
    """Joins the LAN's servers to the WAN pool, one round at a time."""

    def __init__(self, clock: Clock, lan: Members, wan: WanPool, datacenter: str) -> None:
        self._clock = clock
        self._lan = lan
        self._wan = wan
        self._datacenter = datacenter
        self._timer: Timer | None = None
        #: The names that this round has tried; empty: no round is under way.
        self._tried: set[str] = set()
        self._is_stopped = False

    def start(self) -> None:
        """Compare the pools now and every `INTERVAL_S`."""
        self._timer = self._clock.callLater(INTERVAL_S, self.start)
        self.look()

    def stop(self) -> None:
        """Start no further join."""
        self._is_stopped = True
        cancel_timer(self._timer)

    def look(self) -> None:
        """Join the servers that are missing. A round goes on while others appear, and tries each once."""
        if not self._tried:
            self._round()

    def _round(self) -> None:
        targets = [] if self._is_stopped else self._missing()
        self._tried = self._tried | {target.name for target in targets} if targets else set()
        if targets:
            self._wan.join(targets, True, self._joined)

    def _missing(self) -> list[JoinTarget]:
        targets = []
        for member in self._lan.members.values():
            server = server_of(member) if member.status is Status.ALIVE else None
            if server is None or server.datacenter != self._datacenter or not server.wan_join_port:
                continue
            name = f"{member.name}.{self._datacenter}"
            known = self._wan.members.get(name)
            if name not in self._tried and (known is None or known.status is not Status.ALIVE):
                targets.append(JoinTarget((member.address, server.wan_join_port), name))
        return targets

    def _joined(self, count: int, errors: list[str]) -> None:
        for error in errors:
            _log.debug("flood join: {error}", error=error)
        if count:
            _log.info("servers joined to the WAN pool: {count}", count=count)
        self._round()
