"""`consulpy join`."""

import threading
from typing import Final

from consulpy.cli.command import Invocation, UsageError, command
from consulpy.client import ClientError
from consulpy.gocompat.flag import Flag, switch

#: Seconds after which a likely mistake is named before the agent has answered: Consul's waits ten.
HINT_S: Final = 1.5
#: Default ports that are not gossip ports -> their use.
_OTHER_PORTS: Final = {
    "8300": "for calls between servers and agents",
    "8500": "the HTTP API",
    "8501": "the HTTPS API",
    "8502": "gRPC",
    "8600": "DNS",
}


def _port_hint(address: str) -> str:
    host, _, port = address.rpartition(":")
    if not host or port not in _OTHER_PORTS:
        return ""
    return f"Port {port} is {_OTHER_PORTS[port]}; agents are joined on their gossip port: {host}:8301 (WAN: 8302)."


def _tell(given: Invocation, hint: str, is_told: threading.Event) -> None:
    if hint:
        is_told.set()
        given.err(hint)


@command(
    "join",
    "Tell consulpy agent to join cluster",
    usage="join [options] address ...",
    about="""
Tells a running agent (with "consulpy agent") to join the cluster
by specifying at least one existing member.
""",
    flags=[Flag("wan", "Joins a server to another server in the WAN pool.", switch, default=False)],
    uses_agent=True,
)
def join(given: Invocation) -> int:
    """Join each address; one success is enough."""
    if not given.arguments:
        raise UsageError("At least one address to join must be specified.")
    joined, hint = 0, ""
    for address in given.arguments:
        about_port = _port_hint(address)
        is_told = threading.Event()
        timer = threading.Timer(HINT_S, _tell, (given, about_port, is_told))
        timer.daemon = True
        timer.start()
        try:
            given.client.join(address, wan=given.values["wan"])
            joined += 1
        except ClientError as error:
            given.err(f"Error joining address '{address}': {error}")
            hint = getattr(error, "hint", "") or ("" if is_told.is_set() else about_port) or hint
        finally:
            timer.cancel()
    if joined:
        given.out(f"Successfully joined cluster by contacting {joined} nodes.")
        return 0
    given.err("Failed to join any nodes.")
    if hint:
        given.err(hint)
    return 1
