"""`acl-tokens.json` in the data directory: tokens that were set over HTTP, as Consul keeps them."""

import json
import os
from pathlib import Path
from typing import Final

from consulpy.errors import ConfigError

NAME: Final = "acl-tokens.json"


def read_tokens(data_dir: str | None) -> dict[str, str]:
    """The tokens that were persisted. Raises `ConfigError` for a file that cannot be read."""
    path = Path(data_dir or "") / NAME
    if data_dir is None or not path.exists():
        return {}
    try:
        found = json.loads(path.read_text())
        return {str(name): str(token) for name, token in found.items()}
    except (OSError, ValueError, AttributeError) as error:
        raise ConfigError(f"{path}: the persisted tokens cannot be read: {error}") from None


def write_tokens(data_dir: str, tokens: dict[str, str]) -> None:
    """Keep these and no others, readable by the owner alone; a crash leaves the old or the new ones."""
    path = Path(data_dir) / NAME
    fresh = path.with_suffix(".tmp")
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        json.dump(tokens, file)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)


class AclResetFile:
    """`acl-bootstrap-reset` in the data directory: an operator's permission for another bootstrap."""

    def __init__(self, data_dir: str) -> None:
        self._path = Path(data_dir) / "acl-bootstrap-reset"

    def read(self) -> int:
        """The reset index in it; 0 if there is none, or something else."""
        try:
            return max(int(self._path.read_text().strip()), 0)
        except (OSError, ValueError):
            return 0

    def remove(self) -> None:
        """It was used."""
        self._path.unlink(missing_ok=True)
