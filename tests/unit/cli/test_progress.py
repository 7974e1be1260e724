"""The progress line: on a terminal alone, after a silence, gone when something is printed."""

import io
import sys
import time

import pytest

from consulpy.cli import progress
from consulpy.cli.command import Invocation
from consulpy.cli.progress import Progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "SILENCE_S", 0.0)
    monkeypatch.setattr(progress, "_UPDATE_S", 0.001)


def until_shown(stream: io.StringIO, text: str) -> None:
    deadline_s = time.monotonic() + 5
    while text not in stream.getvalue() and time.monotonic() < deadline_s:
        time.sleep(0.001)
    assert text in stream.getvalue()


def on_screen(text: str) -> str:
    """What is left on the line after carriage returns and what overwrites it."""
    line: list[str] = []
    column = 0
    for char in text.rpartition("\n")[2]:
        if char == "\r":
            column = 0
            continue
        line[column : column + 1] = [char]
        column += 1
    return "".join(line).strip()


def test_a_wait_is_shown_and_erased() -> None:
    terminal = Terminal()
    shown = Progress(terminal)
    with shown.waiting("Restoring 3.0 MB"):
        until_shown(terminal, "Restoring 3.0 MB: 0 s")
    assert on_screen(terminal.getvalue()) == ""


def test_a_short_wait_shows_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "SILENCE_S", 60.0)
    terminal = Terminal()
    with Progress(terminal).waiting("Restoring"):
        time.sleep(0.02)
    assert terminal.getvalue() == ""


def test_nothing_is_written_where_there_is_no_terminal() -> None:
    stream = io.StringIO()
    with Progress(stream).waiting("Restoring"):
        time.sleep(0.02)
    assert stream.getvalue() == ""


def test_a_line_of_output_never_follows_the_progress_on_its_line(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    monkeypatch.setattr(sys, "stderr", terminal)
    given = Invocation({}, [])
    with given.progress.waiting("Importing"):
        until_shown(terminal, "Importing")
        monkeypatch.setattr(progress, "SILENCE_S", 60.0)
        given.out("Imported: a")
    lines = terminal.getvalue().split("\n")
    assert on_screen(lines[0]).startswith("Imported: a")
    assert on_screen(lines[0]).removeprefix("Imported: a").strip() == ""


def test_an_inner_wait_keeps_the_outer_text() -> None:
    terminal = Terminal()
    shown = Progress(terminal)
    with shown.waiting("Importing"), shown.waiting():
        until_shown(terminal, "Importing")


def test_a_disabled_line_is_not_shown() -> None:
    terminal = Terminal()
    shown = Progress(terminal)
    shown.disable()
    with shown.waiting("Restoring"):
        time.sleep(0.02)
    assert terminal.getvalue() == ""
