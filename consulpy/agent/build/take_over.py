"""Takes over, at the start, a real server's Raft log and an operator's `peers.json`."""

from pathlib import Path

from consulpy.agent.process.logs import reporter
from consulpy.errors import ConfigError
from consulpy.raft.disk import RaftDatabase
from consulpy.raft.peers_file import NAME as PEERS_FILE
from consulpy.raft.peers_file import delete_peers, read_peers, recover
from consulpy.raft.raft_db_file import is_real_server, locked, read_real_server, set_aside
from consulpy.raft.storage import StoredState
from consulpy.raft.store_storage import StoreStorage

_say = reporter("raft")


def take_over(data_dir: Path, database: RaftDatabase, storage: StoreStorage) -> None:
    """Adopt the log of a real server in `data_dir`, then recover the quorum by `peers.json`.

    Raises `ConfigError` for files that cannot be read; nothing is changed then.
    """
    peers = data_dir / PEERS_FILE
    recovered = read_peers(peers) if peers.exists() else None
    if is_real_server(data_dir):
        with locked(data_dir):
            _adopt_real_server(data_dir, database, storage)
    if recovered is not None:
        index = recover(database, storage.load(), recovered)
        delete_peers(peers)
        names = ", ".join(server.address for server in recovered.servers)
        _say("warn", f"the quorum was recovered by {PEERS_FILE}: last_log_index={index} servers: {names}")


def _adopt_real_server(data_dir: Path, database: RaftDatabase, storage: StoreStorage) -> None:
    """Adopt term, vote, snapshot and log of a real Consul server, then set its log aside."""
    stored = storage.load()
    if stored == StoredState(entries=[]):
        found = read_real_server(data_dir)
        error = database.adopt(found.hard_state, found.snapshot, found.records, found.entries)
        if error is not None:
            raise ConfigError(f"the data of the real server in {data_dir} were not taken over: {error}")
        last = found.entries[-1].index if found.entries else found.snapshot.index if found.snapshot else 0
        _say("info", f"took over the data of a real server: term={found.hard_state.term} last_log_index={last}")
    _say("info", f"the real server's log is in {set_aside(data_dir)} now; that program must not use it again")
