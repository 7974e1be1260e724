"""`consulpy why NODE`: the history that led to a member's state, which no other agent can tell."""

import json
from datetime import UTC, datetime
from typing import Any

from consulpy.cli.main import say
from consulpy.cli.members import FORMAT
from consulpy.cli.registry import Given, Mistake, command
from consulpy.client import AnswerError, ClientError


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
def why(given: Given) -> int:
    """One line for each event, the oldest first."""
    if len(given.arguments) != 1:
        raise Mistake("A single node name must be specified.")
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
        given.out(json.dumps(events, indent=4))
        return 0
    if not events:
        given.out(f"Nothing happened to {name} that this agent saw.")
    for event in events:
        given.out(line(event))
    return 0


def line(event: dict[str, Any]) -> str:
    """Time, what happened, and its details."""
    rest = dict(event)
    moment = next((rest.pop(name) for name in ("Time", "At", "time", "at_s", "at") if name in rest), "")
    kind = next((rest.pop(name) for name in ("Kind", "Event", "kind", "event") if name in rest), "")
    details = " ".join(f"{name}={value}" for name, value in rest.items() if value not in (None, "", []))
    return "  ".join(part for part in (_moment(moment), f"{kind:<10}" if details else str(kind), details) if part)


def _moment(value: object) -> str:
    if isinstance(value, int | float) and value > 1_000_000_000:
        return datetime.fromtimestamp(value, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"
    return f"{value:.3f}" if isinstance(value, float) else str(value)
