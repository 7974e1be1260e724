"""Help, and output that cannot be written: every command, without any agent."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from consulpy.cli.command import COMMANDS, GROUPS
from consulpy.cli.loader import load_all
from consulpy.cli.main import main
from tests.harness.effort import some
from tests.peers.cli import ROOT, environment

load_all()


@pytest.fixture(params=["/dev/full", "closed pipe"])
def broken(request: pytest.FixtureRequest) -> Iterator[Any]:
    """A stream that cannot be written to."""
    if request.param == "/dev/full":
        stream: Any = Path("/dev/full").open("w")  # noqa: SIM115 - closed below
    else:
        reading, writing = os.pipe()
        os.close(reading)
        stream = os.fdopen(writing, "w")
    yield stream
    stream.close()


@pytest.mark.parametrize("name", sorted([*COMMANDS, *GROUPS]))
def test_output_that_cannot_be_written_is_an_error_of_one_line(
    name: str, broken: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdout", broken)
    assert main([*name.split(), "-h"]) == 1
    errors = capsys.readouterr().err
    assert "Traceback" not in errors
    assert len(errors.splitlines()) <= 1


WORDS = ("version", "--help", "help", "kv get -h", "members", "nonsense", "kv put x -")
REDIRECTIONS = (">&-", "2>&-", ">&- 2>&- <&-", "> /dev/full", "> /dev/full 2>&1", "2> /dev/full")


@pytest.mark.parametrize(("words", "redirection"), some([*product(WORDS, REDIRECTIONS)]))
def test_no_redirection_brings_a_traceback(words: str, redirection: str) -> None:
    done = subprocess.run(
        ["sh", "-c", f'"{sys.executable}" -m consulpy {words} {redirection}'],
        env={**environment("127.0.0.1"), "CONSUL_HTTP_ADDR": "127.0.0.1:1"},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    assert "Traceback" not in done.stdout + done.stderr
    assert "Exception ignored" not in done.stdout + done.stderr
    assert done.returncode in (0, 1, 127)
    if redirection == "> /dev/full" and words in ("version", "help"):
        assert (done.returncode, done.stderr) == (1, "consulpy: No space left on device\n")


@pytest.mark.parametrize(
    "words", ["kv put x -", "kv import -", "exec -", "config write -", "acl policy create -name a -rules -"]
)
def test_a_closed_standard_input_is_no_empty_one(words: str) -> None:
    done = subprocess.run(
        ["sh", "-c", f'"{sys.executable}" -m consulpy {words} <&-'],
        env={**environment("127.0.0.1"), "CONSUL_HTTP_ADDR": "127.0.0.1:1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "standard input is closed" in done.stderr


def test_a_fault_of_ours_is_a_line_and_a_traceback_only_on_demand(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(_given: object) -> int:
        raise ZeroDivisionError("boom")

    monkeypatch.setitem(COMMANDS, "keygen", COMMANDS["keygen"].__class__(**{**vars(COMMANDS["keygen"]), "run": fail}))
    assert main(["keygen"]) == 1
    assert capsys.readouterr().err.startswith("consulpy: internal error: ZeroDivisionError: boom")
    monkeypatch.setenv("CONSULPY_TRACEBACK", "1")
    with pytest.raises(ZeroDivisionError):
        main(["keygen"])


def test_help_is_a_quick_start_of_one_screen(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["help"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) <= 23, "24 lines with the prompt"
    assert max(map(len, lines)) <= 80


def test_the_quick_start_names_commands_and_flags_that_exist(capsys: pytest.CaptureFixture[str]) -> None:
    main(["help"])
    examples = re.findall(r"consulpy ((?!help)[a-z].*?)(?: {2,}|;|$)", capsys.readouterr().out, re.MULTILINE)
    assert len(examples) >= 12
    for example in examples:
        words = example.split()
        name = max((" ".join(words[:size]) for size in (1, 2, 3) if " ".join(words[:size]) in COMMANDS), key=len)
        assert {word[1:] for word in words if word.startswith("-")} <= COMMANDS[name].flag_set().flags.keys(), example


@pytest.mark.parametrize("name", sorted([*COMMANDS, *GROUPS]))
def test_help_of_a_command_is_its_page(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["help", *name.split()]) == 0
    by_help = capsys.readouterr().out
    main([*name.split(), "-h"])
    assert capsys.readouterr().out == by_help
    assert by_help.startswith("Usage: consulpy ")


def test_help_of_an_unknown_command_names_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["help", "membres"]) == 127
    assert "did you mean members?" in capsys.readouterr().err


#: Commands that print a table, a list or a record.
PRINTING = [
    "catalog datacenters", "catalog nodes", "catalog services", "config list", "event", "info", "intention check",
    "intention get", "intention match", "keyring", "kv get", "maint", "members", "operator autopilot get-config",
    "operator autopilot set-config", "operator autopilot state", "operator raft list-peers",
    "operator raft remove-peer", "operator raft transfer-leader", "rtt", "session create", "session info",
    "session list", "session node", "session renew", "snapshot inspect", "version", "why",
]  # fmt: skip


@pytest.mark.parametrize("name", PRINTING)
def test_what_prints_a_table_or_list_prints_json_too(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    flags = COMMANDS[name].flag_set().flags
    assert flags["format"].default == "pretty"
    mistake = 2 if name in ("intention check", "intention match") else 1  # where 1 says "denied"
    assert main([*name.split(), "-format", "xml"]) == mistake
    assert "expected pretty or json" in capsys.readouterr().err
