"""Keys of auth methods from a URL: a key set, and an OpenID provider, served by a stand-in over plain HTTP."""

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from consulpy.acl.auth_config import JwtConfig, jwt_config
from consulpy.acl.jwt_claims import BadJwt, UnknownKey, verified_claims
from consulpy.agent.process.jwt_keys import REFRESH_S, TTL_S, JwtKeys
from consulpy.errors import RPCError
from tests.fakes.http_server import serving

NOW_S = 1_800_000_000


class Provider(HTTPServer):
    """Serves what `pages` holds."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.seen: list[str] = []
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.pages: dict[str, Any] = {
            "/keys": key_set(self.key),
            "/.well-known/openid-configuration": {"issuer": self.url, "jwks_uri": f"{self.url}/keys"},
        }

    def token(self, **claims: Any) -> str:
        return jwt.encode({"iss": self.url, "exp": NOW_S + 60, **claims}, self.key, "ES256")


class _Handler(BaseHTTPRequestHandler):
    server: Provider

    def do_GET(self) -> None:
        self.server.seen.append(self.path)
        found = self.server.pages.get(self.path)
        body = json.dumps(found).encode()
        self.send_response(200 if found is not None else 404)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Nothing is printed."""


def key_set(*keys: ec.EllipticCurvePrivateKey) -> dict[str, Any]:
    rows = [jwt.algorithms.ECAlgorithm.to_jwk(key.public_key(), as_dict=True) for key in keys]
    return {"keys": [*rows, {"kty": "oct", "k": "c2VjcmV0", "alg": "HS256"}, {"kty": "none"}, 5]}


@pytest.fixture
def provider() -> Iterator[Provider]:
    server = Provider()
    with serving(server):
        yield server


class Keys(JwtKeys):
    """With a clock that is set."""

    def __init__(self) -> None:
        self.now_s = 100.0
        super().__init__(lambda: self.now_s)

    def claims(self, config: JwtConfig, token: str) -> dict[str, Any]:
        config.keys = self.keys(config)
        return verified_claims(config, token, NOW_S)


def test_a_token_is_verified_with_a_key_of_the_set(provider: Provider) -> None:
    keys, config = Keys(), jwt_config({"JWKSURL": f"{provider.url}/keys"})
    assert keys.claims(config, provider.token(team="a"))["team"] == "a"
    keys.claims(config, provider.token())
    assert provider.seen == ["/keys"]
    keys.now_s += TTL_S
    keys.claims(config, provider.token())
    assert provider.seen == ["/keys"] * 2


def test_secret_keys_of_a_set_verify_nothing(provider: Provider) -> None:
    config = jwt_config({"JWKSURL": f"{provider.url}/keys", "JWTSupportedAlgs": ["ES256", "RS256"]})
    with pytest.raises(UnknownKey):
        Keys().claims(config, jwt.encode({"exp": NOW_S + 60}, "secret" * 8, "HS256"))


def test_a_new_key_is_fetched_but_not_at_every_try(provider: Provider) -> None:
    keys, config = Keys(), jwt_config({"JWKSURL": f"{provider.url}/keys"})
    old = provider.token()
    keys.claims(config, old)
    provider.key = ec.generate_private_key(ec.SECP256R1())
    provider.pages["/keys"] = key_set(provider.key)
    with pytest.raises(UnknownKey):
        keys.claims(config, provider.token())
    for _ in range(5):
        keys.keys(config, wants_new=True)
    assert provider.seen == ["/keys"]
    keys.now_s += REFRESH_S
    config.keys = keys.keys(config, wants_new=True)
    assert verified_claims(config, provider.token(), NOW_S)
    with pytest.raises(UnknownKey):
        verified_claims(config, old, NOW_S)


def test_a_token_that_names_a_key_is_verified_with_that_one_alone(provider: Provider) -> None:
    """Source: a real server. A token without an id, or with an empty one, may be of any key."""
    provider.pages["/keys"]["keys"][0]["kid"] = "a"
    keys, config = Keys(), jwt_config({"JWKSURL": f"{provider.url}/keys"})

    def signed(**header: str) -> str:
        return jwt.encode({"exp": NOW_S + 60}, provider.key, "ES256", headers=header)

    for accepted in (signed(), signed(kid=""), signed(kid="a")):
        assert keys.claims(config, accepted)
    with pytest.raises(UnknownKey, match="failed to verify id token signature"):
        keys.claims(config, signed(kid="b"))


def test_tokens_of_a_provider_are_signed_by_rsa_unless_it_is_said(provider: Provider) -> None:
    with pytest.raises(BadJwt, match=r'unsupported algorithm, expected \["RS256"\] got "ES256"'):
        Keys().claims(jwt_config({"OIDCDiscoveryURL": provider.url}), provider.token())


def test_a_provider_is_discovered_and_must_be_the_issuer(provider: Provider) -> None:
    keys, config = Keys(), jwt_config({"OIDCDiscoveryURL": provider.url, "JWTSupportedAlgs": ["ES256"]})
    assert keys.claims(config, provider.token(sub="s"))["sub"] == "s"
    assert provider.seen == ["/.well-known/openid-configuration", "/keys"]
    with pytest.raises(BadJwt, match="different provider"):
        keys.claims(config, provider.token(iss="other"))
    provider.pages["/.well-known/openid-configuration"]["issuer"] = "other"
    with pytest.raises(RPCError, match="issuer did not match"):
        Keys().keys(config)


@pytest.mark.parametrize("page", [None, [], {}, {"keys": 5}, "x"])
def test_what_is_no_key_set_is_an_error(provider: Provider, page: Any) -> None:
    provider.pages["/keys"] = page
    with pytest.raises(RPCError):
        Keys().keys(jwt_config({"JWKSURL": f"{provider.url}/keys"}))


@pytest.mark.parametrize("url", ["ftp://a/b", "x", "http://127.0.0.1:1/keys", "http://[", "http://a:99999/"])
def test_a_url_that_nobody_serves_is_an_error(url: str) -> None:
    with pytest.raises(RPCError):
        Keys().keys(jwt_config({"JWKSURL": url}))
