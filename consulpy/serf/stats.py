"""Statistics of a Serf instance, as `consul info` shows them under serf_lan and serf_wan."""

from consulpy.serf.broadcasts import EVENTS, INTENTS, QUERIES
from consulpy.serf.interface import LocalSerf
from consulpy.serf.members import Status


def of(serf: LocalSerf) -> dict[str, str]:
    """Names and values, sorted by name."""
    stats = {
        "members": len(serf.members),
        "failed": serf.membership.count(Status.FAILED),
        "left": serf.membership.count(Status.LEFT),
        "health_score": serf.memberlist.health_score,
        "member_time": serf.ltime.time(),
        "event_time": serf.user_events.ltime.time(),
        "query_time": serf.query_responder.ltime.time(),
        "intent_queue": serf.broadcasts.depth(INTENTS),
        "event_queue": serf.broadcasts.depth(EVENTS),
        "query_queue": serf.broadcasts.depth(QUERIES),
    }
    shown = {name: str(value) for name, value in stats.items()}
    shown["encrypted"] = "true" if serf.memberlist.keyring is not None else "false"
    if serf.coordinates is not None:
        shown["coordinate_resets"] = str(serf.coordinates.resets)
    return dict(sorted(shown.items()))
