"""The keys of a pool: the first is the primary, which encrypts; any of them decrypts.

Source: docs/wire/gossip.md 3.3; the error texts are memberlist's.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from consulpy.errors import ConfigError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM


class Keyring:
    """AES keys of 16, 24 or 32 bytes, the primary first. Raises `ConfigError` for any other size, or for no key."""

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
        """The key that encrypts."""
        return next(iter(self._ciphers))

    @property
    def ciphers(self) -> "list[AESGCM]":
        """What decrypts, in the order in which to try; the first also encrypts."""
        return list(self._ciphers.values())

    def add(self, key: bytes) -> None:
        """Accept what is encrypted with `key` from now on. Raises `ConfigError` for a wrong size."""
        if len(key) not in (16, 24, 32):
            raise ConfigError("key size must be 16, 24 or 32 bytes")
        if key not in self._ciphers:
            from cryptography.hazmat.primitives.ciphers.aead import (
                AESGCM,
            )  # 6 MiB that pools without keys need not have

            self._ciphers[key] = AESGCM(key)

    def use(self, key: bytes) -> None:
        """Encrypt with `key` from now on. Raises `ConfigError` if it was never added."""
        cipher = self._ciphers.get(key)
        if cipher is None:
            raise ConfigError("Requested key is not in the keyring")
        rest = {known: each for known, each in self._ciphers.items() if known != key}
        self._ciphers = {key: cipher, **rest}

    def remove(self, key: bytes) -> None:
        """Accept `key` no more; an unknown one is no error. Raises `ConfigError` for the primary."""
        if key == self.primary:
            raise ConfigError("Removing the primary key is not allowed")
        self._ciphers.pop(key, None)
