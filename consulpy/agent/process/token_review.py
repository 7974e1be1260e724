"""Reviews of service account tokens by Kubernetes, for auth methods of the type `kubernetes`.

Blocking: run in a thread. Source: Kubernetes' API reference (TokenReview, ServiceAccount); Consul's documentation of
the auth method: an annotation of the account replaces its name, also by an empty one, which no service has.
"""

from typing import Any, Final
from urllib.parse import quote

from consulpy.acl.auth_config import KubernetesConfig
from consulpy.acl.binding import ServiceAccount
from consulpy.agent.process.json_request import request
from consulpy.errors import RPCError

_NAME_ANNOTATION: Final = "consul.hashicorp.com/service-name"
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
    return ServiceAccount(namespace, str(annotations.get(_NAME_ANNOTATION, name)), str(user.get("uid", "")))


def _ask(config: KubernetesConfig, method: str, path: str, body: Any = None) -> dict[str, Any]:
    host = config.Host if "://" in config.Host else f"https://{config.Host}"
    if not host.startswith("https://"):  # the request carries secrets
        raise RPCError(f"the address of the Kubernetes API is no https URL: {config.Host}")
    headers = {"Authorization": f"Bearer {config.ServiceAccountJWT}"}
    found = request(method, host.rstrip("/") + path, headers=headers, body=body, ca_cert=config.CACert)
    if not all(isinstance(found.get(name) or {}, dict) for name in ("status", "metadata")):
        raise RPCError("the Kubernetes API returned no object")
    return found
