"""HTTP requests to an agent, and their errors."""

import base64
import errno
import http.client
import socket
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any, Final
from urllib.parse import urlencode

from consulpy.client.settings import ClientSettings
from consulpy.errors import ConsulpyError

#: Context entered while a request is under way.
Waiting = Callable[[], AbstractContextManager[object]]
#: Context entered while a response is awaited. It gets a function that ends this by an error, and may raise `NoAgent`.
Watch = Callable[[Callable[[], None]], AbstractContextManager[object]]
#: Most bytes of a response that are read.
LARGEST_BYTES: Final = 512 * 1024 * 1024
#: Go's texts of errors; others are the system's texts in lower case.
_GO_TEXTS: Final = {
    errno.ECONNREFUSED: "connect: connection refused",
    errno.ENOENT: "connect: no such file or directory",
}

#: The peer closed the connection.
_ENDED: Final = (ConnectionResetError, BrokenPipeError)
#: OpenSSL's reasons for a peer that does not speak TLS.
_NO_TLS: Final = ("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "UNKNOWN_PROTOCOL", "RECORD_LAYER_FAILURE")


class ClientError(ConsulpyError):
    """A failed request; the text is for the user."""


class NoAgent(ClientError):
    """No agent responded. `hint`: what to do about it. `refused`: the host responded that nothing listens there.

    `opened`: there was a connection.
    """

    def __init__(self, text: str, hint: str, refused: bool = False, opened: bool = False) -> None:
        super().__init__(text)
        self.hint = hint
        self.refused = refused
        self.opened = opened


def answer_of(response: http.client.HTTPResponse, body: bytes) -> "Answer":
    """A response with its body."""
    return Answer(response.status, {name.lower(): value for name, value in response.getheaders()}, body)


class AnswerError(ClientError):
    """The agent responded with an error. `hint`: what to do about it, where that is known."""

    def __init__(self, status: int, text: str, hint: str = "") -> None:
        super().__init__(f"Unexpected response code: {status} ({text})")
        self.status = status
        self.text = text
        self.hint = hint
        #: Whether plain HTTP was sent to an HTTPS port (Go's `net/http`).
        self.needs_https = status == 400 and text.startswith("Client sent an HTTP request to an HTTPS server.")
        if self.needs_https:
            self.hint = "This port takes HTTPS: write https:// before the address in -http-addr or CONSUL_HTTP_ADDR."


@dataclass(frozen=True)
class Answer:
    """A complete response."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def index(self) -> int:
        """The header X-Consul-Index; 0 without one."""
        text = self.headers.get("x-consul-index", "0")
        return int(text) if text.isdecimal() else 0


class Connection:
    """Makes requests, each over a connection of its own.

    `waiting()`: entered while the agent's response is awaited; `watch`: while its head is.
    """

    def __init__(self, settings: ClientSettings, waiting: Waiting = nullcontext, watch: Watch = nullcontext) -> None:
        self.settings = settings
        self._waiting = waiting
        self._watch = watch
        self._has_answered = False

    def request(
        self,
        method: str,
        path: str,
        params: Mapping[str, Any] | None = None,
        body: bytes | None = None,
        timeout_s: float | None = None,
    ) -> Answer:
        """The response, whatever its status. `params`: None values are omitted. Raises `NoAgent`, `ClientError`."""
        with self._waiting():
            connection, response = self.open(method, path, params, body, timeout_s)
            try:
                data = response.read(LARGEST_BYTES)
            except (OSError, http.client.HTTPException) as error:
                raise ClientError(f"{self._shown(method, path, params)}: {_reason(error)}") from None
            finally:
                connection.close()
        return answer_of(response, data)

    def open(
        self,
        method: str,
        path: str,
        params: Mapping[str, Any] | None = None,
        body: bytes | None = None,
        timeout_s: float | None = None,
    ) -> tuple[http.client.HTTPConnection, http.client.HTTPResponse]:
        """A response with its body unread; the caller closes the connection. Raises `NoAgent`."""
        settings = self.settings
        connection = _connect(settings, timeout_s or settings.timeout_s)
        headers = {"User-Agent": "consulpy"} | ({"X-Consul-Token": settings.token} if settings.token else {})
        if settings.basic_auth:
            headers["Authorization"] = f"Basic {base64.b64encode(settings.basic_auth.encode()).decode()}"
        try:
            with self._watch(partial(_shut, connection)):
                connection.request(method, _target(path, params), body=body, headers=headers)
                response = connection.getresponse()
            self._has_answered = True
            return connection, response
        except (OSError, http.client.HTTPException, ValueError) as error:
            opened = connection.sock is not None
            connection.close()
            text = f"{self._shown(method, path, params)}: {self._dial_error(error)}"
            refused = getattr(error, "errno", None) in _GO_TEXTS
            raise NoAgent(text, self._hint(error), refused, opened) from None

    def _shown(self, method: str, path: str, params: Mapping[str, Any] | None) -> str:
        return f'{method.capitalize()} "{self.settings.url}{_target(path, params)}"'

    def _dial_error(self, error: Exception) -> str:
        if isinstance(error, socket.gaierror):
            return f"dial tcp: lookup {self.settings.address.rpartition(':')[0]}: no such host"
        if isinstance(error, OSError) and error.errno in _GO_TEXTS:
            network = "unix" if self.settings.scheme == "unix" else "tcp"
            return f"dial {network} {self.settings.address}: {_GO_TEXTS[error.errno]}"
        return _reason(error)

    def _hint(self, error: Exception) -> str:
        if isinstance(error, TimeoutError):
            return (
                f"{self.settings.address} does not answer in time: the agent is stuck or slow (consulpy doctor), or "
                "it is no HTTP API (port 8500 by default)."
            )
        if isinstance(error, _ENDED) and self._has_answered:  # RemoteDisconnected is one
            return f"The agent at {self.settings.address} ended the connection: it is stopped, or was started anew."
        if isinstance(error, (http.client.HTTPException, *_ENDED)):
            return (
                f"What listens at {self.settings.address} does not speak HTTP: -http-addr and CONSUL_HTTP_ADDR name "
                "the HTTP API of an agent (port 8500; 8501 is HTTPS: https://, 8600 DNS, 8301 and 8302 gossip, "
                "8300 for servers)."
            )
        reason = getattr(error, "reason", None)
        if reason in _NO_TLS:
            return f"What listens at {self.settings.address} does not speak TLS: use http://{self.settings.address}."
        if isinstance(reason, str):
            return (
                "TLS was not agreed on: -ca-file (CONSUL_CACERT) is the authority of the agent's certificate, "
                "-tls-server-name (CONSUL_TLS_SERVER_NAME) a name in it."
            )
        return (
            f"No agent answers at {self.settings.address}: start one (consulpy agent -dev), or say where it listens "
            "with -http-addr or CONSUL_HTTP_ADDR."
        )


def _shut(connection: http.client.HTTPConnection) -> None:
    if connection.sock is not None:
        connection.sock.shutdown(socket.SHUT_RDWR)


def _target(path: str, params: Mapping[str, Any] | None) -> str:
    pairs: list[tuple[str, str]] = []
    for name, value in sorted((params or {}).items()):
        values = value if isinstance(value, list | tuple) else [value]
        pairs += [(name, str(one)) for one in values if one is not None]
    return f"{path}?{urlencode(pairs, errors='surrogateescape')}" if pairs else path


def _reason(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, http.client.RemoteDisconnected):
        return "EOF"
    if isinstance(error, http.client.HTTPException):
        return f"this is no HTTP answer: {str(error).strip() or type(error).__name__}"
    reason = getattr(error, "reason", None)  # of TLS: `WRONG_VERSION_NUMBER`
    if reason in _NO_TLS:
        return "http: server gave HTTP response to HTTPS client"
    if isinstance(reason, str):
        detail = getattr(error, "verify_message", "")
        return f"tls: {reason.replace('_', ' ').lower()}" + (f": {detail}" if detail else "")
    return str(getattr(error, "strerror", None) or error).lower()


class _UnixConnection(http.client.HTTPConnection):
    """HTTP over a unix socket."""

    def __init__(self, path: str, timeout_s: float) -> None:
        super().__init__("localhost", timeout=timeout_s)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def _connect(settings: ClientSettings, timeout_s: float) -> http.client.HTTPConnection:
    if settings.scheme != "https" and (settings.ca_file or settings.ca_path or settings.client_cert):
        from consulpy.client.tls import client_context

        client_context(settings)  # a mistake in it is said even where no TLS is spoken, as by Consul
    if settings.scheme == "unix":
        return _UnixConnection(settings.address, timeout_s)
    if settings.scheme == "http":
        return http.client.HTTPConnection(settings.address, timeout=timeout_s)
    from consulpy.client.tls import connect  # a costly import

    return connect(settings, timeout_s)
