"""Serf's internal queries (`_serf_*`), which are not delivered as events, and name conflict resolution.

Source: docs/wire/gossip.md 6.5. `_serf_ping` needs only the ack that any query can request.
"""

from collections.abc import Callable

from consulpy.errors import WireError
from consulpy.serf.conflict import CONFLICT, ConflictVote, Verdict, answer_conflict_query
from consulpy.serf.events import QueryEvent
from consulpy.serf.interface import LocalSerf
from consulpy.serf.key_manager import KEY_QUERIES, SaveKeyring, answer_key_query
from consulpy.serf.query import QueryResult


def answer(serf: LocalSerf, event: QueryEvent, save_keyring: SaveKeyring | None) -> None:
    """Respond to an internal query."""

    def respond(reply: bytes) -> None:
        try:
            event.respond(reply)
        except ValueError as error:
            serf.log("warn", f"query {event.name}: {error}")

    if event.name in KEY_QUERIES:
        fits = lambda reply: serf.query_responder.fits(event, reply)  # noqa: E731 - one line says it
        answer_key_query(event.name, event.payload, serf.memberlist.keyring, save_keyring, fits, respond)
    elif event.name == CONFLICT:
        reply = answer_conflict_query(event.payload, serf.members, serf.local_name)
        if reply is not None:
            respond(reply)


def resolve_name_conflict(serf: LocalSerf, lost: Callable[[str], None]) -> None:
    """Query all members for the local name; `lost(why)` if the majority knows another address."""
    contest = ConflictVote(serf.local_member)

    def count(name: str, payload: bytes) -> None:
        try:
            contest.count(payload)
        except WireError as error:
            serf.log("error", f"name conflict: answer of {name}: {error}")

    def decide(_: QueryResult) -> None:
        tally = f"[{contest.matching} / {contest.responses}]"
        serf.log("info", f"name conflict: {contest.verdict.value} {tally}")
        if contest.verdict is Verdict.YIELD:
            lost(f"minority in name conflict resolution {tally}")

    serf.query(CONFLICT, serf.local_name.encode("utf-8", "surrogateescape"), None, count, decide)
