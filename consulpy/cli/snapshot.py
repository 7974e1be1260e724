"""`consulpy snapshot save|restore|inspect|agent`."""

import os
import re
import time
from collections.abc import Iterable
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, Final

from consulpy.cli.command import Invocation, UsageError, command, group
from consulpy.cli.format import FORMAT, as_json
from consulpy.cli.main import say
from consulpy.cli.table import table
from consulpy.client import ClientError
from consulpy.codec.printable import printable
from consulpy.errors import ConfigError, ConsulpyError
from consulpy.gocompat.duration import parse_duration
from consulpy.gocompat.flag import Flag, switch, whole
from consulpy.state import archive

group(
    "snapshot",
    "Saves, restores and inspects snapshots of Consul server state",
    """
This command has subcommands for saving, restoring, and inspecting the state
of the Consul servers for disaster recovery. These are atomic, point-in-time
snapshots which include key/value entries, service catalog, prepared queries,
sessions, and ACLs.

If ACLs are enabled, a management token must be supplied in order to perform
snapshot operations.

Create a snapshot:

    $ consulpy snapshot save backup.snap

Restore a snapshot:

    $ consulpy snapshot restore backup.snap

Inspect a snapshot:

    $ consulpy snapshot inspect backup.snap

Run a process that saves a snapshot every hour and keeps the last thirty:

    $ consulpy snapshot agent

For more examples, ask for subcommand help or view the documentation.
""",
)

_EXTENSION: Final = ".snap"
#: The type of a key's record, its first byte (docs/wire/rpc.md 12).
_KVS: Final = 2
#: Names of the files that `snapshot agent` creates and removes.
_OWN_NAME: Final = re.compile(r"consul-[0-9]{13}\.snap")


def _save(given: Invocation, path: Path) -> int:
    """Save to `path`, by a temporary file until it is verified; its index. Raises `ConsulpyError`, OSError."""
    if path.exists() and not path.is_file():  # a device or pipe would be replaced by the file
        raise ConfigError(f"Error creating snapshot file: {path} is no regular file")
    with given.progress.waiting("Receiving the snapshot"):
        index, data = given.client.snapshot(**given.query)
    unverified = path.with_name(path.name + ".unverified")
    # a snapshot contains all secrets of the cluster
    unverified.touch(mode=0o600)
    with unverified.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    with given.progress.waiting(f"Verifying {len(data) / 1e6:.1f} MB"):
        _read(unverified)
    unverified.replace(path)
    return index


def _read(path: Path, details: "KeySizes | None" = None) -> archive.Archive:
    """Metadata of an archive, after checking all of it. Raises `BadArchive`, OSError.

    `details`: gets the keys in it.
    """
    with path.open("rb") as file, TemporaryFile() as scratch:
        found = archive.read(file, scratch)
        for record, value in found.records():
            if details is not None and record[0] == _KVS:
                details.add(value, len(record))
        return found


class KeySizes:
    """Numbers and bytes of keys by their first `depth` parts, of those that begin with `prefix`."""

    def __init__(self, depth: int, prefix: str) -> None:
        self._depth = max(depth, 1)
        self._prefix = prefix
        #: By the beginning of keys: their number, and the bytes of their records.
        self.found: dict[str, tuple[int, int]] = {}

    def add(self, row: dict[bytes, Any], size: int) -> None:
        """Count the key of a record, as msgpack decodes it."""
        text = row.get(b"Key", b"").decode("utf-8", "backslashreplace")
        if text.startswith(self._prefix):
            name = "/".join(text.split("/")[: self._depth])
            count, before = self.found.get(name, (0, 0))
            self.found[name] = (count + 1, before + size)

    def _rows(self) -> list[tuple[str, int, int]]:
        """The largest first."""
        return sorted(((name, *each) for name, each in self.found.items()), key=lambda row: (-row[2], row[0]))

    def to_json(self) -> dict[str, Any]:
        """As newer versions show them."""
        rows = self._rows()
        shown = [{"Name": name, "Sum": size, "Count": count} for name, count, size in rows]
        return {"StatsKV": shown, "TotalSizeKV": sum(size for _, _, size in rows)}

    def table(self) -> str:
        """A table with a total."""
        rows = [[printable(name), str(count), _bytes(size)] for name, count, size in self._rows()]
        total = _bytes(sum(size for _, size in self.found.values()))
        return "\n" + table([["Key Name", "Count", "Size"], ["----", "----", "----"], *rows, ["Total", "", total]])


def _bytes(size: int) -> str:
    """A size as newer versions show it: 999B, 1.2KB."""
    number, unit = float(size), "B"
    for larger in ("KB", "MB", "GB"):
        if number < 1024:
            break
        number, unit = number / 1024, larger
    return f"{number:.1f}".removesuffix(".0") + unit


@command(
    "snapshot save",
    "Saves snapshot of Consul server state",
    usage="snapshot save [options] FILE",
    about="""
Retrieves an atomic, point-in-time snapshot of the state of the Consul servers
which includes key/value entries, service catalog, prepared queries, sessions,
and ACLs.

If ACLs are enabled, a management token must be supplied in order to perform
snapshot operations.

To create a snapshot from the leader server and save it to "backup.snap":

  $ consulpy snapshot save backup.snap

To create a potentially stale snapshot from any available server (useful if no
leader is available):

  $ consulpy snapshot save -stale backup.snap
""",
    flags=[
        Flag(
            "append-filename",
            "Parts that are added to the name of the file, before its extension: version, dc, node or status, with "
            "commas between them.",
            default="",
            placeholder="string",
        )
    ],
    uses_agent=True,
    uses_servers=True,
)
def save(given: Invocation) -> int:
    """Save and verify a snapshot."""
    path = Path(given.one_argument("FILE"))
    try:
        path = path.with_name(path.stem + _name_parts(given) + path.suffix)
        index = _save(given, path)
    except ClientError as error:
        say(error, "Error saving snapshot")
        return 1
    except ConsulpyError as error:
        say(error, "Error verifying snapshot file")
        return 1
    except OSError as error:
        given.err(f"Error creating snapshot file: open {path}: {_reason(error)}")
        return 1
    given.out(f"Saved and verified snapshot to index {index}")
    return 0


def _name_parts(given: Invocation) -> str:
    """The suffix that `-append-filename` adds: "-1.8.7-dc1". Raises `UsageError`, `ClientError`."""
    wanted = [part.strip() for part in given.values["append-filename"].split(",") if part.strip()]
    unknown = [part for part in wanted if part not in ("version", "dc", "node", "status")]
    if unknown:
        raise UsageError(f"-append-filename: expected version, dc, node or status, not {', '.join(unknown)}")
    if not wanted:
        return ""
    own = given.client.get("/v1/agent/self", {})
    config, datacenter = own["Config"], given.values.get("datacenter")
    known = {"version": config["Version"], "dc": datacenter or config["Datacenter"], "node": config["NodeName"]}
    if "status" in wanted:
        leader = given.client.get("/v1/status/leader", {}).rpartition(":")[0].strip("[]")
        known["status"] = "leader" if config["Server"] and own["Member"]["Addr"] == leader else "follower"
    return "".join(f"-{known[part]}" for part in wanted)


@command(
    "snapshot restore",
    "Restores snapshot of Consul server state",
    usage="snapshot restore [options] FILE",
    about="""
Restores an atomic, point-in-time snapshot of the state of the Consul servers
which includes key/value entries, service catalog, prepared queries, sessions,
and ACLs.

Restores replace the whole state. This command is primarily intended to be used
when recovering from a disaster, restoring into a fresh cluster of servers.

If ACLs are enabled, a management token must be supplied in order to perform
snapshot operations.

To restore a snapshot from the file "backup.snap":

  $ consulpy snapshot restore backup.snap
""",
    uses_agent=True,
    uses_servers=True,
)
def restore(given: Invocation) -> int:
    """Restore a file; the servers verify it before they change anything."""
    path = Path(given.one_argument("FILE"))
    try:
        data = path.read_bytes()
    except OSError as error:
        given.err(f"Error opening snapshot file: open {path}: {_reason(error)}")
        return 1
    try:
        with given.progress.waiting(f"Restoring {len(data) / 1e6:.1f} MB"):
            given.client.restore_snapshot(data, dc=given.values.get("datacenter"))
    except ClientError as error:
        say(error, "Error restoring snapshot")
        return 1
    given.out("Restored snapshot")
    return 0


@command(
    "snapshot inspect",
    "Displays information about a Consul snapshot file",
    usage="snapshot inspect [options] FILE",
    about="""
Displays information about a snapshot file on disk.

To inspect the file "backup.snap":

  $ consulpy snapshot inspect backup.snap
""",
    flags=[
        FORMAT,
        Flag("kvdetails", "Show how the keys share the space", switch, default=False),
        Flag("kvdepth", "Parts of a key that are told apart with -kvdetails", whole, default=2, placeholder="int"),
        Flag("kvfilter", "Prefix of the keys of -kvdetails", default="", placeholder="string"),
    ],
)
def inspect(given: Invocation) -> int:
    """Verify a file and print its metadata."""
    path = Path(given.one_argument("FILE"))
    details = KeySizes(given.values["kvdepth"], given.values["kvfilter"]) if given.values["kvdetails"] else None
    try:
        found = _read(path, details)
    except OSError as error:
        given.err(f"Error opening snapshot file: open {path}: {_reason(error)}")
        return 1
    except ConsulpyError as error:
        given.err(f"Error verifying snapshot: {error}")
        return 1
    lines = {"ID": found.id, "Size": found.size, "Index": found.index, "Term": found.term, "Version": found.version}
    if given.values["format"] == "json":
        given.out(as_json(lines | ({} if details is None else details.to_json())))
        return 0
    for name, value in lines.items():
        given.out(f"{name:<13}{value}")
    if details is not None:
        given.out(details.table())
    return 0


@command(
    "snapshot agent",
    "Saves snapshots of Consul server state again and again",
    usage="snapshot agent [options]",
    about="""
Saves a snapshot at once and then after every interval, in files named after
the time, and removes the oldest ones of its own beyond those to be kept. A
save that fails is told and tried again after the next interval.

To keep a day of hourly snapshots:

  $ consulpy snapshot agent -interval 1h -retain 24 -local-path /var/backups
""",
    flags=[
        Flag("interval", "Time between two snapshots; 0 saves one and ends.", default="1h", placeholder="duration"),
        Flag("local-path", "Folder to save snapshots in.", default=".", placeholder="string"),
        Flag("retain", "Snapshots to keep.", whole, default=30, placeholder="int"),
    ],
    uses_agent=True,
    uses_servers=True,
)
def agent(given: Invocation) -> int:
    """Save periodically until interrupted."""
    try:
        interval_s = parse_duration(given.values["interval"])
    except ValueError as error:
        raise UsageError(f"Bad -interval: {error}") from None
    if interval_s < 0 or given.values["retain"] < 1:
        raise UsageError("-interval must not be negative, and -retain at least 1")
    folder = Path(given.values["local-path"])
    while True:
        saved = _save_and_rotate(given, folder)
        if not interval_s:
            return 0 if saved else 1
        time.sleep(interval_s)


def _save_and_rotate(given: Invocation, folder: Path) -> bool:
    path = folder / f"consul-{time.time_ns() // 1_000_000}{_EXTENSION}"
    try:
        index = _save(given, path)
        given.out(f"Saved and verified snapshot to index {index}: {path}")
        for old in expired((each.name for each in folder.iterdir()), given.values["retain"]):
            (folder / old).unlink()
    except (ConsulpyError, OSError) as error:
        given.err(f"Error saving snapshot: {error}")
        return False
    return True


def expired(names: Iterable[str], retain: int) -> list[str]:
    """The names of own snapshots older than the last `retain`."""
    own = sorted(name for name in names if _OWN_NAME.fullmatch(name))
    return own[:-retain]


def _reason(error: OSError) -> str:
    return (error.strerror or str(error)).lower()
