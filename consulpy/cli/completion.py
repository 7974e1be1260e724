"""Shell completion, by argcomplete."""

import argparse
import os
from pathlib import Path
from typing import Final

_MARK: Final = "# consulpy's completion"
#: The line of a shell's start file that enables completion.
_LINE: Final = 'eval "$(register-python-argcomplete consulpy)"'


def complete() -> None:
    """Print completions for the shell and exit; called when argcomplete's variables are set."""
    import argcomplete

    argcomplete.autocomplete(parser(), default_completer=argcomplete.completers.FilesCompleter())


def parser() -> argparse.ArgumentParser:
    """An argparse parser of all commands and flags, for completion only."""
    from consulpy.cli.command import COMMANDS, GROUPS, Command
    from consulpy.cli.loader import load_all

    def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]", word: str, one: Command) -> None:
        made = commands.add_parser(word, add_help=False, allow_abbrev=False)
        for flag in one.flag_set().flags.values():
            if not flag.hidden:
                made.add_argument(f"-{flag.name}", action="store_true" if flag.is_switch else "store", dest=flag.name)
        made.add_argument("arguments", nargs="*")

    load_all()
    root = argparse.ArgumentParser(prog="consulpy", add_help=False)
    commands = root.add_subparsers()
    for name, one in sorted(COMMANDS.items()):
        if " " not in name:
            add(commands, name, one)
    groups = {"": commands}
    for name in sorted(GROUPS):  # outer ones before inner ones
        outer, _, word = name.rpartition(" ")
        groups[name] = groups[outer].add_parser(word, add_help=False).add_subparsers()
    for name, one in sorted(COMMANDS.items()):
        outer, _, word = name.rpartition(" ")
        if outer:
            add(groups[outer], word, one)
    return root


def install(remove: bool) -> int:
    """Add the completion line to the shell's start file, or remove it; the exit status."""
    shell = Path(os.environ.get("SHELL", "")).name
    files = {"bash": ".bashrc", "zsh": ".zshrc"}
    if shell not in files:
        print(f"Put this line into the start file of your shell: {_LINE}")
        return 0
    path = Path.home() / files[shell]
    line = f"{_LINE}  {_MARK}\n"
    if shell == "zsh":
        line = f"autoload -U bashcompinit && bashcompinit && {line}"
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    lines = "".join(row for row in text.splitlines(keepends=True) if _MARK not in row)
    if not remove:
        lines += ("" if not lines or lines.endswith("\n") else "\n") + line
    path.write_text(lines, encoding="utf-8")
    print(f"Completion {'removed from' if remove else 'written to'} {path}; it counts in new shells.")
    return 0
