"""`consulpy why NODE`: the history that led to a member's state, which no other agent can tell."""

from datetime import UTC, datetime
from typing import Any

from consulpy.cli.command import Invocation, UsageError, command
from consulpy.cli.format import FORMAT, as_json
from consulpy.cli.main import say
from consulpy.client import AnswerError, ClientError
from consulpy.codec.printable import printable


@command(
    "why",
    "Tells what the agent saw of a member: suspicions, probes, refutations",
    usage="why [options] NODE",
    about="""
Shows why a member is alive, failed or left: who suspected it and by which
probe, who confirmed, whether it refuted, at which incarnation, and when the
agent believed it. The history is the agent's own; ask another agent for its
view.
""",
    flags=[FORMAT],
    asks_agent=True,
)
def why(given: Invocation) -> int:
    """One line for each event, the oldest first."""
    if len(given.arguments) != 1:
        raise UsageError("A single node name must be specified.")
    name = given.arguments[0]
    try:
        events = given.client.timeline(name)
    except AnswerError as error:
        if error.status == 404:
            given.err(f"This agent knows nothing of a member {name!r}: see consulpy members")
            return 1
        say(error, "Error asking for the history")
        return 1
    except ClientError as error:
        say(error, "Error asking for the history")
        return 1
    if given.values["format"] == "json":
        given.out(as_json(events))
        return 0
    if not events:
        given.out(f"Nothing happened to {name} that this agent saw.")
    for event in events:
        given.out(line(event))
    return 0


def line(event: dict[str, Any]) -> str:
    """Time, what happened, who said it, and how it was found out."""
    peer = f"by {event['Peer']}" if event.get("Peer") else ""
    parts = (
        _moment(event["At"]),
        f"{event['What']:<10}",
        f"incarnation {event['Incarnation']}",
        peer,
        event.get("Detail"),
    )
    return printable("  ".join(part for part in parts if part).rstrip())


def _moment(at_s: float) -> str:
    """The agent's clock counts seconds since 1970."""
    return datetime.fromtimestamp(at_s, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"
