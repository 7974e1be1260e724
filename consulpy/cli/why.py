"""`consulpy why NODE`: the cause of a member's state, and the history that led to it."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final

from consulpy.cli.command import Invocation, UsageError, command
from consulpy.cli.deadline import Deadline, in_thread
from consulpy.cli.format import FORMAT, as_json
from consulpy.cli.main import say
from consulpy.client import AnswerError, ClientError
from consulpy.codec.printable import printable

#: Refuted suspicions in a row from which they become one line.
_FOLD_FROM: Final = 3
#: How long the command takes at most, in seconds; of that its output and end; how long a verdict takes at least.
LIMIT_S: Final = 5.0
END_S: Final = 0.4
VERDICT_S: Final = 3.2
_DURING_SUSPICION: Final = ("suspicion confirmed", "reached by TCP only")


@command(
    "why",
    "Tells why a member is alive, failed or left",
    usage="why [options] NODE",
    about="""
Shows why a member is alive, failed or left: a cause with what was seen, then
the history: who suspected it and by which probe, who confirmed, whether it
refuted, at which incarnation, and when the agent believed it. Where the
history cannot decide, the agent pings the member, for 3 seconds at most.
The view is the agent's own; ask another agent for its view.
""",
    flags=[FORMAT],
    uses_agent=True,
)
def why(given: Invocation) -> int:
    """Print the verdict, then the events, one a line, the oldest first."""
    if len(given.arguments) != 1:
        raise UsageError("A single node name must be specified.")
    name, client = given.arguments[0], given.client
    wait_s = Deadline(LIMIT_S - END_S).left_s(VERDICT_S)
    try:
        found = in_thread(lambda: client.timeline(name, wait_s)).result(wait_s + 0.1)
    except TimeoutError:
        given.err(f"The agent at {client.settings.address} did not answer in time: see consulpy doctor")
        return 1
    except AnswerError as error:
        if error.status == 404 and "ever seen here" not in error.text:
            given.err("What answers here knows nothing of `why`: ask a consulpy agent (-http-addr)")
            return 1
        if error.status in (301, 404):  # 301: no name of a member, but a path with .. or // in it
            given.err(f"This agent knows nothing of a member {name!r}: see consulpy members")
            return 1
        say(error, "Error asking for the history")
        return 1
    except ClientError as error:
        say(error, "Error asking for the history")
        return 1
    if given.values["format"] == "json":
        given.out(as_json(found))
        return 0
    verdict, events = found["verdict"], found["Events"]
    given.out(printable(f"{name}: {verdict['cause']}"))
    given.out(printable(verdict["text"]))
    for seen in verdict["evidence"]:
        given.out(printable(f"  - {seen}"))
    given.out("")
    if not events:
        given.out(f"Nothing happened to {name} that this agent saw.")
    for shown in folded(events):
        given.out(shown)
    return 0


def folded(events: Sequence[dict[str, Any]]) -> list[str]:
    """A line for each event; a member that was suspected and refuted again and again has one line for all of that."""
    lines: list[str] = []
    at = 0
    while at < len(events):
        ends, end = [], at
        while (after := _after_flap(events, end)) > end:
            end = after
            ends.append(after)
        if len(ends) >= _FOLD_FROM:
            first, last = events[at], events[end - 1]
            accusers = sorted({event["Peer"] for event in events[at:end] if event["What"] == "suspected"})
            lines.append(
                printable(
                    f"{_moment(first['At'])}  flapped     {len(ends)} times suspected and refuted until "
                    f"{_moment(last['At'])}, accused by {', '.join(accusers)}"
                )
            )
            at = end
        else:
            lines.append(line(events[at]))
            at += 1
    return lines


def _after_flap(events: Sequence[dict[str, Any]], at: int) -> int:
    """The place after a suspicion that begins at `at` and was refuted; `at` if there is none."""
    if at >= len(events) or events[at]["What"] != "suspected":
        return at
    end = at + 1
    while end < len(events) and events[end]["What"] in _DURING_SUSPICION:
        end += 1
    return end + 1 if end < len(events) and events[end]["What"] == "alive" else at


def line(event: dict[str, Any]) -> str:
    """One event: time, kind, incarnation, peer and detail."""
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
    """Seconds since 1970 as a UTC time."""
    return datetime.fromtimestamp(at_s, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"
