"""The data directory of a real server, read so that ours goes on in its place (docs/wire/raft.md 20).

    raft/raft.db                                term, vote, log (`consulpy.raft.boltdb`)
    raft/snapshots/<term>-<index>-<ms>/         meta.json, state.bin; the newest one that is whole counts

Once its content is stored in our own file the folder gets another name: the real program must not start on it again,
for it would not know how we voted.
"""

import fcntl
import json
import mmap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from consulpy.codec.lazy_dataclass import dataclass
from consulpy.errors import ConfigError, ConsulpyError, WireError
from consulpy.raft.boltdb import read_raft_db
from consulpy.raft.configuration import Configuration, Server
from consulpy.raft.messages import LogEntry
from consulpy.raft.storage import HardState, SnapshotMeta
from consulpy.state import archive

FOLDER: Final = "raft"
#: What becomes of the folder.
TAKEN_OVER: Final = "raft.taken-over"
#: What newer versions keep their log in; it is not read.
_NEWER: Final = ("wal", "wal-meta.db")


@dataclass(slots=True)
class RealServer:
    """Contents of a real server's files. `records`: of the snapshot, if there is one."""

    hard_state: HardState
    snapshot: SnapshotMeta | None
    records: list[bytes]
    entries: list[LogEntry]


def is_real_server(data_dir: Path) -> bool:
    """Whether a real server's log is here."""
    folder = data_dir / FOLDER
    return any((folder / name).exists() for name in ("raft.db", "peers.info", "snapshots", *_NEWER))


@contextmanager
def locked(data_dir: Path) -> Iterator[None]:
    """Hold the lock that a real server has on its log while it runs, so that it can't start meanwhile.

    Raises `ConfigError` if one runs.
    """
    try:
        file = (data_dir / FOLDER / "raft.db").open("rb")
    except OSError:  # there is none, or reading it says what is wrong
        yield
        return
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ConfigError(
                f"{file.name} is in use: a real Consul server runs on this data directory; stop that first, or give "
                "this agent another one (-data-dir)"
            ) from None
        except OSError:  # a file system without locks
            pass
        yield


def read_real_server(data_dir: Path) -> RealServer:
    """Read everything. Raises `ConfigError` for what cannot be read, or only half; nothing is changed."""
    folder = data_dir / FOLDER
    for name in _NEWER:
        if (folder / name).exists():
            raise ConfigError(f"{folder / name} belongs to a newer version of Consul, whose log is not read: {_ADVICE}")
    try:
        hard_state, entries = _log(folder / "raft.db")
        snapshot, records = _newest_snapshot(folder / "snapshots")
    except PermissionError as error:
        raise ConfigError(f"{error.filename} may not be read by this user: change its owner") from None
    first = entries[0].index if entries else 0
    reached = snapshot.index if snapshot is not None else 0
    if first > reached + 1:
        raise ConfigError(f"the log in {folder} begins at {first}, its snapshot ends at {reached}: {_ADVICE}")
    return RealServer(hard_state, snapshot, records, entries)


def set_aside(data_dir: Path) -> Path:
    """Rename the folder of the real server's log."""
    target, number = data_dir / TAKEN_OVER, 1
    while target.exists():
        target, number = data_dir / f"{TAKEN_OVER}-{number}", number + 1
    (data_dir / FOLDER).rename(target)
    return target


_ADVICE: Final = "remove this server from the quorum, move its data directory away, and let it join as a new one"


def _log(path: Path) -> tuple[HardState, list[LogEntry]]:
    try:
        with path.open("rb") as file:
            return read_raft_db(memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)))
    except PermissionError:
        raise
    except (OSError, ValueError, WireError) as error:
        raise ConfigError(f"{path} cannot be read ({error}): {_ADVICE}") from None


def _newest_snapshot(folder: Path) -> tuple[SnapshotMeta | None, list[bytes]]:
    found = []
    for each in folder.iterdir() if folder.exists() else ():  # `glob` passes over a folder that may not be read
        if each.match("*-*-*") and each.is_dir() and not each.name.endswith(".tmp"):
            meta = _meta(each)
            if meta is not None:
                found.append((meta.term, meta.index, each.name, meta))
    for _, _, name, meta in sorted(found, key=lambda each: each[:3], reverse=True):
        try:
            with (folder / name / archive.STATE).open("rb") as file:
                return meta, [record for record, _ in archive.records_in([file])]
        except PermissionError:
            raise
        except (OSError, ConsulpyError):
            continue  # a broken one may be the newest: the one before it is whole
    return None, []


def _meta(folder: Path) -> SnapshotMeta | None:
    try:
        meta: dict[str, Any] = json.loads((folder / archive.META).read_bytes())
        if (folder / archive.STATE).stat().st_size != meta["Size"]:
            return None
        servers = [
            Server(each["Address"], each["ID"], each.get("Suffrage", 0)) for each in meta["Configuration"]["Servers"]
        ]
        return SnapshotMeta(meta["Index"], meta["Term"], Configuration(servers), meta["ConfigurationIndex"])
    except PermissionError:
        raise
    except (OSError, ValueError, KeyError, TypeError):
        return None
