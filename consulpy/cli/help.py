"""Help texts in Consul's format."""

import textwrap

from consulpy.cli.command import COMMANDS, GROUPS, Command, Group
from consulpy.gocompat.flag import flags_help

_COLUMN = 15


def overview() -> str:
    """The list of all commands."""
    listed = {name: one.synopsis for name, one in COMMANDS.items() if " " not in name}
    listed |= {name: one.synopsis for name, one in GROUPS.items() if " " not in name}
    rows = "\n".join(f"    {name:<{_COLUMN}}{listed[name]}" for name in sorted(listed))
    return f"Usage: consulpy [--version] [--help] <command> [<args>]\n\nAvailable commands are:\n{rows}\n"


def of_command(one: Command) -> str:
    """The help of a command."""
    parts = [f"Usage: consulpy {one.usage}", textwrap.indent(one.about.strip("\n"), "  ")]
    for title, flags in (("HTTP API Options", one.client_flags), ("Command Options", one.own_flags)):
        if flags:
            parts += [title, flags_help(flags)]
    return "\n\n".join(parts)


def of_group(one: Group) -> str:
    """The help of a group of subcommands."""
    known: dict[str, Command | Group] = {**COMMANDS, **GROUPS}
    inner = {name.removeprefix(f"{one.name} "): known[name] for name in known if name.startswith(f"{one.name} ")}
    names = {name: found for name, found in inner.items() if " " not in name}
    width = max(map(len, names)) + 4  # as Consul's
    rows = "\n".join(f"    {name:<{width}}{names[name].synopsis}" for name in sorted(names))
    about = textwrap.indent(one.about.strip("\n"), "  ")
    return f"Usage: consulpy {one.name} <subcommand> [options] [args]\n\n{about}\n\nSubcommands:\n{rows}"
