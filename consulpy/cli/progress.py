"""Progress of a command, in one line on standard error that is erased again; only on a terminal.

Written by a thread, as the command itself waits in a system call. There are no colours and no escape sequences: the
line is overwritten with blanks.
"""

import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

#: Silence on the terminal after which the line is shown, and how often it is updated, in seconds.
SILENCE_S: Final = 1.0
_UPDATE_S: Final = 0.25
#: The width of a terminal that does not know its own.
_COLUMNS: Final = 80


class Progress:
    """The progress line of one command. `stream`: where it is written, if that is a terminal."""

    def __init__(self, stream: Any = None) -> None:
        self._stream = sys.stderr if stream is None else stream
        self._is_terminal = _is_terminal(self._stream)
        self._lock = threading.Lock()
        self._waiting = 0
        self._since_s = self._last_output_s = _now_s()
        self._shown = ""
        self._is_disabled = False
        self._thread: threading.Thread | None = None
        self.text = "Waiting for the agent"

    @contextmanager
    def waiting(self, text: str = "") -> Iterator[None]:
        """The line may be shown meanwhile, with `text` (else the present one) and the seconds that have passed."""
        if not self._is_terminal:
            yield
            return
        with self._lock:
            before, self.text = self.text, text or self.text
            if not self._waiting:
                self._since_s = _now_s()
            self._waiting += 1
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="progress", daemon=True)
                self._thread.start()
        try:
            yield
        finally:
            with self._lock:
                self._waiting -= 1
                self.text = before
                if not self._waiting:
                    self._erase()

    def output(self, stream: Any) -> None:
        """Erase the line, as text is about to be written to `stream`; silence begins anew if that is a terminal."""
        if not self._is_terminal:
            return
        with self._lock:
            self._erase()
            if _is_terminal(stream):
                self._last_output_s = _now_s()

    def disable(self) -> None:
        """Show nothing from now on."""
        with self._lock:
            self._erase()
            self._is_disabled = True

    def _run(self) -> None:
        while True:
            time.sleep(_UPDATE_S)
            with self._lock:
                now_s = _now_s()
                silent_s = now_s - max(self._last_output_s, self._since_s)
                if self._waiting and not self._is_disabled and silent_s >= SILENCE_S:
                    self._show(f"{self.text}: {now_s - self._since_s:.0f} s")

    def _show(self, text: str) -> None:
        text = text[: _columns(self._stream) - 1]
        if text == self._shown:
            return
        self._write("\r" + text.ljust(len(self._shown)))
        self._shown = text

    def _erase(self) -> None:
        if self._shown:
            self._write("\r" + " " * len(self._shown) + "\r")
            self._shown = ""

    def _write(self, text: str) -> None:
        try:
            self._stream.write(text)
            self._stream.flush()
        except (OSError, ValueError):  # the terminal is gone: the command goes on without
            self._is_terminal = False
            self._waiting = 0


def _is_terminal(stream: Any) -> bool:
    try:
        return stream is not None and bool(stream.isatty())
    except ValueError:  # closed
        return False


def _columns(stream: Any) -> int:
    try:
        return os.get_terminal_size(stream.fileno()).columns or _COLUMNS
    except OSError:
        return _COLUMNS


def _now_s() -> float:
    return time.monotonic()  # noqa: TID251 - a command has the world's clock
