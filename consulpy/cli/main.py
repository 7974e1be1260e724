"""The command line: finds the command, parses its flags and runs it. An error is one line, never a traceback."""

import errno
import io
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Final

from consulpy.cli.command import COMMANDS, GROUPS, Command, Invocation, UsageError, check_tenancy
from consulpy.cli.loader import load, load_all
from consulpy.codec.secrets import text_without_secrets
from consulpy.errors import ConfigError, ConsulpyError
from consulpy.gocompat.flag import HelpRequested

#: Environment variable that has tracebacks shown, for developers.
_TRACEBACK: Final = "CONSULPY_TRACEBACK"


def main(argv: Sequence[str] | None = None) -> int:
    """Run `consulpy ARGV`; the exit status."""
    words = list(sys.argv[1:] if argv is None else argv)
    _open_standard_streams()
    if "_ARGCOMPLETE" in os.environ:
        from consulpy.cli.completion import complete

        complete()
    try:
        status = _dispatch(words)
        sys.stdout.flush()
        return status
    except KeyboardInterrupt as interrupt:
        return getattr(interrupt, "exit_status", 130)
    except BrokenPipeError:  # the reader of the output has closed it
        _discard(sys.stdout)
        return 1
    except Exception as error:
        _discard(sys.stdout)
        return _failed(error)


def _failed(error: Exception) -> int:
    """Report an error that no command has handled; the exit status."""
    if os.environ.get(_TRACEBACK):
        raise error
    if isinstance(error, OSError):
        where = f"{error.filename}: " if error.filename else ""
        text = f"{where}{error.strerror or error}"
    else:
        text = f"internal error: {type(error).__name__}: {error} (a traceback: {_TRACEBACK}=1)"
    try:
        print(text_without_secrets(f"consulpy: {text}"), file=sys.stderr, flush=True)
    except (OSError, ValueError):  # nothing can be written there either
        _discard(sys.stderr)
    return 1


class _ClosedInput(io.RawIOBase):
    """Standard input that was closed: reading it is an error, not an empty text."""

    def readable(self) -> bool:
        """Reading says what is wrong."""
        return True

    def readinto(self, _space: Any) -> int:
        """Raise `OSError`."""
        raise OSError(errno.EBADF, "standard input is closed")


def _open_standard_streams() -> None:
    """Open /dev/null for standard streams that were closed (`>&-`), for which Python has None; print any text."""
    for descriptor, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        if getattr(sys, name) is None:
            opened = os.open(os.devnull, os.O_RDWR)
            if opened != descriptor:
                os.dup2(opened, descriptor)
                os.close(opened)
            setattr(sys, name, open(descriptor, mode, encoding="utf-8", closefd=False))  # noqa: SIM115 - for good
            if name == "stdin":
                sys.stdin = io.TextIOWrapper(io.BufferedReader(_ClosedInput()), encoding="utf-8")
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="surrogateescape" if stream.encoding.lower() == "utf-8" else "backslashreplace")


def _discard(stream: Any) -> None:
    """Send what is buffered for a stream that fails to /dev/null, so that the interpreter's end does not fail too."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _dispatch(words: list[str]) -> int:
    if words and words[0] in ("-v", "-version", "--version"):
        words[0] = "version"
    if words and words[0] in ("-autocomplete-install", "-autocomplete-uninstall"):
        from consulpy.cli.completion import install

        return install(remove=words[0] == "-autocomplete-uninstall")
    if words and words[0] == "help":
        return _help(words[1:])
    if not words or words[0] in ("-h", "-help", "--help"):
        load_all()
        from consulpy.cli.help import overview

        print(overview())
        return 0 if words else 127
    load(words[0])
    if words[0] in GROUPS:
        return _in_group(words)
    found = COMMANDS.get(words[0])
    if found is None:
        return _unsupported(words) or _unknown(words[0])
    return run(found, words[1:])


def _help(words: list[str]) -> int:
    """`help`: the quick start; `help COMMAND`: the same as `COMMAND -h`."""
    if words:
        return _dispatch([*(word for word in words if not word.startswith("-")), "-h"])
    from consulpy.cli.quick_start import QUICK_START

    print(QUICK_START)
    return 0


def run(found: Command, words: Sequence[str]) -> int:
    """Run one command with its words; the exit status."""
    try:
        values, arguments = ({}, list(words)) if found.raw else found.flag_set().parse(words)
        if found.uses_agent:
            check_tenancy(values, os.environ)
        return found.run(Invocation(values, arguments))
    except HelpRequested:
        from consulpy.cli.help import of_command

        print(of_command(found))
        return 0
    except UsageError as mistake:
        print(f"{mistake}\n\nFor help: consulpy {found.name} -h", file=sys.stderr)
    except ConfigError as error:
        print(text_without_secrets(str(error)), file=sys.stderr)
    except ConsulpyError as error:
        say(error, "Error")
    return found.usage_status


def say(error: ConsulpyError, before: str) -> None:
    """Print an error of the client, after `before`, and what to do about it where that is known."""
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
    if _unsupported(words):
        return 1
    wants_help = len(words) > size and words[size] in ("-h", "-help", "--help")
    print(of_group(GROUPS[" ".join(words[:size])]), file=sys.stdout if wants_help else sys.stderr)
    return 0 if wants_help else 1


def _unsupported(words: list[str]) -> int:
    """Print why a command of other versions is not served; 1 if it is one of those."""
    from consulpy.cli.unsupported import reason

    why = reason(words)
    if why:
        print(why, file=sys.stderr)
    return 1 if why else 0


def _unknown(word: str) -> int:
    import difflib

    load_all()
    from consulpy.cli.help import overview

    near = difflib.get_close_matches(word, [*COMMANDS, *GROUPS], n=1)
    hint = f"; did you mean {near[0]}?" if near else ""
    print(f"consulpy has no command {word!r}{hint}\n\n{overview()}", file=sys.stderr)
    return 127
