"""Gossip keys: the key of `encrypt`, and the keyring file of a pool.

Source: docs/wire/gossip.md 3.3.
"""

import base64
import json
import os
from pathlib import Path
from typing import Final

from consulpy.codec.strict_json import parse
from consulpy.errors import ConfigError
from consulpy.gocompat.base64_decode import decode_base64
from consulpy.log import Logger

_log = Logger()

#: The sizes of AES keys, in bytes.
KEY_SIZES: Final = (16, 24, 32)


def decode_key(text: str) -> bytes:
    """The bytes of a base64 key. Raises `ConfigError` that says what a key is."""
    try:
        key = decode_base64(text)
    except ValueError:
        raise ConfigError("encrypt: the key is not base64; `consulpy keygen` makes one") from None
    if len(key) not in KEY_SIZES:
        raise ConfigError(
            f"encrypt: the key has {len(key)} bytes, it must be 16, 24 or 32; `consulpy keygen` makes one"
        )
    return key


def _keys_in(text: str) -> list[bytes]:
    found = parse(text)
    if not isinstance(found, list) or not all(isinstance(each, str) for each in found):
        raise ValueError("it is something else")
    return [decode_key(each) for each in found]


class KeyringFile:
    """The keyring file of one pool: a JSON list of base64 keys, the primary first, mode 0600. No path: no file."""

    def __init__(self, path: Path | None) -> None:
        self._path = path

    def load(self, encrypt: str) -> list[bytes]:
        """The keys at start, the primary first; none if the pool is not encrypted.

        An existing file takes precedence over `encrypt`. Raises `ConfigError` for a file that holds no keys.
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
            keys = _keys_in(path.read_text())
        except (ValueError, OSError, ConfigError) as error:
            raise ConfigError(f"{path}: no list of base64 keys ({error}); repair it or move it away") from None
        if not keys:
            raise ConfigError(
                f"no keys present in keyring: {path}; gossip would not be encrypted: repair the file, or move it away"
            )
        if given and given[0] not in keys:
            _log.warn("the key of -encrypt is not in {path}: the file is used, the flag is not", path=str(path))
        return keys

    def save(self, keys: list[bytes]) -> None:
        """Replace the file atomically."""
        if self._path is None:
            return
        self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        temporary = self._path.with_suffix(".tmp")
        text = json.dumps([base64.b64encode(key).decode() for key in keys], indent=2)
        with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(self._path)
