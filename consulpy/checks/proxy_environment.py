"""Proxies of HTTP checks: the environment's HTTP_PROXY, HTTPS_PROXY and NO_PROXY, by the rules of Go's client. Pure.

Source: public documentation of Go's `golang.org/x/net/http/httpproxy`. Checks of this host never go by a proxy.
"""

from collections.abc import Mapping
from ipaddress import ip_address, ip_network

from consulpy.checks.result import CheckFailed
from consulpy.checks.url import Url, UrlError, ascii_host, parse
from consulpy.codec.lazy_dataclass import dataclass


@dataclass(frozen=True, slots=True)
class Proxies:
    """`http`, `https`: URLs of the proxies for both schemes, "" for none. `bypass`: what goes by none (NO_PROXY)."""

    http: str = ""
    https: str = ""
    bypass: tuple[str, ...] = ()

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> "Proxies":
        """Read the variables; their names in capitals first."""

        def value(name: str) -> str:
            return environment.get(name) or environment.get(name.lower()) or ""

        bypass = tuple(part.strip().lower() for part in value("NO_PROXY").split(",") if part.strip())
        return cls(value("HTTP_PROXY"), value("HTTPS_PROXY"), bypass)

    def of_url(self, url: Url) -> Url | None:
        """The proxy for a URL. Raises `CheckFailed` for one that is not spoken to."""
        text = {"http": self.http, "https": self.https}.get(url.scheme, "")
        host, port = url.address
        host = ascii_host(host).lower()
        if not text or _is_here(host) or any(_matches(rule, host, port) for rule in self.bypass):
            return None
        try:
            proxy = parse(text if "://" in text else f"http://{text}")
        except UrlError as error:
            raise CheckFailed(f"invalid proxy address: {error.of(text)}") from None
        if proxy.scheme != "http":
            raise CheckFailed(f"proxies of the scheme {proxy.scheme} are not supported")
        return proxy


def _is_here(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _matches(rule: str, host: str, port: str) -> bool:
    """Whether a rule of NO_PROXY fits: `*`, an address, a network, or a domain with its subdomains and maybe a port."""
    if rule == "*":
        return True
    try:
        return ip_address(host) in ip_network(rule)
    except ValueError:
        pass
    name, colon, rule_port = rule.rpartition(":")
    if not colon or not rule_port.isdigit():
        name, rule_port = rule, ""
    if rule_port not in ("", port):
        return False
    name = name.removeprefix("*").strip("[]")
    return host.endswith(name if name.startswith(".") else f".{name}") or host == name
