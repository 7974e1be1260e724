"""A handler of a watch that is a URL."""

from base64 import b64encode
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import HostnameEndpoint
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.web.iweb import IAgentEndpointFactory
from zope.interface import implementer

from consulpy.codec.secrets import text_without_secrets
from consulpy.errors import ConfigError
from consulpy.gocompat.duration import parse_duration
from consulpy.log import Logger

_log = Logger()

#: Default timeout of a call, in seconds.
HTTP_TIMEOUT_S: Final = 10.0
#: Most bytes of a handler's output or response that are logged.
OUTPUT_MAX_BYTES: Final = 4096
#: The settings, as Consul has them; others are refused.
_KEYS: Final = ("path", "method", "timeout", "header", "tls_skip_verify")


def _without_userinfo(url: str) -> tuple[str, dict[str, str]]:
    """A URL without user and password, and the Authorization header that replaces them."""
    parts = urlsplit(url)
    userinfo, there, host = parts.netloc.rpartition("@")
    if not there:
        return url, {}
    user, _, password = userinfo.partition(":")
    credentials = b64encode(f"{unquote(user)}:{unquote(password)}".encode()).decode()
    return parts._replace(netloc=host).geturl(), {"Authorization": f"Basic {credentials}"}


@implementer(IAgentEndpointFactory)
class WebHook:
    """Calls a URL with the result as its body and an index as X-Consul-Index."""

    def __init__(self, reactor: Any, settings: Mapping[str, Any]) -> None:
        self._reactor = reactor
        unknown = sorted(set(settings) - set(_KEYS))
        if unknown:
            raise ConfigError(f"watches: http_handler_config: invalid parameters: {', '.join(unknown)}")
        self._url = str(settings.get("path") or "")
        if not self._url.startswith(("http://", "https://")):
            shown_url = text_without_secrets(repr(self._url))
            raise ConfigError(f"watches: http_handler_config: path must be a URL, not {shown_url}")
        self._url, authorization = _without_userinfo(self._url)
        self._method = str(settings.get("method") or "POST")
        self._verify = settings.get("tls_skip_verify") is not True
        self._headers: Mapping[str, Any] = {**authorization, **(settings.get("header") or {})}
        try:
            self._timeout_s = parse_duration(str(settings.get("timeout") or f"{HTTP_TIMEOUT_S:g}s"))
        except ValueError as error:
            raise ConfigError(f"watches: http_handler_config: timeout: {error}") from None

    def handle(self, position: int | str, result: bytes) -> "Deferred[None]":
        """Fires with the response; fails after the timeout."""
        return Deferred.fromCoroutine(self._call(position, result)).addTimeout(self._timeout_s, self._reactor)

    def endpointForURI(self, uri: Any) -> IStreamClientEndpoint:
        """The endpoint, with TLS for https."""
        host, port = uri.host.decode().strip("[]"), uri.port
        endpoint = HostnameEndpoint(self._reactor, host, port, timeout=self._timeout_s)
        if uri.scheme != b"https":
            return endpoint
        from consulpy.checks.tls import TlsEndpoint

        return TlsEndpoint(endpoint, host, None, verify=self._verify)

    async def _call(self, position: int | str, result: bytes) -> None:
        from io import BytesIO

        from twisted.web.client import Agent, FileBodyProducer, readBody
        from twisted.web.http_headers import Headers

        headers = Headers({"Content-Type": ["application/json"]})
        if isinstance(position, int):
            headers.setRawHeaders("X-Consul-Index", [str(position)])
        for name, values in self._headers.items():
            headers.setRawHeaders(name, [values] if isinstance(values, str) else list(values))
        body = FileBodyProducer(BytesIO(result))
        response = await Agent.usingEndpointFactory(self._reactor, self).request(
            self._method.encode(), self._url.encode(), headers, body
        )
        answered = await readBody(response)
        if not 200 <= response.code < 300:
            text = answered[:OUTPUT_MAX_BYTES].decode("utf-8", "replace").strip()
            _log.error("watch handler {url} answered {code}: {text}", url=self._url, code=response.code, text=text)
