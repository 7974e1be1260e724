"""Interfaces of auth methods to the outside: public keys of JWTs, and token reviews of Kubernetes."""

from typing import TYPE_CHECKING, Protocol

from consulpy.errors import RPCError

if TYPE_CHECKING:
    from consulpy.acl.auth_config import JwtConfig, KubernetesConfig, PublicKey
    from consulpy.acl.binding import ServiceAccount


class TokenReview(Protocol):
    """Reviews tokens of Kubernetes' service accounts (`consulpy.agent.process.token_review`)."""

    def __call__(self, config: "KubernetesConfig", bearer: str) -> "ServiceAccount":
        """The service account. Blocks; raises `RPCError`."""


def no_token_review(config: "KubernetesConfig", bearer: str) -> "ServiceAccount":  # noqa: ARG001
    """A server that can't ask."""
    raise RPCError("this server cannot ask Kubernetes")


class JwtKeys(Protocol):
    """The keys of an auth method that names a URL (`consulpy.agent.process.jwt_keys`)."""

    def __call__(self, config: "JwtConfig", *, wants_new: bool = False) -> "list[PublicKey]":
        """Public keys; `wants_new`: none of the cached ones fits. Blocks; raises `RPCError`."""


def no_jwt_keys(config: "JwtConfig", *, wants_new: bool = False) -> "list[PublicKey]":  # noqa: ARG001
    """A server that can't ask."""
    raise RPCError("this server cannot fetch keys")
