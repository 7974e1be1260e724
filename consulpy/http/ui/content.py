"""One file of the web page as it is sent: its bytes, compressed too, its type and its validator. Pure.

Source: RFC 9110 sections 8.8.3 (ETag), 13.1.2 (If-None-Match).
"""

import gzip
import hashlib
import re
from dataclasses import dataclass
from typing import Final

#: Types by the end of a name; what is text is sent as UTF-8.
_TYPES: Final = {
    "html": "text/html; charset=utf-8",
    "htm": "text/html; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "mjs": "text/javascript; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "json": "application/json",
    "map": "application/json",
    "webmanifest": "application/manifest+json",
    "svg": "image/svg+xml",
    "xml": "text/xml; charset=utf-8",
    "txt": "text/plain; charset=utf-8",
    "md": "text/plain; charset=utf-8",
    "wasm": "application/wasm",
    "png": "image/png",
    "jpg": "image/jpeg",
    "jpeg": "image/jpeg",
    "gif": "image/gif",
    "webp": "image/webp",
    "ico": "image/x-icon",
    "woff": "font/woff",
    "woff2": "font/woff2",
    "ttf": "font/ttf",
    "pdf": "application/pdf",
}
_UNKNOWN: Final = "application/octet-stream"
#: Types that are compressed already.
_DENSE: Final = re.compile(r"image/(?!svg)|font/woff|application/(?:octet-stream|pdf)")
#: zlib's level: each file is compressed once.
_GZIP_LEVEL: Final = 9
#: One entity tag of a list, without `W/`.
_TAG: Final = re.compile(r'(?:W/)?("[^"]*")')


@dataclass(frozen=True, slots=True)
class Content:
    """A file. `compressed`: with gzip; None if that is not worth it. `tag`: a hash of `body` in hexadecimal."""

    body: bytes
    compressed: bytes | None
    media_type: str
    tag: str

    @property
    def size(self) -> int:
        """The bytes that it takes in memory."""
        return len(self.body) + len(self.compressed or b"")

    def etag(self, *, is_compressed: bool) -> str:
        """The strong validator of one of its two forms."""
        return f'"{self.tag}-gzip"' if is_compressed else f'"{self.tag}"'


def media_type(name: str) -> str:
    """The type of a file by the end of its name."""
    return _TYPES.get(name.rpartition("/")[2].rpartition(".")[2].lower(), _UNKNOWN)


def content(name: str, data: bytes) -> Content:
    """The file `name` with the bytes `data`, ready to be sent; takes some milliseconds for each 100 KB."""
    kind = media_type(name)
    compressed = None
    if not _DENSE.match(kind):
        compressed = gzip.compress(data, _GZIP_LEVEL, mtime=0)
        if len(compressed) >= len(data):
            compressed = None
    return Content(data, compressed, kind, digest(data))


def digest(data: bytes) -> str:
    """A hash of `data` for validators and addresses: 80 bits in hexadecimal."""
    return hashlib.sha256(data).hexdigest()[:20]


def is_unchanged(if_none_match: str, etag: str) -> bool:
    """Whether a client that sends `If-None-Match` has the form with this validator already."""
    return if_none_match.strip() == "*" or etag in _TAG.findall(if_none_match)
