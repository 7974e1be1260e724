"""The permanent id of this node, stored in `node-id` of the data directory.

Source: docs/wire/gossip.md 9.6; the hash of the machine id: Consul 1.8.7.
"""

import hashlib
import os
import uuid
from pathlib import Path

from consulpy.config.validate import is_node_id
from consulpy.errors import ConfigError


def node_id(data_dir: str | None, wanted: str, machine_id: str = "") -> str:
    """The node id: `wanted`, else the stored one, else the hash of `machine_id` or a random one; stored if it changed.

    Raises `ConfigError` when the file holds no UUID or cannot be written.
    """
    if data_dir is None:
        return wanted.lower() or _of_machine(machine_id) or str(uuid.uuid4())
    path = Path(data_dir) / "node-id"
    try:
        exists = path.exists()
        stored = path.read_text(encoding="ascii", errors="replace").strip().lower() if exists else ""
    except OSError as error:
        raise ConfigError(f"failed to setup node ID: cannot read {path}: {error.strerror}") from None
    if wanted:
        chosen = wanted.lower()
    elif exists and not is_node_id(stored):
        raise ConfigError(
            f"failed to setup node ID: {path} holds no UUID: correct it, or remove it to become a new node"
        )
    else:
        chosen = stored or _of_machine(machine_id) or str(uuid.uuid4())
    if chosen != stored:
        _write(path, chosen)
    return chosen


def _write(path: Path, chosen: str) -> None:
    """Write the file so that a crash leaves the old one or the new one."""
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with open(aside, "w", encoding="ascii", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
            file.write(chosen)
            file.flush()
            os.fsync(file.fileno())
        aside.replace(path)
    except OSError as error:
        raise ConfigError(f"failed to setup node ID: cannot write {path}: {error.strerror}") from None


def _of_machine(machine_id: str) -> str:
    if not machine_id:
        return ""
    digest = hashlib.sha512(machine_id.encode()).hexdigest()
    return f"{digest[:8]}-{digest[8:12]}-{digest[12:16]}-{digest[16:20]}-{digest[20:32]}"
