"""Recovery of a quorum that lost its majority: `raft/peers.json` names the servers that are left.

Source: docs/wire/raft.md 15.

    [{"id": "...", "address": "10.0.0.1:8300", "non_voter": false}, ...]

The whole log of this server, also what was never committed, becomes its state, with the named servers as configuration.
The file is deleted once that is stored.
"""

import json
from itertools import islice
from pathlib import Path
from typing import Any, Final

from consulpy.errors import ConfigError, ConsulpyError
from consulpy.raft.configuration import NONVOTER, VOTER, Configuration, Server
from consulpy.raft.disk import RaftDatabase
from consulpy.raft.interfaces import UnknownCommand
from consulpy.raft.messages import COMMAND
from consulpy.raft.state_machine import StoreMachine
from consulpy.raft.storage import SnapshotMeta, StoredState
from consulpy.state.snapshot import Snapshot
from consulpy.state.store import Store

NAME: Final = "raft/peers.json"
#: Records that are stored together.
_PART_RECORDS: Final = 256


def read_peers(path: Path) -> Configuration:
    """The configuration in the file. Raises `ConfigError`."""
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path} cannot be read: {error}") from None
    if not isinstance(found, list) or not all(isinstance(each, dict) for each in found):
        raise ConfigError(
            f'{path}: expected an array of objects with "id", "address" and, for a non-voter, "non_voter"'
        )
    try:
        return Configuration.of(_server(path, each) for each in found)
    except ConsulpyError as error:
        raise ConfigError(f"{path}: {error}") from None


def delete_peers(path: Path) -> None:
    """Delete the file, if it is still there."""
    path.unlink(missing_ok=True)


def _server(path: Path, entry: dict[str, Any]) -> Server:
    server_id, address, non_voter = entry.get("id"), entry.get("address"), entry.get("non_voter", False)
    if not isinstance(server_id, str) or not isinstance(address, str) or not isinstance(non_voter, bool):
        raise ConfigError(f"{path}: expected texts as id and address, and true or false as non_voter: {entry}")
    return Server(address, server_id, NONVOTER if non_voter else VOTER)


def recover(database: RaftDatabase, stored: StoredState, configuration: Configuration) -> int:
    """Make everything that is stored the state of a quorum of these servers; the index of its end.

    Raises `ConfigError`, and changes nothing, for a server without any state, or one whose log it cannot apply.
    """
    entries = list(stored.entries)
    index = stored.snapshot.index if stored.snapshot is not None else 0
    term = stored.snapshot.term if stored.snapshot is not None else 0
    store: Store = stored.state if stored.state is not None else Store()
    machine = StoreMachine(store)
    new = [entry for entry in entries if entry.index > index]
    if not new and stored.snapshot is None:
        raise ConfigError(f"{NAME}: this server has no state that could be recovered: delete the file")
    try:
        machine.apply([entry for entry in new if entry.type == COMMAND])
    except UnknownCommand as error:
        raise ConfigError(f"{NAME}: the log cannot be recovered: {error}") from None
    if new:
        index, term = new[-1].index, new[-1].term
    meta = SnapshotMeta(index, term, configuration, 1)
    job = database.begin_snapshot(index)
    failed = None
    if new:  # else the state is stored already
        records = Snapshot.of(store).records()
        while failed is None and (part := list(islice(records, _PART_RECORDS))):
            failed = database.add_to_snapshot(job, part)
    failed = failed or database.finish_install(job, meta, keep_entries=False)
    if failed is not None:
        raise ConfigError(f"{NAME}: the recovered state was not stored: {failed}")
    return index
