"""Imports the files of commands: that of the command to run, or all for help and completion."""

import importlib
import pkgutil
from typing import Final

from consulpy import cli

#: Files of this package that hold no command.
NOT_COMMANDS: Final = frozenset(
    (
        "acl_common",
        "acl_show",
        "command",
        "completion",
        "format",
        "help",
        "loader",
        "main",
        "progress",
        "quick_start",
        "signals",
        "table",
        "unsupported",
    )
)


def load(word: str) -> None:
    """Import the file of one command, if there is one."""
    name = word.replace("-", "_")
    if name.isidentifier() and name in _files():
        importlib.import_module(f"consulpy.cli.{name}")


def load_all() -> None:
    """Import the files of all commands."""
    for name in _files():
        importlib.import_module(f"consulpy.cli.{name}")


def _files() -> set[str]:
    return {found.name for found in pkgutil.iter_modules(cli.__path__)} - NOT_COMMANDS
