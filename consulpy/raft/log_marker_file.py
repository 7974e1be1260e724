"""The file beside the log that says that there is one: `log.begun`.

Msgpack: [whether it is open, servers, term, term of the last vote].

A server whose log is lost starts as one that never had any, under its old id: it would vote a second time in a term,
and lack what it acknowledged. With this file it says so instead. While the log is open its last writes stand in the
write-ahead log only, which may be lost alone.
"""

import os
from contextlib import suppress
from pathlib import Path
from typing import Final

from consulpy.codec.msgpack import pack, unpack
from consulpy.errors import WireError
from consulpy.raft.write_ahead_file import write_ahead_of

NAME: Final = "log.begun"


class LogMarker:
    """The marker in `folder` of the log at `log`. Errors of writing are passed over: the log itself will show them."""

    def __init__(self, log: Path, folder: Path) -> None:
        self._log = log
        self._path = folder / NAME
        self._is_begun = self._path.exists()
        self._is_open, self._servers, self._terms = self._read() if self._is_begun else (False, 0, (0, 0))
        self._is_marked = False

    @property
    def is_of_several(self) -> bool:
        """Whether the log belongs, or may belong, to a quorum of several servers."""
        return self._servers > 1

    def lost(self, *, begins_alone: bool) -> str:
        """Describe the missing part of the log; "" if nothing is missing.

        `begins_alone`: for a quorum of one, which goes on with the rest: no other server counts its votes.
        """
        if not self._is_begun:
            return ""
        if _size(self._log) == 0:
            return "it was written before, and is missing or empty"
        write_ahead = write_ahead_of(self._log)
        if self._is_open and _size(write_ahead) == 0:
            if begins_alone:
                self._is_open = False
                self._write()
                return ""
            return f"the server was killed, and {write_ahead.name} with its last writes is missing or empty"
        return ""

    def forgotten(self, term: int, voted_term: int) -> str:
        """Describe what a log in this term, which last voted in that one, has lost; "" if nothing."""
        if (term, voted_term) >= self._terms or not self.is_of_several:
            return ""
        if term == self._terms[0]:
            return f"it voted in term {self._terms[1]}, and does not know it any more: its last writes are lost"
        return f"it was in term {self._terms[0]} before, and is in {term}: its last writes are lost"

    def written(self, term: int = 0, voted_term: int = 0) -> None:
        """The log was written to since it was opened, and is in this term."""
        if not self._is_marked or (term, voted_term) > self._terms:
            self._is_marked, self._terms = True, max((term, voted_term), self._terms)
            self._is_begun, self._is_open = True, True
            self._write()

    def closed(self) -> None:
        """The log is going to be closed, which makes one file of it."""
        if self._is_marked:
            self._is_open = self._is_marked = False
            self._write()

    def set_servers(self, count: int) -> None:
        """Note the number of servers in the quorum."""
        if count != self._servers:
            self._servers = count
            if self._is_begun:
                self._write()

    def forget(self) -> None:
        """Remove the marker: the log was set aside."""
        self._is_begun = self._is_open = self._is_marked = False
        self._terms = (0, 0)
        self._path.unlink(missing_ok=True)

    def _read(self) -> tuple[bool, int, tuple[int, int]]:
        try:
            is_open, servers, term, voted_term = unpack(self._path.read_bytes())
            return bool(is_open), int(servers), (int(term), int(voted_term))
        except (OSError, WireError, ValueError, TypeError):
            return False, 2, (0, 0)  # not known: nothing is begun anew because of that

    def _write(self) -> None:
        draft = self._path.with_name(f"{self._path.name}.new")
        with suppress(OSError):
            with open(draft, "wb", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
                file.write(pack([self._is_open, self._servers, *self._terms]))
                file.flush()
                os.fsync(file.fileno())
            draft.replace(self._path)
            directory = os.open(self._path.parent, os.O_RDONLY | os.O_DIRECTORY)
            try:
                os.fsync(directory)
            finally:
                os.close(directory)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
