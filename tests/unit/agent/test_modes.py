"""Modes of all that an agent writes, whatever the umask: those of real Consul 1.8.7, or less (seen side by side)."""

import base64
import dataclasses
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from twisted.logger import Logger

from consulpy.agent.features.keyring import KeyringFile
from consulpy.agent.process.agent_files import AgentFiles
from consulpy.agent.process.data_dir import DataDirectoryLock
from consulpy.config.node_id_file import node_id
from consulpy.config.schema import RuntimeConfig
from consulpy.local.persist.disk import JOURNAL, JournaledDirectory
from consulpy.serf.disk import SnapshotFile
from consulpy.state.disk import LogStore

#: By path below the agent's folder: the mode at umask 0, and so the most that any umask leaves.
MODES = {
    "data": 0o755,
    "data/services": 0o700,
    "data/services/web": 0o600,
    "data/checks": 0o700,
    "data/checks/state": 0o700,
    "data/checks/state/ttl": 0o600,
    f"data/{JOURNAL}": 0o600,
    "data/node-id": 0o600,
    "data/consulpy.lock": 0o600,
    "data/serf": 0o700,
    "data/serf/local.snapshot": 0o644,
    "data/serf/local.keyring": 0o600,
    "data/log.sqlite": 0o600,
    "data/log.sqlite-wal": 0o600,
    "log": 0o755,
    "log/consul.log": 0o640,
    "log/consul.log.1": 0o640,
    "agent.pid": 0o644,
}


@pytest.fixture(params=[0o000, 0o022, 0o077], ids=["umask 000", "umask 022", "umask 077"])
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def test_who_may_read_and_write_what(tmp_path: Path, umask: int) -> None:
    data = tmp_path / "data"
    lock = DataDirectoryLock(data)
    node_id(str(data), "")
    snapshot = SnapshotFile(data / "serf" / "local.snapshot")
    snapshot.read()
    snapshot.replace("clock: 1\n")
    KeyringFile(data / "serf" / "local.keyring").save([base64.b64decode("pUqJrVyVRj5jsiYEkM/tFQ==")])
    files = JournaledDirectory(data)
    files.commit({"checks/state/ttl": b"{}", "services/web": b"{}"})
    files.checkpoint()
    files.commit({"services/web": b"{} "})
    database = LogStore(str(data / "log.sqlite"), lambda _level, _text: None)
    config = dataclasses.replace(
        RuntimeConfig(), log_file=f"{tmp_path}/log/", pid_file=str(tmp_path / "agent.pid"), log_rotate_bytes=100
    )
    written = AgentFiles(config, lambda: 0.0, run=lambda job: job())
    for number in range(2):
        Logger("consulpy.serf").warn("line {number} " + "x" * 100, number=number)

    found = {name: stat.S_IMODE((tmp_path / name).stat().st_mode) for name in MODES}
    assert {name: oct(mode) for name, mode in found.items()} == {
        name: oct(most & ~umask) for name, most in MODES.items()
    }
    everything = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*")}
    assert everything == MODES.keys(), "a new kind of file needs a line above"
    written.close()
    database.close()
    snapshot.close()
    lock.release()
