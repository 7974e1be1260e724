"""`consulpy rtt`."""

import math
from typing import Any

from consulpy.cli.command import Invocation, UsageError, command
from consulpy.cli.format import FORMAT, as_json
from consulpy.cli.main import say
from consulpy.client import ClientError
from consulpy.gocompat.flag import Flag, switch


@command(
    "rtt",
    "Estimates network round trip time between nodes",
    usage="rtt [options] node1 [node2]",
    about="""
Estimates the round trip time between two nodes using the network
coordinate model of the cluster.

At least one node name is required. If the second node name isn't given, it
is set to the agent's node name. Note that these are node names as known to
the agent as "consulpy members" would show, not IP addresses.

By default, the two nodes are assumed to be nodes in the local datacenter
and the LAN coordinates are used. If the -wan option is given, then the WAN
coordinates are used, and the node names must be suffixed by a period and
the datacenter (eg. "myserver.dc1").

It is not possible to measure between LAN coordinates and WAN coordinates
because they are maintained by independent Serf gossip areas, so they are
not compatible.
""",
    flags=[FORMAT, Flag("wan", "Use WAN coordinates instead of LAN coordinates.", switch, default=False)],
    uses_agent=True,
)
def rtt(given: Invocation) -> int:
    """Print the estimated round trip between two nodes."""
    if not 1 <= len(given.arguments) <= 2:
        raise UsageError("One or two node names must be specified")
    wan = given.values["wan"]
    try:
        names = list(given.arguments)
        if len(names) == 1:
            names.append(_own_name(given, wan))
        if wan and not all("." in name for name in names):
            given.err("Node names must be specified as <node name>.<datacenter> with -wan")
            return 1
        known = _wan_coordinates(given) if wan else {one["Node"]: one["Coord"] for one in given.client.coordinates()}
    except ClientError as error:
        say(error, "Error getting coordinates")
        return 1
    for name in names:
        if name not in known:
            given.err(f'Could not find a coordinate for node "{name}"')
            return 1
    took_ms = distance_s(known[names[0]], known[names[1]]) * 1000
    pool = "WAN" if wan else "LAN"
    if given.values["format"] == "json":
        given.out(as_json({"From": names[0], "To": names[1], "RTTMilliseconds": round(took_ms, 3), "Pool": pool}))
        return 0
    given.out(f"Estimated {names[0]} <-> {names[1]} rtt: {took_ms:.3f} ms (using {pool} coordinates)")
    return 0


def distance_s(one: dict[str, Any], other: dict[str, Any]) -> float:
    """Estimated round trip in seconds (Vivaldi: docs/wire/gossip.md 8)."""
    apart = math.dist(one["Vec"], other["Vec"]) + one["Height"] + other["Height"]
    adjusted = apart + one["Adjustment"] + other["Adjustment"]
    return float(adjusted if adjusted > 0 else apart)


def _own_name(given: Invocation, wan: bool) -> str:
    config = given.client.self_report()["Config"]
    return f"{config['NodeName']}.{config['Datacenter']}" if wan else str(config["NodeName"])


def _wan_coordinates(given: Invocation) -> dict[str, dict[str, Any]]:
    return {
        f"{one['Node']}.{pool['Datacenter']}": one["Coord"]
        for pool in given.client.wan_coordinates()
        for one in pool.get("Coordinates") or []
    }
