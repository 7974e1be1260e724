"""The keys of auth methods of the type `jwt` that name a URL: a JSON Web Key Set, or an OpenID provider that has one.

Blocking: run in a thread. Source: RFC 7517; OpenID Connect Discovery 1.0 section 4.
"""

from collections.abc import Callable
from typing import Any, Final

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from consulpy.acl.auth_config import JwtConfig, PublicKey
from consulpy.agent.process.json_request import request
from consulpy.errors import RPCError

#: How long keys are cached, and the least time between two requests for keys that are not among them, in seconds.
TTL_S: Final = 300.0
REFRESH_S: Final = 10.0
#: Sets that are cached.
_SETS_MAX: Final = 256


class JwtKeys:
    """Cached key sets. `seconds()`: a monotonic clock."""

    def __init__(self, seconds: Callable[[], float]) -> None:
        self._seconds = seconds
        self._sets: dict[tuple[str, ...], tuple[float, list[PublicKey]]] = {}

    def keys(self, config: JwtConfig, *, wants_new: bool = False) -> list[PublicKey]:
        """Public keys. `wants_new`: none of the cached ones fits. Raises `RPCError`."""
        source = (config.JWKSURL, config.JWKSCACert, config.OIDCDiscoveryURL, config.OIDCDiscoveryCACert)
        cached = self._sets.get(source)
        if cached is not None and self._seconds() - cached[0] < (REFRESH_S if wants_new else TTL_S):
            return cached[1]
        keys = _read(config)
        if len(self._sets) >= _SETS_MAX:
            self._sets.clear()
        self._sets[source] = (self._seconds(), keys)
        return keys


def _read(config: JwtConfig) -> list[PublicKey]:
    if config.JWKSURL:
        return _keys_of(request("GET", config.JWKSURL, ca_cert=config.JWKSCACert))
    issuer, ca_cert = config.OIDCDiscoveryURL, config.OIDCDiscoveryCACert
    found = request("GET", f"{issuer.rstrip('/')}/.well-known/openid-configuration", ca_cert=ca_cert)
    if found.get("issuer") != issuer:
        raise RPCError(
            f'oidc: issuer did not match the issuer returned by provider, expected "{issuer}" got '
            f'"{found.get("issuer", "")}"'
        )
    return _keys_of(request("GET", str(found.get("jwks_uri", "")), ca_cert=ca_cert))


def _keys_of(found: dict[str, Any]) -> list[PublicKey]:
    """Public keys for signatures; keys of other kinds are skipped, secret ones above all."""
    rows = found.get("keys")
    if not isinstance(rows, list):
        raise RPCError("the server returned no key set")
    keys = []
    for row in rows:
        if not isinstance(row, dict) or row.get("use") not in (None, "sig"):
            continue
        try:
            key = jwt.PyJWK.from_dict(row).key
        except (jwt.PyJWTError, ValueError, TypeError, KeyError):
            continue
        if isinstance(key, rsa.RSAPublicKey | ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey):
            keys.append(PublicKey(key, str(row.get("kid", ""))))
    return keys
