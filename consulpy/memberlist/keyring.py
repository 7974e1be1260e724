"""The gossip encryption keys of a pool: the primary encrypts; any key decrypts.

Source: docs/wire/gossip.md 3.3; the error texts are memberlist's.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from consulpy.errors import ConfigError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM


class Keyring:
    """AES keys of 16, 24 or 32 bytes, the primary first. Raises `ConfigError` for another size, or without a key."""

    def __init__(self, keys: Sequence[bytes]) -> None:
        if not keys:
            raise ConfigError("a keyring needs at least one key")
        self._ciphers: dict[bytes, AESGCM] = {}
        for key in keys:
            self.add(key)

    @property
    def keys(self) -> list[bytes]:
        """All keys, the primary first."""
        return list(self._ciphers)

    @property
    def primary(self) -> bytes:
        """The primary key."""
        return next(iter(self._ciphers))

    @property
    def ciphers(self) -> "list[AESGCM]":
        """Ciphers of all keys, the primary's first."""
        return list(self._ciphers.values())

    def add(self, key: bytes) -> None:
        """Install a key for decryption. Raises `ConfigError` for a wrong size."""
        if len(key) not in (16, 24, 32):
            raise ConfigError("key size must be 16, 24 or 32 bytes")
        if key not in self._ciphers:
            from cryptography.hazmat.primitives.ciphers.aead import (
                AESGCM,
            )  # 6 MiB, not loaded in pools without keys

            self._ciphers[key] = AESGCM(key)

    def use(self, key: bytes) -> None:
        """Make an installed key the primary. Raises `ConfigError` if it is not installed."""
        cipher = self._ciphers.get(key)
        if cipher is None:
            raise ConfigError("Requested key is not in the keyring")
        rest = {known: each for known, each in self._ciphers.items() if known != key}
        self._ciphers = {key: cipher, **rest}

    def remove(self, key: bytes) -> None:
        """Remove a key; an unknown one is ignored. Raises `ConfigError` for the primary."""
        if key == self.primary:
            raise ConfigError("Removing the primary key is not allowed")
        self._ciphers.pop(key, None)
