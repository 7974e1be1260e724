"""Gossip keys: from `encrypt`, kept in a file as Consul keeps them, and changed across the cluster by queries.

Source: docs/wire/gossip.md 3.3 and 6.5.
"""

import base64
import binascii
import json
import os
from pathlib import Path
from typing import Final

from twisted.logger import Logger

from consulpy.codec.strict_json import parse
from consulpy.errors import ConfigError

_log = Logger()

#: The sizes of AES keys, in bytes.
KEY_SIZES: Final = (16, 24, 32)


def decode_key(text: str) -> bytes:
    """The bytes of a base64 key. Raises `ConfigError` saying what a key is."""
    try:
        key = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise ConfigError("encrypt: the key is not base64; `consulpy keygen` makes one") from None
    if len(key) not in KEY_SIZES:
        raise ConfigError(
            f"encrypt: the key has {len(key)} bytes, it must be 16, 24 or 32; `consulpy keygen` makes one"
        )
    return key


class KeyringFile:
    """The keys of one pool on disk, the primary first, mode 0600. Without a path they live in memory only."""

    def __init__(self, path: Path | None) -> None:
        self._path = path

    def load(self, encrypt: str) -> list[bytes]:
        """The keys to start with, the primary first; none if the pool is not encrypted.

        A file that exists wins over `encrypt`. Raises `ConfigError` for a file that holds no keys.
        """
        given = [decode_key(encrypt)] if encrypt else []
        path = self._path
        if path is None:
            return given
        if not path.exists():
            if given:
                self.save(given)
            return given
        try:
            keys = [decode_key(text) for text in parse(path.read_text())]
        except (ValueError, TypeError, OSError, ConfigError) as error:
            raise ConfigError(f"{path}: no list of base64 keys ({error}); repair it or move it away") from None
        if given and given[0] not in keys:
            _log.warn("the key of -encrypt is not in {path}: the file is used, the flag is not", path=str(path))
        return keys

    def save(self, keys: list[bytes]) -> None:
        """Replace what is on disk."""
        if self._path is None:
            return
        self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        beside = self._path.with_suffix(".tmp")
        text = json.dumps([base64.b64encode(key).decode() for key in keys], indent=2)
        with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(self._path)
