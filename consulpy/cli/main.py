"""The command line: finds the command, reads its flags, runs it; errors are lines, never tracebacks."""

import os
import sys
from collections.abc import Sequence
from typing import Final

from consulpy.cli.command import COMMANDS, GROUPS, Command, Invocation, UsageError
from consulpy.cli.loader import load, load_all
from consulpy.codec.secrets import text_without_secrets
from consulpy.errors import ConfigError, ConsulpyError
from consulpy.gocompat.flag import HelpWanted

#: Commands of Consul that consulpy does not have yet -> what they are for.
_NOT_YET: Final = {
    "connect": "Connect's certificates and proxies are",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run `consulpy ARGV`; the exit status."""
    words = list(sys.argv[1:] if argv is None else argv)
    if "_ARGCOMPLETE" in os.environ:
        from consulpy.cli.completion import complete

        complete()
    try:
        status = _dispatch(words)
        sys.stdout.flush()
        return status
    except KeyboardInterrupt as interrupt:
        return getattr(interrupt, "exit_status", 130)
    except BrokenPipeError:  # the reader of our output has gone
        _discard_output()
        return 1
    except OSError as error:
        _discard_output()
        where = f"{error.filename}: " if error.filename else ""
        print(f"consulpy: {where}{error.strerror or error}", file=sys.stderr)
        return 1


def _discard_output() -> None:
    """What is buffered for an output that fails is not tried again when the interpreter ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _dispatch(words: list[str]) -> int:
    if words and words[0] in ("-v", "-version", "--version"):
        words[0] = "version"
    if words and words[0] in ("-autocomplete-install", "-autocomplete-uninstall"):
        from consulpy.cli.completion import install

        return install(remove=words[0] == "-autocomplete-uninstall")
    if not words or words[0] in ("-h", "-help", "--help", "help"):
        load_all()
        from consulpy.cli.help import overview

        print(overview())
        return 0 if words else 127
    if words[0] in _NOT_YET:
        print(f"consulpy {words[0]}: {_NOT_YET[words[0]]} not supported yet", file=sys.stderr)
        return 1
    load(words[0])
    if words[0] in GROUPS:
        return _in_group(words)
    found = COMMANDS.get(words[0])
    if found is None:
        return _unknown(words[0])
    return run(found, words[1:])


def run(found: Command, words: Sequence[str]) -> int:
    """Run one command with its words; the exit status."""
    try:
        values, arguments = ({}, list(words)) if found.raw else found.flag_set().parse(words)
        return found.run(Invocation(values, arguments))
    except HelpWanted:
        from consulpy.cli.help import of_command

        print(of_command(found))
        return 0
    except UsageError as mistake:
        print(f"{mistake}\n\nFor help: consulpy {found.name} -h", file=sys.stderr)
    except ConfigError as error:
        print(text_without_secrets(str(error)), file=sys.stderr)
    except ConsulpyError as error:
        say(error, "Error")
    return 1


def say(error: ConsulpyError, before: str) -> None:
    """An error of the client, with what to do about it where that is known."""
    print(text_without_secrets(f"{before}: {error}"), file=sys.stderr)
    hint = getattr(error, "hint", "")
    if hint:
        print(hint, file=sys.stderr)


def _in_group(words: list[str]) -> int:
    from consulpy.cli.help import of_group

    size = max(size for size in (1, 2) if " ".join(words[:size]) in GROUPS)
    found = COMMANDS.get(" ".join(words[: size + 1]))
    if found is not None:
        return run(found, words[size + 1 :])
    wants_help = len(words) > size and words[size] in ("-h", "-help", "--help")
    print(of_group(GROUPS[" ".join(words[:size])]), file=sys.stdout if wants_help else sys.stderr)
    return 0 if wants_help else 1


def _unknown(word: str) -> int:
    import difflib

    load_all()
    from consulpy.cli.help import overview

    near = difflib.get_close_matches(word, [*COMMANDS, *GROUPS], n=1)
    hint = f"; did you mean {near[0]}?" if near else ""
    print(f"consulpy has no command {word!r}{hint}\n\n{overview()}", file=sys.stderr)
    return 127
