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


def rejoin(serf: LocalSerf, previous: list[tuple[str, Address]]) -> None:
    """Push/pull with the snapshot's members in turn, until one succeeds. `previous`: names and addresses."""
    if not previous:
        serf.log("warn", "failed to re-join any previously known node")
        return
    if serf.state is not State.ALIVE:
        return
    (name, address), rest = previous[0], previous[1:]

    def tried(joined: bool) -> None:
        if joined:
            serf.log("info", f"re-joined to previously known node: {name}")
        else:
            rejoin(serf, rest)

    serf.log("info", f"attempting re-join to previously known node: {name}: {address[0]}:{address[1]}")
    serf.rejoin_member(name, address, tried)
