"""`consulpy connect ...`: the service mesh. Each command has a file of its own."""

from consulpy.cli.command import Invocation, command, group
from consulpy.gocompat.flag import HelpRequested

group(
    "connect",
    "Interact with Consul Connect",
    """
This command has subcommands for interacting with Consul Connect.

Here are some simple examples, and more detailed examples are available
in the subcommands or the documentation.

Run the built-in Connect mTLS proxy

    $ consulpy connect proxy

For more examples, ask for subcommand help or view the documentation.
""",
)

from consulpy.cli import connect_ca, connect_expose, connect_proxy  # noqa: E402

__all__ = ["connect_ca", "connect_expose", "connect_proxy"]


@command(
    "connect envoy",
    "Runs or Configures Envoy as a Connect proxy",
    usage="connect envoy [options]",
    about="""
Not supported: consulpy does not speak Envoy's xDS protocol. The built-in
proxy (consulpy connect proxy) puts mutual TLS and intentions before a TCP
program without any other software.
""",
    raw=True,
)
def envoy(given: Invocation) -> int:
    """Print what replaces Envoy here, whatever the flags."""
    if {"-h", "-help", "--help"} & set(given.arguments):
        raise HelpRequested
    given.err(
        "consulpy connect envoy: Envoy is not supported: no agent here speaks its xDS protocol. The built-in proxy "
        "does mutual TLS and intentions: consulpy connect proxy -sidecar-for ID"
    )
    return 1
