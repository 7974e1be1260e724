"""What a damaged write-ahead log has lost: commits behind the first frame that SQLite does not read.

It reads frames up to the first whose checksum is wrong, and takes the rest for a write that a crash cut off. Each of
our commits is flushed before the next one, so that a crash cuts off one at most: a second one behind the damage was
acknowledged. Source: the file format in SQLite's documentation (walformat.html).
"""

import os
import sqlite3
import struct
from contextlib import suppress
from pathlib import Path
from typing import Final

#: Magic number, version, page size, checkpoints, salts; two checksums follow.
_HEADER: Final = struct.Struct(">IIIIII8x")
#: Page number, pages after the commit (0: no commit), salts; two checksums and the page follow.
_FRAME: Final = struct.Struct(">IIII8x")


def write_ahead_of(log: Path) -> Path:
    """The write-ahead log of a database file."""
    return log.with_name(f"{log.name}-wal")


def lost_commits(path: Path, frames: int) -> int:
    """Number of commits of the present generation that stand behind the first `frames` frames, which were read."""
    try:
        with path.open("rb") as file:
            header = file.read(_HEADER.size)
            if len(header) < _HEADER.size:
                return 0
            _, _, page_size, _, *salts = _HEADER.unpack(header)
            commits = 0
            while True:
                file.seek(_HEADER.size + frames * (_FRAME.size + page_size))
                head = file.read(_FRAME.size)
                if len(head) < _FRAME.size:
                    return commits
                _, size, *found = _FRAME.unpack(head)
                commits += size > 0 and found == salts
                frames += 1
    except FileNotFoundError:
        return 0


def close_and_keep(connection: sqlite3.Connection, path: Path) -> None:
    """Close a connection, and keep the write-ahead log that SQLite deletes then: it shows what is wrong."""
    kept = path.with_name(f"{path.name}.kept")
    with suppress(OSError):
        kept.unlink(missing_ok=True)
        os.link(path, kept)
    connection.close()
    with suppress(OSError):
        kept.replace(path)
