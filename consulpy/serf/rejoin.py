"""Rejoin after a restart: the clocks and members of the snapshot. Source: docs/wire/gossip.md 6.11."""

from consulpy.memberlist.member import Address
from consulpy.serf.interface import LocalSerf
from consulpy.serf.snapshot import Replayed
from consulpy.serf.state import State


def load_snapshot(serf: LocalSerf) -> Replayed:
    """Read the snapshot and set the clocks by it. Raises `ConfigError` if it can't be read or written."""
    if serf.snapshot is None:
        return Replayed()
    replayed = serf.snapshot.load()
    for line in replayed.ignored[:10]:
        serf.log("warn", f"snapshot: unrecognized line {line!r}")
    for name in replayed.reset_clocks:
        serf.log("warn", f"snapshot: {name} shows a time that no cluster reaches; the others' times are taken instead")
    serf.ltime.witness(replayed.clock)
    serf.user_events.ltime.witness(replayed.event_clock)
    serf.query_responder.ltime.witness(replayed.query_clock)
    serf.user_events.recent.min_time = replayed.event_clock + 1 if replayed.event_clock else 0
    serf.query_responder.recent.min_time = replayed.query_clock + 1 if replayed.query_clock else 0
    return replayed


class Rejoin:
    """The way back to the members of the snapshot."""

    def __init__(self, serf: LocalSerf) -> None:
        self._serf = serf
        self._began_s = serf.clock.seconds()
        self._is_under_way = False
        self._unmet: set[str] = set()
        self._had_members = False

    def start(self, previous: list[tuple[str, Address]]) -> None:
        """Push/pull with the snapshot's members in turn, until one succeeds. `previous`: names and addresses."""
        self._unmet = {name for name, _ in previous}
        self._had_members = bool(previous)
        if previous:
            self._is_under_way = True
            self._try(previous)

    def is_over(self, least_s: float, most_s: float) -> bool:
        """Whether members that were known before the restart and are none now can be taken for gone.

        Once all of them have been met again; else not while a way back is being tried (an address that does not answer
        takes seconds), nor in the first `least_s`; and in any case after `most_s`.
        """
        self._unmet -= self._serf.members.keys()
        if self._had_members and not self._unmet:
            return True
        passed_s = self._serf.clock.seconds() - self._began_s
        return passed_s >= (most_s if self._is_under_way else least_s)

    def _try(self, previous: list[tuple[str, Address]]) -> None:
        serf = self._serf
        if not previous:
            serf.log("warn", "failed to re-join any previously known node")
        if not previous or serf.state is not State.ALIVE:
            self._is_under_way = False
            return
        (name, address), rest = previous[0], previous[1:]

        def tried(joined: bool) -> None:
            if joined:
                self._is_under_way = False
                serf.log("info", f"re-joined to previously known node: {name}")
            else:
                self._try(rest)

        serf.log("info", f"attempting re-join to previously known node: {name}: {address[0]}:{address[1]}")
        serf.rejoin_member(name, address, tried)
