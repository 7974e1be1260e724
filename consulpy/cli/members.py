"""`consulpy members`."""

from typing import Any, Final

from consulpy.cli.command import Invocation, command
from consulpy.cli.format import FILTER, FORMAT, as_json
from consulpy.cli.main import say
from consulpy.cli.table import table
from consulpy.client import ClientError
from consulpy.errors import RPCError
from consulpy.gocompat.flag import Flag, switch
from consulpy.gocompat.regexp import compile_regexp

_STATUS: Final = ("none", "alive", "leaving", "left", "failed")
_KIND: Final = {"node": "client", "consul": "server"}


@command(
    "members",
    "Lists the members of a cluster",
    usage="members [options]",
    about="""
Outputs the members of a running agent.
""",
    flags=[
        FILTER,
        Flag("detailed", "Provides detailed information about nodes.", switch, default=False),
        Flag(
            "segment",
            "(Enterprise-only) If provided, output is filtered to only nodes in the given segment.",
            default="_all",
            placeholder="string",
        ),
        Flag(
            "status",
            "If provided, output is filtered to only nodes matching the regular expression for status.",
            default=".*",
            placeholder="string",
        ),
        Flag(
            "wan",
            "If the agent is in server mode, this can be used to return the other peers in the WAN pool.",
            switch,
            default=False,
        ),
        FORMAT,
    ],
    uses_agent=True,
)
def members(given: Invocation) -> int:
    """Print the members. Exit status 2: none matches, as in Consul."""
    try:
        status = compile_regexp(given.values["status"])
    except RPCError as error:
        given.err(f"Failed to compile status regexp: {error}")
        return 1
    try:
        found = given.client.members(
            wan=given.values["wan"], segment=given.values["segment"], expression=given.values["filter"]
        )
    except ClientError as error:
        say(error, "Error retrieving members")
        return 1
    chosen = [member for member in found if status.matches(_STATUS[member["Status"]])]
    for member in chosen:
        _name_segment(member.setdefault("Tags", {}) or {})
    chosen.sort(key=lambda member: (member["Tags"].get("segment", ""), member["Name"]))
    if given.values["format"] == "json":
        given.out(as_json(chosen))
        return 0 if chosen else 2
    if not chosen:
        return 2
    given.out(_detailed(chosen) if given.values["detailed"] else _standard(chosen))
    return 0


def _name_segment(tags: dict[str, str]) -> None:
    if not tags.get("segment"):
        tags["segment"] = "<default>"
    if tags.get("role") == "consul":
        tags["segment"] = "<all>"


def _address(member: dict[str, Any]) -> str:
    address = member["Addr"]
    return f"[{address}]:{member['Port']}" if ":" in address else f"{address}:{member['Port']}"


def _standard(chosen: list[dict[str, Any]]) -> str:
    rows = []
    for member in chosen:
        tags = member["Tags"]
        first = [member["Name"], _address(member), _STATUS[member["Status"]]]
        kind = _KIND.get(tags.get("role", ""))
        if kind is None:
            rows.append([*first, "unknown", "", "", "", ""])
            continue
        build = tags.get("build", "").partition(":")[0] or "< 0.3"
        rows.append([*first, kind, build, tags.get("vsn", ""), tags.get("dc", ""), tags["segment"]])
    return table(rows, ["Node", "Address", "Status", "Type", "Build", "Protocol", "DC", "Segment"])


def _detailed(chosen: list[dict[str, Any]]) -> str:
    rows = []
    for member in chosen:
        tags = ",".join(f"{name}={member['Tags'][name]}" for name in sorted(member["Tags"]))
        rows.append([member["Name"], _address(member), _STATUS[member["Status"]], tags])
    return table(rows, ["Node", "Address", "Status", "Tags"])
