"""SPIFFE ids of services, of agents and of the CA, and the names in certificates.

Source: what Consul 1.8.7 accepts and writes (docs/wire/connect.md).
"""

import re
from dataclasses import replace
from typing import Final
from urllib.parse import quote, unquote, urlsplit

from consulpy.codec.lazy_dataclass import dataclass
from consulpy.errors import RPCError
from consulpy.gocompat.literals import quoted

#: Characters that Go leaves as they are in the path of a URL.
_SAFE: Final = "/$&+,:;=@-_.~"
_SERVICE: Final = re.compile(r"/ns/([^/]+)/dc/([^/]+)/svc/([^/]+)")
_AGENT: Final = re.compile(r"/agent/client/dc/([^/]+)/id/([^/]+)")
#: The longest common name in a certificate (RFC 5280, ub-common-name).
COMMON_NAME_MAX: Final = 64
#: Hexadecimal digits of the cluster id that stand in names.
_SHORT_ID: Final = 8
DEFAULT_NAMESPACE: Final = "default"
#: What Go's parser of URLs looks at: escapes that are none, control characters, the scheme, and the host with its port.
_BAD_ESCAPE: Final = re.compile(r"%(?![0-9A-Fa-f]{2}).{0,2}", re.DOTALL)
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")
_SCHEME: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*")
_AUTHORITY: Final = re.compile(r"//([^/?#@]*@)?[A-Za-z0-9._~!$&'()*+,;=%-]*(:[0-9]*)?(?=[/?#]|$)")


class BadSpiffeId(RPCError):
    """Not a SPIFFE id, or none of ours. The texts are Consul's."""


@dataclass(frozen=True, slots=True)
class ServiceId:
    """A service. `host`: the trust domain."""

    host: str
    datacenter: str
    service: str
    namespace: str = DEFAULT_NAMESPACE

    @property
    def uri(self) -> str:
        """As a URI."""
        return f"spiffe://{self.host}" + _path(f"/ns/{self.namespace}/dc/{self.datacenter}/svc/{self.service}")

    @property
    def common_name(self) -> str:
        """The common name of its certificates."""
        return _common_name(self.service, f".svc.{_plain(self.namespace)}.{_short(self.host)}.consul")


@dataclass(frozen=True, slots=True)
class AgentId:
    """An agent, by its node's name."""

    host: str
    datacenter: str
    agent: str

    @property
    def uri(self) -> str:
        """As a URI."""
        return f"spiffe://{self.host}" + _path(f"/agent/client/dc/{self.datacenter}/id/{self.agent}")

    @property
    def common_name(self) -> str:
        """The common name of its certificates."""
        return _common_name(self.agent, f".agnt.{_short(self.host)}.consul")

    def within(self, host: str) -> "AgentId":
        """The same agent in another trust domain."""
        return replace(self, host=host)


@dataclass(frozen=True, slots=True)
class SigningId:
    """The CA of a cluster."""

    host: str

    @property
    def uri(self) -> str:
        """As a URI."""
        return f"spiffe://{self.host}"


SpiffeId = ServiceId | AgentId | SigningId


def parse(uri: str) -> SpiffeId:
    """Parse a SPIFFE id. Raises `BadSpiffeId`."""
    try:
        parts = urlsplit(uri)
    except ValueError:
        raise BadSpiffeId(f"SPIFFE ID is not in the expected format: {uri}") from None
    if parts.scheme.lower() != "spiffe":
        raise BadSpiffeId("SPIFFE ID must have 'spiffe' scheme")
    host, path = parts.netloc, unquote(parts.path)
    found = _SERVICE.fullmatch(path)
    if found:
        return ServiceId(host, found[2], found[3], found[1])
    found = _AGENT.fullmatch(path)
    if found:
        return AgentId(host, found[1], found[2])
    if not path and host.find(".") > 0:
        return SigningId(host)
    raise BadSpiffeId(f"SPIFFE ID is not in the expected format: {uri}")


def authority_name(kind: str, unique: str, trust_domain: str) -> str:
    """The common name of a CA's certificate. `kind`: `pri` or `sec`; `unique`: its random part."""
    return f"{kind}-{unique}.consul.ca.{_short(trust_domain)}.consul"


def _path(path: str) -> str:
    return quote(path, safe=_SAFE)


def _short(trust_domain: str) -> str:
    return trust_domain[:_SHORT_ID].lower()


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _common_name(name: str, rest: str) -> str:
    return _plain(name)[: max(COMMON_NAME_MAX - len(rest), 0)] + rest


def url_fault(uri: str) -> str:
    """Why Go can't parse a URI, "" if it can; no real agent could read a certificate with it."""
    escape = _BAD_ESCAPE.search(uri)
    if escape is not None:
        return f"invalid URL escape {quoted(escape[0])}"
    if _CONTROL.search(uri):
        return "net/url: invalid control character in URL"
    scheme, colon, rest = uri.partition(":")
    if colon and not _SCHEME.fullmatch(scheme) and "/" not in scheme:
        return "missing protocol scheme" if not scheme else "first path segment in URL cannot contain colon"
    if rest.startswith("//") and not _AUTHORITY.match(rest):
        return "invalid character in host name"
    return ""
