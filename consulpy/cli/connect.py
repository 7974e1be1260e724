"""`consulpy connect ...`: the service mesh. Each command has a file of its own."""

from consulpy.cli.command import group

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

from consulpy.cli import connect_ca  # noqa: E402

__all__ = ["connect_ca"]
