"""The requests of an HTTP check and their redirects, by the rules of Go's HTTP client. Pure.

User information in the URL becomes an Authorization header, unless the check has one.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

from consulpy.checks.result import CheckFailed
from consulpy.checks.url import Url, UrlError, ascii_host, host_header, parse
from consulpy.gocompat.literals import quoted
from consulpy.structs.definition import CheckType

USER_AGENT: Final = "Consul Health Check"
ACCEPT: Final = "text/plain, text/*, */*"
_TOKEN: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_NOT_IN_A_VALUE: Final = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
#: Headers of a check that are not sent: the client sets its own.
_OWN: Final = frozenset(("host", "content-length", "transfer-encoding", "trailer"))
#: Headers that are not sent to another host after a redirect.
_SECRET: Final = frozenset(("authorization", "www-authenticate", "cookie", "cookie2"))
#: Status of a redirect -> whether it preserves method and body.
_REDIRECTS: Final = {301: False, 302: False, 303: False, 307: True, 308: True}


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """One request. `headers`: as in the check. `host`: of the Host header, "" for the URL's.

    `first_method`: of the request that redirected to this one, "" for the first. `proxy`: that it is sent to.
    """

    method: str
    url: Url
    headers: tuple[tuple[str, str], ...] = ()
    host: str = ""
    body: str = ""
    referer: str = ""
    first_method: str = ""
    proxy: Url | None = None

    @classmethod
    def of(cls, kind: CheckType) -> "HttpRequest":
        """The first request of a check. Raises `CheckFailed` for an invalid method or URL."""
        method = kind.method or "GET"
        if not _TOKEN.fullmatch(method):
            raise CheckFailed(f"net/http: invalid method {quoted(method)}")
        try:
            url = parse(kind.http)
        except UrlError as error:
            raise CheckFailed(error.of(kind.http)) from None
        headers = tuple((name, value) for name, values in (kind.header or {}).items() for value in values)
        host = next((value for name, value in headers if name.lower() == "host"), "")
        return cls(method, replace(url, host=url.host.removesuffix(":")), headers, host, kind.body)

    @property
    def shown(self) -> str:
        """The request in error texts, which keep the first one's method: `Get "http://host/path"`."""
        method = self.first_method or self.method
        return f"{method[:1]}{method[1:].lower()} {quoted(self.url.shown)}"

    def check(self) -> None:
        """Raise `CheckFailed` for a request that cannot be sent."""
        for name, value in self.headers if self.url.scheme in ("http", "https") else ():
            if not _TOKEN.fullmatch(name):
                raise CheckFailed(f"net/http: invalid header field name {quoted(name)}")
            if _NOT_IN_A_VALUE.search(value):
                raise CheckFailed(f"net/http: invalid header field value {quoted(value)} for key {name}")
        if self.url.scheme not in ("http", "https"):
            raise CheckFailed(f"unsupported protocol scheme {quoted(self.url.scheme)}")
        if not self.url.host:
            raise CheckFailed("http: no Host in request URL")

    @property
    def may_be_compressed(self) -> bool:
        """Whether gzip is requested, to be decoded here."""
        names = {name.lower() for name, _ in self.headers}
        return self.method != "HEAD" and not names & {"accept-encoding", "range"}

    def fields(self) -> Iterator[tuple[str, str]]:
        """Names and values of the header fields in Go's order: the check's are sorted by their names."""
        # as Go: the host ends at the first blank or slash
        host = re.split("[ /]", self.host)[0]
        yield "Host", host_header(host) if host else self.url.host_header
        given = [(name, value.strip(" \t")) for name, value in self.headers if name.lower() not in _OWN]
        agents = [value for name, value in given if name.lower() == "user-agent" and value]
        yield "User-Agent", agents[0] if agents else USER_AGENT
        if self.body or self.method in ("POST", "PUT"):
            yield "Content-Length", str(len(self.encoded_body))
        names = {name.lower() for name, value in given if value}
        defaults = {"Accept": ACCEPT, "Authorization": self.url.authorization, "Referer": self.referer}
        defaults = {name: value for name, value in defaults.items() if value and name.lower() not in names}
        replaced = {"user-agent", *map(str.lower, defaults)}
        others = [each for each in given if each[0].lower() not in replaced]
        yield from sorted([*defaults.items(), *others], key=lambda each: each[0])
        if self.may_be_compressed:
            yield "Accept-Encoding", "gzip"
        if ("connection", "close") not in [(name.lower(), value.lower()) for name, value in given]:
            yield "Connection", "close"  # the connection is for this request only
        if self._is_absolute and self.proxy is not None and self.proxy.user is not None:
            yield "Proxy-Authorization", self.proxy.authorization

    @property
    def _is_absolute(self) -> bool:
        """Whether it is for a proxy that is to fetch it; one of HTTPS goes through a tunnel."""
        return self.proxy is not None and self.url.scheme == "http"

    @property
    def encoded_body(self) -> bytes:
        """The body as it is sent."""
        return self.body.encode("utf-8", "replace")

    def encoded(self) -> bytes:
        """The request as it is sent."""
        fields = [(name.encode(), value.encode("utf-8", "replace")) for name, value in self.fields()]
        lines = [b"%s: %s\r\n" % each for each in fields]
        target = f"http://{self.url.host_header}{self.url.target}" if self._is_absolute else self.url.target
        first = b"%s %s HTTP/1.1\r\n" % (self.method.encode(), target.encode())
        return first + b"".join(lines) + b"\r\n" + self.encoded_body

    def redirected(self, status: int, location: str) -> "HttpRequest | None":
        """The request that a response redirects to; None if it is no redirect. Raises `CheckFailed`."""
        same = _REDIRECTS.get(status)
        if same is None or (same and not location):
            return None
        if not location:
            raise CheckFailed(f"{status} response missing Location header")
        try:
            url = self.url.join(location)
            absolute = bool(parse(location).scheme)
        except UrlError as error:
            raise CheckFailed(f"failed to parse Location header {quoted(location)}: {error.of(location)}") from None
        method = self.method if same or self.method == "HEAD" else "GET"
        headers = self.headers
        if not _within(url, self.url):
            headers = tuple(each for each in headers if each[0].lower() not in _SECRET)
        referer = "" if self.url.scheme == "https" and url.scheme == "http" else self.url.referer
        if referer:
            headers = tuple(each for each in headers if each[0].lower() != "referer")
        return replace(
            self,
            method=method,
            first_method=self.first_method or self.method,
            url=url,
            headers=headers,
            host="" if absolute else self.host,
            body=self.body if same else "",
            referer=referer,
        )


def _within(url: Url, other: Url) -> bool:
    """Whether a URL has the same port as `other` and the same host or a subdomain of it."""
    (host, port), (base, base_port) = url.address, other.address
    host, base = ascii_host(host).lower(), ascii_host(base).lower()
    return port == base_port and (host == base or host.endswith("." + base))
