"""AES-GCM encryption of packets and streams: version byte, 12-byte nonce, ciphertext, 16-byte tag.

Version 1 encrypts the plaintext as it is, version 0 pads it to 16 bytes first. Source: docs/wire/gossip.md 3.
"""

from collections.abc import Sequence
from os import urandom
from typing import TYPE_CHECKING, Final

from consulpy.errors import WireError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

#: Bytes that version 1 adds to a plaintext.
OVERHEAD_BYTES: Final = 1 + 12 + 16
_VERSION_0_MIN_BYTES: Final = OVERHEAD_BYTES + 16


def encrypt(cipher: "AESGCM", plain: bytes, additional: bytes = b"") -> bytes:
    """Encrypt `plain` as version 1."""
    nonce = urandom(12)
    return b"\1" + nonce + cipher.encrypt(nonce, plain, additional or None)


def decrypt(ciphers: "Sequence[AESGCM]", data: bytes, additional: bytes = b"") -> bytes:
    """Decrypt with the first cipher that fits. Raises `WireError` if none does, or for an unknown version."""
    version = data[0] if data else -1
    if version not in (0, 1):
        raise WireError(f"encryption version {version} is not known here")
    if len(data) < (_VERSION_0_MIN_BYTES if version == 0 else OVERHEAD_BYTES):
        raise WireError(f"{len(data)} bytes are too few for anything encrypted")
    from cryptography.exceptions import InvalidTag  # already loaded with the first key

    nonce, sealed = data[1:13], data[13:]
    for cipher in ciphers:
        try:
            plain = cipher.decrypt(nonce, sealed, additional or None)
        except InvalidTag:
            continue
        return plain if version == 1 else _unpad(plain)
    raise WireError("no installed key decrypts it")


def _unpad(padded: bytes) -> bytes:
    count = padded[-1] if padded else 0
    if not 1 <= count <= 16 or count > len(padded):
        raise WireError("the padding is wrong")
    return padded[:-count]
