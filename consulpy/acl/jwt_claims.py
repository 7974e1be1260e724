"""A JWT -> what its claims say, if it is valid: signature, times, issuer, audience (docs/wire/acl.md section 13).

Signatures are PyJWT's business; which claims are wanted and how the errors read is Consul's (go-sso's oidcauth).
"""

import json
import math
from typing import Any, Final

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from jwt.utils import base64url_decode

from consulpy.acl.auth_config import ALGORITHMS, JwtConfig

#: How long a token counts around the one time that it names, in seconds.
DEFAULT_LEEWAY_S: Final = 150
#: How far clocks may be apart, in seconds.
CLOCK_SKEW_S: Final = 60
#: Longest token, in bytes; longer ones are refused.
BEARER_MAX_BYTES: Final = 64 * 1024

_SIGNATURE_ONLY: Final[Any] = {"verify_signature": True} | dict.fromkeys(
    ("verify_exp", "verify_nbf", "verify_iat", "verify_aud", "verify_iss", "verify_sub", "verify_jti"), False
)


#: Algorithms of an OpenID provider's tokens, if none are configured.
OIDC_ALGORITHMS: Final = frozenset({"RS256"})
#: The error of a token that no key signed, by the setting that names the keys' URL.
_NO_KEY: Final = {
    "": "no known key successfully validated the token signature",
    "JWKSURL": "error verifying token: failed to verify id token signature",
    "OIDCDiscoveryURL": "error validating signature: failed to verify signature: failed to verify id token signature",
}


class BadJwt(ValueError):
    """A token that proves nothing; says why."""


class UnknownKey(BadJwt):
    """A JWT whose signature was made by none of the keys."""


def verified_claims(config: JwtConfig, bearer: str, now_s: float) -> dict[str, Any]:
    """The claims of a valid token. `now_s`: seconds since 1970. Raises `BadJwt`."""
    if not bearer:
        raise BadJwt("missing jwt")
    claims = _signed_claims(config, bearer)
    _check_types(claims)
    _check_times(config, claims, now_s)
    if config.BoundIssuer and claims.get("iss") != config.BoundIssuer:
        raise BadJwt("error validating claims: square/go-jose/jwt: validation failed, invalid issuer claim (iss)")
    if config.OIDCDiscoveryURL and claims.get("iss") != config.OIDCDiscoveryURL:
        raise BadJwt(
            "error validating signature: oidc: id token issued by a different provider, expected "
            f'"{config.OIDCDiscoveryURL}" got "{claims.get("iss", "")}"'
        )
    _check_audience(config, claims)
    return claims


def _signed_claims(config: JwtConfig, bearer: str) -> dict[str, Any]:
    if len(bearer) > BEARER_MAX_BYTES:
        raise BadJwt(f"error parsing token: longer than {BEARER_MAX_BYTES} bytes")
    bearer = "".join(bearer.split())  # blanks and line ends of files count for nothing
    try:
        header = jwt.get_unverified_header(bearer)
        jwt.decode(bearer, options={"verify_signature": False})
        json.loads(base64url_decode(bearer.split(".")[1]), object_pairs_hook=_once_each)
    except (jwt.PyJWTError, ValueError) as error:
        raise BadJwt(f"error parsing token: {error}") from None
    accepted = frozenset(config.JWTSupportedAlgs) or (OIDC_ALGORITHMS if config.OIDCDiscoveryURL else ALGORITHMS)
    if not isinstance(header.get("alg"), str):
        raise BadJwt("error parsing token: alg is not a text")
    if header["alg"] not in accepted:
        if config.OIDCDiscoveryURL:
            expected = " ".join(f'"{each}"' for each in sorted(accepted))
            raise BadJwt(
                "error validating signature: oidc: id token signed with unsupported algorithm, expected "
                f'[{expected}] got "{header["alg"]}"'
            )
        raise UnknownKey(_NO_KEY[config.source])
    for candidate in config.keys:
        if candidate.key_id is not None and header.get("kid", "") not in ("", candidate.key_id):
            continue
        try:
            algorithms = _algorithms_of(candidate.key, accepted)
            claims: dict[str, Any] = jwt.decode(bearer, candidate.key, algorithms=algorithms, options=_SIGNATURE_ONLY)
        except (jwt.PyJWTError, ValueError, TypeError):
            continue
        return claims
    raise UnknownKey(_NO_KEY[config.source])


def _once_each(members: list[tuple[str, Any]]) -> None:
    """Raises `ValueError` for an object that has a member twice: programs differ in which of them counts."""
    names = [name for name, _ in members]
    if len(set(names)) < len(names):
        raise ValueError("a claim is there twice")


def _check_types(claims: dict[str, Any]) -> None:
    """Claims of RFC 7519 have types; those of times are looked at with the times."""
    for name in ("iss", "sub", "jti"):
        if not isinstance(claims.get(name), str | None):
            raise BadJwt(f"error validating claims: {name} is not a text")
    audiences = claims.get("aud", "")
    if not all(isinstance(each, str) for each in (audiences if isinstance(audiences, list) else [audiences])):
        raise BadJwt("error validating claims: aud is neither a text nor a list of texts")


def _algorithms_of(key: Any, accepted: frozenset[str]) -> list[str]:
    """The accepted algorithms that a key can be used with."""
    if isinstance(key, ec.EllipticCurvePublicKey):
        begins: tuple[str, ...] = ("ES",)
    elif isinstance(key, ed25519.Ed25519PublicKey):
        begins = ("EdDSA",)
    else:
        begins = ("RS", "PS")
    return [each for each in sorted(accepted) if each.startswith(begins)]


def _check_times(config: JwtConfig, claims: dict[str, Any], now_s: float) -> None:
    issued, ends, begins = (_seconds(claims, name) for name in ("iat", "exp", "nbf"))
    if not (issued or ends or begins):
        raise BadJwt("no issue time, notbefore, or expiration time encoded in token")
    if not ends:
        ends = max(issued, begins) + _leeway_s(config.ExpirationLeeway, DEFAULT_LEEWAY_S)
    if not begins:
        begins = issued or ends - _leeway_s(config.NotBeforeLeeway, DEFAULT_LEEWAY_S)
    skew_s = _leeway_s(config.ClockSkewLeeway, CLOCK_SKEW_S)
    if now_s + skew_s < begins:
        raise BadJwt("error validating claims: square/go-jose/jwt: validation failed, token not valid yet (nbf)")
    if now_s - skew_s > ends:
        raise BadJwt("error validating claims: square/go-jose/jwt: validation failed, token is expired (exp)")
    if issued and now_s + skew_s < issued:
        raise BadJwt("error validating claims: square/go-jose/jwt: validation field, token issued in the future (iat)")


def _seconds(claims: dict[str, Any], name: str) -> float:
    value = claims.get(name)
    if value is None:
        return 0.0
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < 1e15:
        raise BadJwt(f"error validating claims: {name} is not a time")
    return float(value)


def _leeway_s(leeway_ns: int, default_s: float) -> float:
    """Negative: none; 0: the default."""
    if leeway_ns < 0:
        return 0.0
    return leeway_ns / 1e9 or default_s


def _check_audience(config: JwtConfig, claims: dict[str, Any]) -> None:
    given = claims.get("aud")
    audiences = [given] if isinstance(given, str) else given if isinstance(given, list) else []
    if audiences and not config.BoundAudiences:
        raise BadJwt("error validating claims: audience claim found in JWT but no audiences are bound")
    if config.BoundAudiences and not set(config.BoundAudiences).intersection(audiences):
        raise BadJwt("error validating claims: aud claim does not match any bound audience")


def mapped(config: JwtConfig, claims: dict[str, Any]) -> tuple[dict[str, str], dict[str, list[str]]]:
    """The claims under the names that the configuration gives them: texts, and lists of texts. Raises `BadJwt`."""
    values: dict[str, str] = {}
    for claim, name in config.ClaimMappings.items():
        found = _claim(claims, claim)
        if found is not None:
            values[name] = _text(claim, found)
    lists: dict[str, list[str]] = {}
    for claim, name in config.ListClaimMappings.items():
        found = _claim(claims, claim)
        if isinstance(found, dict):
            raise BadJwt(f'"{claim}" list claim could not be converted to string list')
        if found is not None:
            lists[name] = [_text(claim, each) for each in (found if isinstance(found, list) else [found])]
    return values, lists


def _claim(claims: dict[str, Any], path: str) -> Any:
    """A claim by its name or, with a slash first, by its JSON pointer; None if it is not there."""
    if not path.startswith("/"):
        return claims.get(path)
    found: Any = claims
    for part in path[1:].split("/"):
        name = part.replace("~1", "/").replace("~0", "~")
        if isinstance(found, dict):
            found = found.get(name)
        elif isinstance(found, list) and name.isdigit() and int(name) < len(found):
            found = found[int(name)]
        else:
            return None
    return found


def _text(claim: str, value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float) and math.isfinite(value):
        return str(int(value))
    given = " map[string]interface {}" if isinstance(value, dict) else " []interface {}"
    raise BadJwt(f"error converting claim '{claim}' to string from unknown type{given}")
