"""Declaration of commands: name, help and flags in a decorator, one file a command.

    @command("keygen", "Generates a new encryption key", usage="keygen", about="...")
    def keygen(given: Invocation) -> int: ...

A file is imported when its command is run (`cli.loader`), so that small commands start at once.
"""

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

from consulpy.cli.progress import Progress
from consulpy.codec.lazy_dataclass import dataclass
from consulpy.codec.secrets import text_without_secrets
from consulpy.errors import ConfigError
from consulpy.gocompat.flag import Flag, FlagSet, switch

if TYPE_CHECKING:
    from consulpy.client import Client

_CLIENT_FLAGS: Final = (
    Flag(
        "ca-file",
        "Path to a CA file to use for TLS when communicating with Consul. This can also be specified via the "
        "CONSUL_CACERT environment variable.",
    ),
    Flag(
        "ca-path",
        "Path to a directory of CA certificates to use for TLS when communicating with Consul. This can also be "
        "specified via the CONSUL_CAPATH environment variable.",
    ),
    Flag(
        "client-cert",
        "Path to a client cert file to use for TLS when 'verify_incoming' is enabled. This can also be specified via "
        "the CONSUL_CLIENT_CERT environment variable.",
    ),
    Flag(
        "client-key",
        "Path to a client key file to use for TLS when 'verify_incoming' is enabled. This can also be specified via "
        "the CONSUL_CLIENT_KEY environment variable.",
    ),
    Flag(
        "http-addr",
        "The `address` and port of the Consul HTTP agent. The value can be an IP address or DNS address, but it must "
        "also include the port. This can also be specified via the CONSUL_HTTP_ADDR environment variable. The default "
        "value is http://127.0.0.1:8500. The scheme can also be set to HTTPS by setting the environment variable "
        "CONSUL_HTTP_SSL=true.",
        placeholder="address",
    ),
    Flag(
        "tls-server-name",
        "The server name to use as the SNI host when connecting via TLS. This can also be specified via the "
        "CONSUL_TLS_SERVER_NAME environment variable.",
    ),
    Flag(
        "token",
        "ACL token to use in the request. This can also be specified via the CONSUL_HTTP_TOKEN environment variable. "
        "If unspecified, the query will default to the token of the Consul agent at the HTTP address.",
    ),
    Flag(
        "token-file",
        "File containing the ACL token to use in the request instead of one specified via the -token argument or "
        "CONSUL_HTTP_TOKEN environment variable. This can also be specified via the CONSUL_HTTP_TOKEN_FILE environment "
        "variable.",
    ),
)
#: Selectors of Consul Enterprise, which newer scripts give for the default tenant: hidden, and checked.
_TENANCY_FLAGS: Final = (
    Flag("namespace", "Namespaces are a Consul Enterprise feature.", default="", hidden=True),
    Flag("partition", "Partitions are a Consul Enterprise feature.", default="", hidden=True),
)
_SERVER_FLAGS: Final = (
    Flag(
        "datacenter",
        "Name of the datacenter to query. If unspecified, this will default to the datacenter of the queried agent.",
    ),
    Flag(
        "stale",
        "Permit any Consul server (non-leader) to respond to this request. This allows for lower latency and higher "
        "throughput, but can result in stale data. This option has no effect on non-read operations. The default value "
        "is false.",
        switch,
        default=False,
    ),
)


def check_tenancy(values: Mapping[str, Any], environment: Mapping[str, str]) -> None:
    """Refuse namespaces and partitions other than the default one, in flags and in the environment.

    To ignore them would be to answer about something else. Raises `ConfigError`.
    """
    for flag in _TENANCY_FLAGS:
        variable = f"CONSUL_{flag.name.upper()}"
        for name, value in ((f"-{flag.name}", values.get(flag.name)), (variable, environment.get(variable))):
            if value not in (None, "", "default"):
                raise ConfigError(f"{name}={value}: {flag.doc[:-1]}")


class UsageError(Exception):
    """Wrong flags or arguments. The text is Consul's; a pointer to the command's help follows it."""


@dataclass
class Invocation:
    """One call of a command: its flags and arguments, its output, and the agent that it calls."""

    values: dict[str, Any]
    arguments: list[str]

    def out(self, text: str) -> None:
        """Print a line of the result."""
        self.progress.output(sys.stdout)
        print(text, flush=True)

    def err(self, text: str) -> None:
        """Print a line of an error, without secrets."""
        self.progress.output(sys.stderr)
        print(text_without_secrets(text), file=sys.stderr, flush=True)

    @cached_property
    def progress(self) -> Progress:
        """The line that tells a person at a terminal what the command waits for."""
        return Progress()

    @cached_property
    def client(self) -> "Client":
        """The agent that flags and environment point to. Raises `ConfigError`."""
        from consulpy.cli.silence import SilenceWatch
        from consulpy.client import Client, ClientSettings

        settings = ClientSettings.of(self.values, os.environ)
        return Client(settings, self.progress.waiting, SilenceWatch(settings, self.err))

    def no_arguments(self, text: str = "") -> None:
        """Raises `UsageError` if there are arguments; `text`: the command's own words for it."""
        if self.arguments:
            raise UsageError(text or f"Too many arguments (expected 0, got {len(self.arguments)})")

    def one_argument(self, name: str, before: str = "") -> str:
        """The only argument; `name` and `before`: for the text of a `UsageError`."""
        if not self.arguments:
            raise UsageError(f"{before}Missing {name} argument")
        if len(self.arguments) > 1:
            raise UsageError(f"{before}Too many arguments (expected 1, got {len(self.arguments)})")
        return self.arguments[0]

    @property
    def query(self) -> dict[str, Any]:
        """Query parameters of reads: datacenter and consistency."""
        return {"dc": self.values.get("datacenter"), "stale": "" if self.values.get("stale") else None}


@dataclass(frozen=True)
class Command:
    """One command. `name`: one to three words; `usage`: what follows "consulpy " in the first line of its help."""

    name: str
    synopsis: str
    usage: str
    about: str
    run: Callable[[Invocation], int]
    flags: tuple[Flag, ...] = ()
    #: Whether it has the flags of an HTTP client, and those of a read on the servers.
    uses_agent: bool = False
    uses_servers: bool = False
    #: Flags end at the first argument: what follows is a program to run.
    stop_at_argument: bool = False
    #: Parses its flags itself.
    raw: bool = False
    #: Exit status of wrong flags and settings.
    usage_status: int = 1
    #: Makes flags whose import is costly (the agent's).
    more_flags: Callable[[], FlagSet] | None = None

    @property
    def client_flags(self) -> tuple[Flag, ...]:
        """The flags under "HTTP API Options"."""
        flags = (_CLIENT_FLAGS + _TENANCY_FLAGS if self.uses_agent else ()) + (
            _SERVER_FLAGS if self.uses_servers else ()
        )
        return tuple(sorted(flags, key=lambda flag: flag.name))

    @property
    def own_flags(self) -> tuple[Flag, ...]:
        """The flags under "Command Options"."""
        more = tuple(self.more_flags().flags.values()) if self.more_flags else ()
        return tuple(sorted((*self.flags, *more), key=lambda flag: flag.name))

    def flag_set(self) -> FlagSet:
        """All of its flags."""
        flags = FlagSet(stop_at_argument=self.stop_at_argument)
        flags.flags = {flag.name: flag for flag in (*self.client_flags, *self.own_flags)}
        return flags


#: The commands of the files that have been imported, by name.
COMMANDS: Final[dict[str, Command]] = {}


def command(
    name: str, synopsis: str, *, usage: str, about: str, flags: Sequence[Flag] = (), **rest: Any
) -> Callable[[Callable[[Invocation], int]], Callable[[Invocation], int]]:
    """Declare a command; see `Command`."""

    def register(run: Callable[[Invocation], int]) -> Callable[[Invocation], int]:
        COMMANDS[name] = Command(name, synopsis, usage, about, run, tuple(flags), **rest)
        return run

    return register


@dataclass
class Group:
    """A command that only has subcommands."""

    name: str
    synopsis: str
    about: str
    names: list[str] = field(default_factory=list)


GROUPS: Final[dict[str, Group]] = {}


def group(name: str, synopsis: str, about: str) -> None:
    """Declare a group of subcommands."""
    GROUPS[name] = Group(name, synopsis, about)
