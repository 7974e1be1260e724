"""One HTTP request for a JSON object, as auth methods need it. Blocking: run in a thread."""

import http.client
import json
import ssl
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlsplit

from consulpy.errors import RPCError

TIMEOUT_S: Final = 10.0
#: Bytes of a response that are read.
_RESPONSE_MAX: Final = 1 << 20


def request(
    method: str, url: str, *, headers: Mapping[str, str] = {}, body: Any = None, ca_cert: str = ""
) -> dict[str, Any]:
    """The object in the response. `ca_cert`: trusted CAs in PEM form, "" for the system's. Raises `RPCError`.

    Redirects are not followed, as requests may carry secrets.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
        if parts.scheme not in ("http", "https") or not host:
            raise ValueError("no http or https URL")
        connection: http.client.HTTPConnection
        if parts.scheme == "https":
            context = ssl.create_default_context(cadata=ca_cert or None)
            connection = http.client.HTTPSConnection(host, port, timeout=TIMEOUT_S, context=context)
        else:
            connection = http.client.HTTPConnection(host, port, timeout=TIMEOUT_S)
        sent = {"Accept": "application/json", **headers}
        if body is not None:
            sent["Content-Type"] = "application/json"
        try:
            target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
            connection.request(method, target, body=None if body is None else json.dumps(body).encode(), headers=sent)
            response = connection.getresponse()
            raw = response.read(_RESPONSE_MAX + 1)
        finally:
            connection.close()
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise RPCError(f"{method.capitalize()} {url}: {error}") from None
    return _document(response.status, raw)


def _document(status: int, raw: bytes) -> dict[str, Any]:
    try:
        found = json.loads(raw) if len(raw) <= _RESPONSE_MAX else None
    except (ValueError, RecursionError):
        found = None
    if status not in (200, 201):
        told = found.get("message") if isinstance(found, dict) else None
        raise RPCError(str(told) if told else f"the server returned status {status}")
    if not isinstance(found, dict):
        raise RPCError("the server returned no object")
    return found
