"""`consulpy keyring`."""

from typing import Any, Final

from consulpy.cli.command import Invocation, UsageError, command
from consulpy.cli.format import FORMAT, as_json
from consulpy.client import ClientError
from consulpy.codec.printable import printable
from consulpy.gocompat.flag import Flag, switch, whole

#: Action -> HTTP method and first output line.
_ACTIONS: Final = {
    "list": ("GET", "==> Gathering installed encryption keys..."),
    "list-primary": ("GET", "==> Gathering installed primary encryption keys..."),
    "install": ("POST", "==> Installing new gossip encryption key..."),
    "use": ("PUT", "==> Changing primary gossip encryption key..."),
    "remove": ("DELETE", "==> Removing gossip encryption key..."),
}
_RELAYS_MAX: Final = 5


@command(
    "keyring",
    "Manages gossip layer encryption keys",
    usage="keyring [options]",
    about="""
Manages encryption keys used for gossip messages. Gossip encryption is
optional. When enabled, this command may be used to examine active encryption
keys in the cluster, add new keys, and remove old ones. When combined, this
functionality provides the ability to perform key rotation cluster-wide,
without disrupting the cluster.

All operations performed by this command can only be run against server nodes,
and affect both the LAN and WAN keyrings in lock-step.

All variations of the keyring command return 0 if all nodes reply and there
are no errors. If any node fails to reply or reports failure, the exit code
will be 1.
""",
    flags=[
        FORMAT,
        Flag(
            "install",
            "Install a new encryption key. This will broadcast the new key to all members in the cluster.",
            default="",
            placeholder="string",
        ),
        Flag("list", "List all keys currently in use within the cluster.", switch, default=False),
        Flag("list-primary", "List all primary keys currently in use within the cluster.", switch, default=False),
        Flag(
            "local-only",
            "Setting this to true will force the keyring query to only hit local servers (no WAN traffic). This flag "
            "can only be set for list queries.",
            switch,
            default=False,
        ),
        Flag(
            "relay-factor",
            "Setting this to a non-zero value will cause nodes to relay their response to the operation through this "
            "many randomly-chosen other nodes in the cluster. The maximum allowed value is 5.",
            whole,
            default=0,
            placeholder="int",
        ),
        Flag(
            "remove",
            "Remove the given key from the cluster. This operation may only be performed on keys which are not "
            "currently the primary key.",
            default="",
            placeholder="string",
        ),
        Flag(
            "use",
            "Change the primary encryption key, which is used to encrypt messages. The key must already be installed "
            "before this operation can succeed.",
            default="",
            placeholder="string",
        ),
    ],
    uses_agent=True,
)
def keyring(given: Invocation) -> int:
    """Run one key operation on all nodes."""
    chosen = [name for name in _ACTIONS if given.values[name]]
    if not chosen:
        raise UsageError("One of -list, -install, -use and -remove is needed.")
    if len(chosen) > 1:
        given.err("Only a single action is allowed")
        return 1
    relays = given.values["relay-factor"]
    if not 0 <= relays <= _RELAYS_MAX:
        given.err(f"Error parsing relay factor: Relay factor must be in range: [0, {_RELAYS_MAX}]")
        return 1
    method, line = _ACTIONS[chosen[0]]
    local_only = given.values["local-only"]
    if local_only and method != "GET":
        given.err("Error validating local-only: local-only can only be set for list requests")
        return 1
    is_json = given.values["format"] == "json" and method == "GET"
    if not is_json:
        given.out(line)
    key = "" if method == "GET" else given.values[chosen[0]]
    try:
        found = given.client.keyring(method, key, relays, local_only)
    except ClientError as error:
        given.err(f"error: {error}")
        if hint := getattr(error, "hint", ""):
            given.err(hint)
        return 1
    if is_json:
        given.out(as_json(found))
    elif method == "GET":
        for pool in found:
            given.out(_pool(pool, "PrimaryKeys" if chosen[0] == "list-primary" else "Keys"))
    return 0


def _pool(pool: dict[str, Any], which: str) -> str:
    """The keys of one pool with the number of nodes that have each."""
    segment = f" [{pool['Segment']}]" if pool.get("Segment") else ""
    name = "WAN" if pool.get("WAN") else f"{pool['Datacenter']} (LAN){segment}"
    lines = ["", f"{name}:"]
    lines += [f"  {key} [{count}/{pool['NumNodes']}]" for key, count in sorted((pool.get(which) or {}).items())]
    lines += [
        printable(f"{node}: {text}").join(("  ", "")) for node, text in sorted((pool.get("Messages") or {}).items())
    ]
    return "\n".join(lines)
