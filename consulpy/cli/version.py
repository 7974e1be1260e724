"""`consulpy version`."""

from consulpy import CONSUL_VERSION, VERSION
from consulpy.cli.command import Invocation, command
from consulpy.cli.format import FORMAT, as_json


@command(
    "version",
    "Prints the version",
    usage="version [options]",
    about="""
Version prints the version of this program, of Consul whose wire it speaks,
and of the protocol.
""",
    flags=[FORMAT],
)
def version(given: Invocation) -> int:
    """Print the versions of this program and of the Consul whose protocols it speaks."""
    if given.values["format"] == "json":
        # tools compare Version with what they need of Consul
        known = {"Version": CONSUL_VERSION, "Revision": "", "Prerelease": "", "RPC": {"Default": 2, "Min": 2, "Max": 3}}
        given.out(as_json(known | {"Consulpy": VERSION}))
        return 0
    given.out(f"consulpy v{VERSION}")
    given.out(f"Speaks the protocols of Consul v{CONSUL_VERSION}")
    given.out(
        "Protocol 2 spoken by default, understands 2 to 3 (agent will automatically use protocol >2 when speaking to "
        "compatible agents)"
    )
    given.out("")
    return 0
