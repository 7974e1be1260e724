"""`acl-tokens.json` in the data directory: the agent's tokens that were set over HTTP, in Consul's format."""

import json
import os
from pathlib import Path
from typing import Final

from consulpy.errors import ConfigError

NAME: Final = "acl-tokens.json"


def read_tokens(data_dir: str | None) -> dict[str, str]:
    """The persisted tokens. Raises `ConfigError` for an unreadable file."""
    path = Path(data_dir or "") / NAME
    if data_dir is None or not path.exists():
        return {}
    try:
        found = json.loads(path.read_text())
        return {str(name): str(token) for name, token in found.items()}
    except (OSError, ValueError, AttributeError) as error:
        raise ConfigError(f"{path}: the persisted tokens cannot be read: {error}") from None


def write_tokens(data_dir: str, tokens: dict[str, str]) -> None:
    """Replace the persisted tokens atomically; mode 0600."""
    path = Path(data_dir) / NAME
    temporary = path.with_suffix(".tmp")
    with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        json.dump(tokens, file)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


class AclResetFile:
    """`acl-bootstrap-reset` in the data directory: allows another ACL bootstrap."""

    def __init__(self, data_dir: str) -> None:
        self._path = Path(data_dir) / "acl-bootstrap-reset"

    def read(self) -> int:
        """The reset index in the file; 0 without a file or a valid index."""
        try:
            return max(int(self._path.read_text().strip()), 0)
        except (OSError, ValueError):
            return 0

    def remove(self) -> None:
        """Delete the file after its use."""
        self._path.unlink(missing_ok=True)
