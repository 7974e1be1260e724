"""Reviews of service account tokens by Kubernetes, for auth methods of the type `kubernetes`.

Blocking: run in a thread. Source: Kubernetes' API reference (TokenReview, ServiceAccount); Consul's documentation of
the auth method: the account's name may be overridden by an annotation.
"""

import http.client
import json
import ssl
from typing import Any, Final
from urllib.parse import quote, urlsplit

from consulpy.acl.auth_config import KubernetesConfig
from consulpy.acl.binding import ServiceAccount
from consulpy.errors import RPCError

TIMEOUT_S: Final = 10.0
#: Bytes of a response that are read.
_RESPONSE_MAX: Final = 1 << 20
_NAME_ANNOTATION: Final = "consul.hashicorp.com/service-account-name"
_USERNAME_PARTS: Final = 4


def review(config: KubernetesConfig, bearer: str) -> ServiceAccount:
    """The service account of a bearer token. Raises `RPCError`."""
    body = {
        "kind": "TokenReview",
        "apiVersion": "authentication.k8s.io/v1",
        "metadata": {"creationTimestamp": None},
        "spec": {"token": bearer},
        "status": {"user": {}},
    }
    status = _ask(config, "POST", "/apis/authentication.k8s.io/v1/tokenreviews", body).get("status") or {}
    if status.get("error"):
        raise RPCError(f"lookup failed: {status['error']}")
    if status.get("authenticated") is not True:
        raise RPCError("lookup failed: service account jwt not valid")
    user = status.get("user") or {}
    parts = str(user.get("username", "")).split(":")
    if len(parts) != _USERNAME_PARTS:
        raise RPCError("lookup failed: unexpected username format")
    if parts[:2] != ["system", "serviceaccount"]:
        raise RPCError("lookup failed: username returned is not a service account")
    namespace, name = parts[2:]
    path = f"/api/v1/namespaces/{quote(namespace, safe='')}/serviceaccounts/{quote(name, safe='')}"
    try:
        account = _ask(config, "GET", path)
    except RPCError as error:
        raise RPCError(f"annotation lookup failed: {error}") from None
    annotations = (account.get("metadata") or {}).get("annotations") or {}
    return ServiceAccount(namespace, str(annotations.get(_NAME_ANNOTATION) or name), str(user.get("uid", "")))


def _ask(config: KubernetesConfig, method: str, path: str, body: Any = None) -> dict[str, Any]:
    """An exchange with the API server; redirects are not followed, as the request carries secrets."""
    host = urlsplit(config.Host if "://" in config.Host else f"https://{config.Host}")
    if host.scheme != "https" or not host.hostname:
        raise RPCError(f"the address of the Kubernetes API is no https URL: {config.Host}")
    headers = {"Authorization": f"Bearer {config.ServiceAccountJWT}", "Accept": "application/json"}
    if body is not None:
        headers["Content-Type"] = "application/json"
    url = f"https://{host.netloc}{host.path.rstrip('/')}{path}"
    try:
        context = ssl.create_default_context(cadata=config.CACert)
        connection = http.client.HTTPSConnection(host.hostname, host.port, timeout=TIMEOUT_S, context=context)
        try:
            sent = None if body is None else json.dumps(body).encode()
            connection.request(method, f"{host.path.rstrip('/')}{path}", body=sent, headers=headers)
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
        raise RPCError(str(told) if told else f"the Kubernetes API returned status {status}")
    if not isinstance(found, dict) or any(
        not isinstance(found.get(name) or {}, dict) for name in ("status", "metadata")
    ):
        raise RPCError("the Kubernetes API returned no object")
    return found
