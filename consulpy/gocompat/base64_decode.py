"""Base64 as Go's `base64.StdEncoding` reads it."""

import base64


def decode_base64(text: str | bytes) -> bytes:
    """The bytes of a text with padding; line ends in it are skipped, as `base64` writes them. Raises `ValueError`."""
    raw = text.encode("utf-8", "replace") if isinstance(text, str) else text
    raw = raw.replace(b"\r", b"").replace(b"\n", b"")
    if len(raw) % 4:
        raise ValueError("incorrect padding")
    return base64.b64decode(raw, validate=True)
