"""TLS client of checks: the standard library's `ssl` over `consulpy.tls.transport`, with the settings of Go's client.

Imported only by agents with such checks. Contexts are cached, since the system's certificates are slow to read.
"""

import os
import ssl
from functools import lru_cache
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IAddress, IProtocol, IProtocolFactory, IStreamClientEndpoint
from twisted.internet.protocol import Factory
from zope.interface import implementer

from consulpy.checks.agenttls import AgentTls
from consulpy.checks.dial import is_address, silence
from consulpy.checks.failure import tls_reason
from consulpy.checks.result import CheckFailed
from consulpy.checks.url import ascii_host
from consulpy.errors import ConfigError
from consulpy.tls.contexts import OLD_VERSIONS, OPENSSL_VERSIONS
from consulpy.tls.transport import HandshakeFailed, TlsProtocol

#: Bytes that tell which protocol a server speaks.
_FIRST_BYTES: Final = 5
_OWN: Final = "enable_agent_tls_for_checks: "


@lru_cache(maxsize=16)
def context_for(own: AgentTls | None, protocols: tuple[str, ...], *, verify: bool) -> ssl.SSLContext:
    """The context of a check. `own`: the agent's certificates. `verify`: the server's. `protocols`: for ALPN.

    Raises `ConfigError` for files that hold no certificate or key.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.hostname_checks_common_name = False  # as Go
    # as Consul's client: the agent's settings say how old a version may be, without them all do
    is_old = own is None or own.min_version in OLD_VERSIONS
    context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED if own is None else OPENSSL_VERSIONS[own.min_version]
    if is_old or not verify:
        context.set_ciphers("DEFAULT:@SECLEVEL=0")
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    elif own is None or not own.authorities:
        context.load_default_certs()
    if protocols:
        context.set_alpn_protocols(list(protocols))
    if own is not None:
        _load(context, own)
    return context


def check(own: AgentTls) -> None:
    """Raise `ConfigError` for files that hold no certificate or key."""
    context_for(own, (), verify=True)


def _load(context: ssl.SSLContext, own: AgentTls) -> None:
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # as Go: a trusted intermediate is enough
    for text in own.authorities:
        try:
            context.load_verify_locations(cadata=text.decode("ascii", "replace"))
        except (ssl.SSLError, ValueError):
            raise ConfigError(f"{_OWN}ca_file or ca_path: no certificate in PEM form") from None
    if not own.certificate:
        return
    # `ssl` reads a certificate and its key from a file only; this one is in memory
    place = os.memfd_create("check certificate")
    try:
        os.write(place, own.key + b"\n" + own.certificate)
        context.load_cert_chain(f"/proc/self/fd/{place}", password=lambda: "")
    except (ssl.SSLError, OSError):
        raise ConfigError(f"{_OWN}cert_file and key_file hold no certificate and key") from None
    finally:
        os.close(place)


@implementer(IStreamClientEndpoint)
class TlsEndpoint:
    """`endpoint` with TLS to `host`, or to `server_name` if that is given, on top. Fails with `CheckFailed`."""

    def __init__(
        self,
        endpoint: IStreamClientEndpoint,
        host: str,
        own: AgentTls | None,
        *,
        verify: bool,
        protocols: tuple[str, ...] = (),
        server_name: str = "",
    ) -> None:
        self._endpoint = endpoint
        self._host = server_name or (own.server_name if own is not None else "") or host
        self._context = context_for(own, protocols, verify=verify)
        self._verify = verify

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        """Connect, and shake hands."""
        silence(protocolFactory)
        return Deferred.fromCoroutine(self._connect(protocolFactory))

    async def _connect(self, factory: IProtocolFactory) -> IProtocol:
        name = ascii_host(self._host).partition("%")[0].removesuffix(".") or None
        if name is not None and is_address(name) and not self._verify:
            name = None
        layer: Any = await self._endpoint.connect(_Layers(self._context, factory, name))
        try:
            protocol: IProtocol = await layer.secured
        except HandshakeFailed as error:
            raise CheckFailed(tls_reason(str(error), self._host, layer.first)) from None
        return protocol


class _Layers(Factory):
    """Puts TLS under the protocols of another factory."""

    def __init__(self, context: ssl.SSLContext, inner: Any, name: str | None) -> None:
        self._context = context
        self._inner = inner
        self._name = name

    def buildProtocol(self, addr: IAddress | None) -> Any:
        return _CheckTls(self._context, self._inner.buildProtocol(addr), server_side=False, name=self._name)


class _CheckTls(TlsProtocol):
    """TLS to a server that may speak another protocol. `first`: the first bytes that it sent."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.first = b""
        self.secured = Deferred(lambda _: self.transport.loseConnection())  # a plain end of the stream, as Go's

    def dataReceived(self, data: bytes) -> None:
        """See `TlsProtocol.dataReceived`."""
        if len(self.first) < _FIRST_BYTES:
            self.first += data[:_FIRST_BYTES]
        super().dataReceived(data)
