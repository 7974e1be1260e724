"""Help texts in the form of Consul's."""

import textwrap
from collections.abc import Iterable

from consulpy.cli.registry import COMMANDS, GROUPS, Command, Group
from consulpy.config.goflags import Flag

_WIDTH = 67
_COLUMN = 15


def overview() -> str:
    """The list of all commands."""
    listed = {name: one.synopsis for name, one in COMMANDS.items() if " " not in name}
    listed |= {name: one.synopsis for name, one in GROUPS.items() if " " not in name}
    rows = "\n".join(f"    {name:<{_COLUMN}}{listed[name]}" for name in sorted(listed))
    return f"Usage: consulpy [--version] [--help] <command> [<args>]\n\nAvailable commands are:\n{rows}\n"


def of_command(one: Command) -> str:
    """The page of one command."""
    parts = [f"Usage: consulpy {one.usage}", textwrap.indent(one.about.strip("\n"), "  ")]
    for title, flags in (("HTTP API Options", one.client_flags), ("Command Options", one.own_flags)):
        if flags:
            parts += [title, _flags(flags)]
    return "\n\n".join(parts)


def of_group(one: Group) -> str:
    """The page of a word with subcommands."""
    known: dict[str, Command | Group] = {**COMMANDS, **GROUPS}
    inner = {name.removeprefix(f"{one.name} "): known[name] for name in known if name.startswith(f"{one.name} ")}
    names = {name: found for name, found in inner.items() if " " not in name}
    rows = "\n".join(f"    {name:<14}{names[name].synopsis}" for name in sorted(names))
    about = textwrap.indent(one.about.strip("\n"), "  ")
    return f"Usage: consulpy {one.name} <subcommand> [options] [args]\n\n{about}\n\nSubcommands:\n{rows}"


def _flags(flags: Iterable[Flag]) -> str:
    shown = []
    for flag in flags:
        if not flag.hidden:
            value = "" if flag.is_switch else f"=<{flag.placeholder}>"
            text = textwrap.fill(flag.doc, _WIDTH, break_on_hyphens=False)
            shown.append(f"  -{flag.name}{value}\n{textwrap.indent(text, '     ')}")
    return "\n\n".join(shown)
