"""Cross-site request check: refuses requests that change state and that a page of another site made a browser send.

Browsers name the origin (`Sec-Fetch-Site`, `Origin`); requests with neither header are not checked. After DNS rebinding
a foreign page is of the same site for the browser, so the host must be one of this agent.
Source: Fetch Metadata Request Headers section 2.4; RFC 6454 section 7 for `Origin`.
"""

import ipaddress
import re
from collections.abc import Iterable
from typing import Any, Final
from urllib.parse import urlsplit

from consulpy.codec.printable import printable

READS: Final = (b"GET", b"HEAD", b"OPTIONS")
#: Read, but makes the agent connect to an address that the client names: an image of a foreign page could do that.
_CONNECTS: Final = b"/v1/agent/doctor/"
#: The words of `Sec-Fetch-Site`.
_SITES: Final = ("cross-site", "same-site", "same-origin", "none")
_HOST: Final = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^:\[\]]+)(?::[0-9]*)?")


class Origins:
    """`allowed`: hosts whose pages may change state (`ui_config.allowed_hosts`); of an origin only the host counts.

    `own`: names of this machine.
    """

    def __init__(self, allowed: Iterable[str] = (), own: Iterable[str] = ()) -> None:
        self._allowed = {_host_of_origin(name) or _host(name) or name for name in allowed}
        self._own = {"localhost", *(_folded(name) for name in own if name)}

    def refuses(self, web: Any) -> str:
        """The reason for a 403, or "". `web`: `method`, `getHeader(name)`."""
        if web.method in READS and not web.path.startswith(_CONNECTS):
            return ""
        site, origin = web.getHeader("sec-fetch-site"), web.getHeader("origin")
        if site is None and origin is None:
            return ""
        host = _host_of_origin(origin or "")
        if host in self._allowed:
            return ""
        if not self._is_foreign(site, host, web):
            return ""
        whose = f"Origin {printable(origin)[:200]!r}" if origin else f"Sec-Fetch-Site: {printable(site or '')[:20]}"
        return (
            f"Refused: a page of another site makes this request ({whose}). "
            "ui_config.allowed_hosts names the hosts whose pages may change something."
        )

    def _is_foreign(self, site: str | None, host: str | None, web: Any) -> bool:
        kind, has_origin = (site or "").strip().lower(), bool(web.getHeader("origin"))
        if kind == "same-site" and has_origin:
            return host not in _hosts_of(web)  # a site is a domain: who has one name of it need not have the others
        if kind in _SITES or (site is not None and not has_origin):
            return kind == "cross-site"
        return host is None or host not in _hosts_of(web) or not self._is_ours(host)  # no browser sends another word

    def _is_ours(self, host: str) -> bool:
        if host in self._own or host == "consul" or host.endswith(".consul"):
            return True
        try:
            ipaddress.ip_address(host.strip("[]"))
        except ValueError:
            return False
        return True


def _folded(host: str) -> str:
    return host.strip().lower().removesuffix(".")


def _host_of_origin(origin: str) -> str | None:
    """`https://Ui.example:443` -> `ui.example`; None for `null` and what is no origin."""
    try:
        parts = urlsplit(origin)
    except ValueError:
        return None
    return _host(parts.netloc) if parts.scheme and parts.netloc and "@" not in parts.netloc else None


def _host(text: str) -> str | None:
    """A host without its port."""
    found = _HOST.fullmatch(text.strip())
    return _folded(found[1]) if found else None


def _hosts_of(web: Any) -> set[str]:
    """The hosts in Host and X-Forwarded-Host."""
    given = [web.getHeader("host") or "", *(web.getHeader("x-forwarded-host") or "").split(",")]
    return {host for host in map(_host, given) if host is not None}
