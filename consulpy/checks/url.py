"""URLs of HTTP checks, parsed as by Go 1.14's `net/url`, with its error texts. Pure.

Percent escapes are decoded in the user information and in the host (there for non-ASCII bytes only); path and query
stay escaped, as they are sent.
"""

import re
import string
from base64 import b64encode
from dataclasses import replace
from typing import Final
from urllib.parse import quote, unquote_to_bytes

from consulpy.checks.result import CheckFailed
from consulpy.codec.lazy_dataclass import dataclass
from consulpy.codec.secrets import url_without_password
from consulpy.gocompat.literals import quoted

_SCHEME: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")
_OPTIONAL_PORT: Final = re.compile(r"(:[0-9]*)?")
_USER_INFO: Final = re.compile(r"[A-Za-z0-9\-._:~!$&'()*+,;=%@]*")
_UNRESERVED: Final = string.ascii_letters + string.digits + "-_.~"
_HOST: Final = frozenset(_UNRESERVED + "!$&'()*+,;=:[]<>\"")
#: Characters that a path may contain unescaped, and those that are not escaped if it contains others.
_PATH: Final = frozenset(_UNRESERVED + "!$&'()*+,;=:@[]/%")
_PATH_SAFE: Final = "$&+,/:;=@-_.~"
_USER_SAFE: Final = "$&+,;=-_.~"
_FRAGMENT_SAFE: Final = "$&+,/:;=?@-_.~"
#: Characters of a query and a fragment that are sent unescaped.
_WIRE_SAFE: Final = "".join(map(chr, range(0x21, 0x7F)))


class UrlError(CheckFailed):
    """An invalid URL; the text is Go's, without the URL. `in_fragment`: whether the fault is in the fragment."""

    def __init__(self, why: str, *, in_fragment: bool = False) -> None:
        super().__init__(why)
        self._in_fragment = in_fragment

    def of(self, url: str) -> str:
        """The whole text of Go's error: the fragment is shown only if it is wrong. The password is hidden."""
        shown = url if self._in_fragment else url.partition("#")[0]
        return f"parse {quoted(url_without_password(shown))}: {self}"


@dataclass(frozen=True, slots=True)
class Url:
    """`scheme:opaque` or `scheme://user@host/path`, with `?query` (None: absent) and `#fragment`.

    `host` may include a port; `path`, `query` and `fragment` are escaped. `user`: name and password (None: absent).
    """

    scheme: str = ""
    opaque: str = ""
    user: tuple[bytes, bytes | None] | None = None
    host: str = ""
    path: str = ""
    query: str | None = None
    fragment: str = ""

    @property
    def address(self) -> tuple[str, str]:
        """Host name or address without brackets, and port; the scheme's default if absent."""
        host, _, port = self.host.rpartition(":")
        if not _ or port.endswith("]"):
            host, port = self.host, ""
        if host.startswith("[") and host.endswith("]"):
            host = host[1:-1]
        return host, port or {"http": "80", "https": "443"}.get(self.scheme, "")

    @property
    def host_header(self) -> str:
        """The Host header: without an empty port, an address's zone or unneeded brackets."""
        return host_header(self.host.removesuffix(":"))

    @property
    def target(self) -> str:
        """The request target: path and query, in printable ASCII."""
        query = "" if self.query is None else "?" + quote(_bytes(self.query), _WIRE_SAFE)
        return (self.path or "/") + query

    @property
    def authorization(self) -> str:
        """The value of the Authorization header; "" without user information."""
        if self.user is None:
            return ""
        name, password = self.user
        return "Basic " + b64encode(name + b":" + (password or b"")).decode()

    @property
    def shown(self) -> str:
        """The whole URL, with `***` for a password."""
        name, password = self.user or (b"", None)
        hidden = name.decode("utf-8", "replace") + ":***" if password is not None else quote(name, _USER_SAFE)
        return self._text(hidden + "@" if self.user is not None else "")

    @property
    def referer(self) -> str:
        """The whole URL without user information."""
        return quote(_bytes(self._text("")), _WIRE_SAFE)

    def _text(self, user: str) -> str:
        text = self.scheme + ":" if self.scheme else ""
        if self.opaque:
            text += self.opaque
        elif ((self.scheme or user) and (self.host or self.path or user)) or self.host:
            text += "//" + user + quote(_bytes(self.host), "".join(_HOST))
        if not self.opaque:
            text += ("/" if self.host and self.path and self.path[0] != "/" else "") + self.path
        text += "" if self.query is None else "?" + self.query
        return text + ("#" + self.fragment if self.fragment else "")

    def join(self, reference: str) -> "Url":
        """Resolve a relative reference (RFC 3986, 5.2). Raises `UrlError`."""
        found = parse(reference)
        if found.scheme or found.opaque:
            return found
        if found.host or found.user is not None:
            return replace(found, scheme=self.scheme)
        same = replace(self, query=found.query, fragment=found.fragment)
        if not found.path:
            if found.query is None:
                fragment = found.fragment or self.fragment
                return replace(same, query=self.query, fragment=fragment)
            return same
        path = found.path if found.path[0] == "/" else self.path.rpartition("/")[0] + "/" + found.path
        return replace(same, path=_without_dots(path))


def parse(text: str) -> Url:
    """Parse a URL or a relative reference. Raises `UrlError`."""
    rest, _, fragment = text.partition("#")
    if _CONTROL.search(rest):
        raise UrlError("net/url: invalid control character in URL")
    if rest.startswith(":"):
        raise UrlError("missing protocol scheme")
    scheme = ""
    if found := _SCHEME.match(rest):
        scheme, rest = found[0][:-1].lower(), rest[found.end() :]
    rest, mark, after = rest.partition("?")
    query = after if mark else None
    if not rest.startswith("/"):
        if scheme:
            return Url(scheme, opaque=rest, query=query, fragment=fragment)
        if ":" in rest.partition("/")[0]:
            raise UrlError("first path segment in URL cannot contain colon")
    user, host = None, ""
    if rest.startswith("//") and (scheme or not rest.startswith("///")):
        authority, slash, path = rest[2:].partition("/")
        user, host = _authority(authority)
        rest = slash + path
    path = _path(rest)
    _check_escapes(fragment, in_fragment=True)
    return Url(scheme, "", user, host, path, query, quote(_bytes(fragment), _FRAGMENT_SAFE + "%!'()*[]"))


def ascii_host(host: str) -> str:
    """A host name in ASCII (IDNA), as it is resolved; unchanged if it has no such form."""
    if host.isascii():
        return host
    try:
        return host.lower().encode("idna").decode()
    except UnicodeError:
        return host


def host_header(host: str) -> str:
    """The Host header for a host, which may have a port: without an address's zone or unneeded brackets."""
    if not host.startswith("["):
        name, colon, port = host.partition(":")
        return ascii_host(name) + colon + port
    address, _, rest = host[1:].partition("]")
    address = address.partition("%")[0]
    return f"[{address}]{rest}" if ":" in address else address + rest


def _bytes(text: str) -> bytes:
    try:
        return text.encode("utf-8", "surrogateescape")  # as a server's Location may have any bytes
    except UnicodeEncodeError:
        return text.encode("utf-8", "replace")


def _check_escapes(text: str, *, in_fragment: bool = False) -> None:
    if bad := re.search(r"%(?![0-9A-Fa-f]{2}).{0,2}", text, re.DOTALL):
        raise UrlError(f"invalid URL escape {quoted(bad[0])}", in_fragment=in_fragment)


def _path(text: str) -> str:
    """A path as it is sent: unchanged if its characters are allowed, else escaped again."""
    _check_escapes(text)
    if text == "*" or _PATH.issuperset(text):
        return text
    return quote(unquote_to_bytes(_bytes(text)), _PATH_SAFE)


def _authority(text: str) -> tuple[tuple[bytes, bytes | None] | None, str]:
    info, at, host = text.rpartition("@")
    host = _host(host)
    if not at:
        return None, host
    if not _USER_INFO.fullmatch(info):
        raise UrlError("net/url: invalid userinfo")
    name, colon, password = info.partition(":")
    _check_escapes(name)
    _check_escapes(password)
    return (unquote_to_bytes(name), unquote_to_bytes(password) if colon else None), host


def _host(text: str) -> str:
    if text.startswith("["):
        end = text.rfind("]")
        if end < 0:
            raise UrlError("missing ']' in host")
        _check_port(text[end + 1 :])
        zone = text.find("%25", 0, end)
        if zone >= 0:
            return _unescaped(text[:zone]) + _unescaped(text[zone:end], zone=True) + _unescaped(text[end:])
    elif ":" in text:
        _check_port(text[text.rindex(":") :])
    return _unescaped(text)


def _check_port(text: str) -> None:
    if not _OPTIONAL_PORT.fullmatch(text):
        raise UrlError(f"invalid port {quoted(text)} after host")


def _unescaped(text: str, *, zone: bool = False) -> str:
    """Decode the escapes of a host or a zone. Raises `UrlError` for a character that is not allowed there."""
    _check_escapes(text)
    for escape in re.findall("%..", text):
        value = chr(int(escape[1:], 16))
        is_allowed = value in _HOST or value == " " if zone else value >= "\x80"
        if escape != "%25" and not is_allowed:
            raise UrlError(f"invalid URL escape {quoted(escape)}")
    if bad := next((char for char in text if char.isascii() and char not in _HOST and char != "%"), ""):
        raise UrlError(f"invalid character {quoted(bad)} in host name")
    return unquote_to_bytes(_bytes(text)).decode("utf-8", "replace")


def _without_dots(path: str) -> str:
    """Remove `.` and `..` (Go's `resolvePath`): other empty parts than the first stay."""
    parts: list[str] = []
    for part in path.split("/"):
        if part == "..":
            del parts[-1:]
        elif part != ".":
            parts.append(part)
    if path.rpartition("/")[2] in (".", ".."):
        parts.append("")
    return "/" + "/".join(parts).removeprefix("/")
