"""SPIFFE ids of services, of agents and of the CA, and the names in certificates.

Source: what Consul 1.8.7 accepts and writes (docs/wire/connect.md).
"""

import re
from dataclasses import replace
from typing import Final
from urllib.parse import quote, unquote, urlsplit

from consulpy.codec.lazy_dataclass import dataclass
from consulpy.errors import RPCError

#: Characters that Go leaves as they are in the path of a URL.
_SAFE: Final = "/$&+,:;=@-_.~"
_SERVICE: Final = re.compile(r"/ns/([^/]+)/dc/([^/]+)/svc/([^/]+)")
_AGENT: Final = re.compile(r"/agent/client/dc/([^/]+)/id/([^/]+)")
#: The longest common name in a certificate (RFC 5280, ub-common-name).
COMMON_NAME_MAX: Final = 64
#: Hexadecimal digits of the cluster id that stand in names.
_SHORT_ID: Final = 8
DEFAULT_NAMESPACE: Final = "default"


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
