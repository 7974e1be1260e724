"""ConnectCA.*: roots and configuration of the certificate authority, and certificates (docs/wire/connect.md)."""

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred

from consulpy.acl.levels import WRITE
from consulpy.errors import RPCError
from consulpy.gocompat.time import ZERO_TIME
from consulpy.rpc.acl.denied import require_of
from consulpy.rpc.connect.interface import CertificateAuthority
from consulpy.rpc.methods import read, write
from consulpy.state.store import Store
from consulpy.state.watch import WatchSet
from consulpy.structs.connect_ca import (
    DISABLED,
    CAConfiguration,
    CARequest,
    CARootsReply,
    CASignRequest,
    IssuedCert,
)
from consulpy.structs.requests import SpecificRequest

if TYPE_CHECKING:
    from consulpy.rpc.server import Server


def authority_of(server: "Server") -> CertificateAuthority:
    """The certificate authority. Raises `RPCError` where Connect is off."""
    if server.authority is None:
        raise RPCError(DISABLED)
    return server.authority


@read("ConnectCA.Roots", SpecificRequest, CARootsReply)
def roots(server: "Server", request: SpecificRequest, watch: WatchSet | None) -> CARootsReply:  # noqa: ARG001
    """The root certificates, by id."""
    authority_of(server)
    return roots_in(server.store, watch)


def roots_in(store: Store, watch: WatchSet | None) -> CARootsReply:
    """The roots of a state, without private keys."""
    index, rows = store.connect_ca.roots(watch)
    configuration = store.connect_ca.configuration(watch)
    shown = [dataclasses.replace(row, signing_cert="", signing_key="", rotated_out_at=ZERO_TIME) for row in rows]
    reply = CARootsReply(
        active_root_id=next((row.id for row in rows if row.active), ""),
        trust_domain=configuration.trust_domain if configuration is not None else "",
        roots=shown,
    )
    reply.meta.index = max(index, configuration.modify_index if configuration is not None else 0)
    return reply


@read("ConnectCA.ConfigurationGet", SpecificRequest, CAConfiguration)
def configuration_get(server: "Server", request: SpecificRequest, watch: WatchSet | None) -> CAConfiguration:
    """The configuration, with its private key if it has one."""
    authority_of(server)
    require_of(server.guard.resolve(request.options.token, watch), "ConnectCA.ConfigurationGet", "operator", "", WRITE)
    found = server.store.connect_ca.configuration(watch)
    if found is None:
        raise RPCError("CA not initialized: no configuration is stored yet")
    return found


def _refuse_none(request: CARequest) -> None:
    """A request without a configuration ends a real leader. Raises `RPCError`."""
    if request.config is None:
        raise RPCError("Must provide a configuration")


@write("ConnectCA.ConfigurationSet", CARequest, None, check_forwarded=_refuse_none)
def configuration_set(server: "Server", request: CARequest) -> Any:
    """Replace the configuration."""
    authority = authority_of(server)
    require_of(server.guard.resolve(request.token), "ConnectCA.ConfigurationSet", "operator", "", WRITE)
    return Deferred.fromCoroutine(authority.configure(request))


def _refuse_without_uri(request: CASignRequest) -> None:
    """A signing request without a URI ends a real server. Raises `RPCError`."""
    from consulpy.connect.certificates import check_has_uri  # a costly import

    check_has_uri(request.csr)


@write("ConnectCA.Sign", CASignRequest, IssuedCert, check_forwarded=_refuse_without_uri)
def sign(server: "Server", request: CASignRequest) -> Any:
    """A leaf certificate for a service of this datacenter, or for an agent."""
    return Deferred.fromCoroutine(authority_of(server).sign(request.csr, may_sign(server, request.token)))


def may_sign(server: "Server", token: str) -> Callable[[Any], None]:
    """Whether a token may have a certificate for an identity; the function raises `RPCError` if not."""

    def check(identity: Any) -> None:
        service = getattr(identity, "service", None)
        if server.guard.is_on:
            resource = ("service", service) if service is not None else ("node", identity.agent)
            require_of(server.guard.resolve(token), "ConnectCA.Sign", *resource, WRITE)
        if service is not None and identity.datacenter != server.datacenter:
            raise RPCError(
                f"SPIFFE ID in CSR from a different datacenter: {identity.datacenter}, we are {server.datacenter}"
            )

    return check


@write("ConnectCA.SignIntermediate", CASignRequest, str, check_forwarded=_refuse_without_uri)
def sign_intermediate(server: "Server", request: CASignRequest) -> Any:
    """A certificate for the signing key of another datacenter."""
    authority = authority_of(server)
    require_of(server.guard.resolve(request.token), "ConnectCA.SignIntermediate", "operator", "", WRITE)
    return Deferred.fromCoroutine(authority.sign_intermediate(request.csr))
