"""Common parts of tokens and roles: links by name, identities, names; with Consul's texts."""

import re
from collections.abc import Iterable
from typing import Any, Final

from consulpy.errors import RPCError
from consulpy.state.acl import Acl
from consulpy.structs.acl import Link, NodeIdentity, ServiceIdentity

_NAME_128: Final = re.compile(r"[A-Za-z0-9\-_]{1,128}")
_NAME_256: Final = re.compile(r"[A-Za-z0-9\-_]{1,256}")
#: Names of identities.
_IDENTITY: Final = re.compile(r"[a-z0-9]([a-z0-9\-_]*[a-z0-9])?")
IDENTITY_MAX: Final = 256
ONLY: Final = "Only alphanumeric characters, '-' and '_' are allowed"


def check_name(what: str, name: str, *, long: bool = False) -> None:
    """Raises `RPCError` for a name that a policy, role (`long`) or auth method cannot have."""
    if not name:
        raise RPCError(f"Invalid {what}: no Name is set")
    if not (_NAME_256 if long else _NAME_128).fullmatch(name):
        raise RPCError(f"Invalid {what}: invalid Name. {ONLY}")


def is_identity_name(name: str) -> bool:
    """Whether a service or node of this name can have an identity."""
    return len(name) <= IDENTITY_MAX and _IDENTITY.fullmatch(name) is not None


def is_role_name(name: str) -> bool:
    """Whether a role can have this name."""
    return _NAME_256.fullmatch(name) is not None


def resolved_policies(acl: Acl, links: list[Link] | None) -> list[Link] | None:
    """The links by id alone, each once. Raises `RPCError` for a name that no policy has."""
    return _resolved(links, acl.policy_by_name, "policy")


def resolved_roles(acl: Acl, links: list[Link] | None) -> list[Link] | None:
    """The links by id alone, each once. Raises `RPCError` for a name that no role has."""
    return _resolved(links, acl.role_by_name, "role")


def _resolved(links: list[Link] | None, named: Any, what: str) -> list[Link] | None:
    found: dict[str, None] = {}
    for link in links or ():
        link_id = link.id
        if not link_id:
            row = named(link.name)
            if row is None:
                raise RPCError(f'No such ACL {what} with name "{link.name}"')
            link_id = row.id
        found[link_id] = None
    return [Link(each) for each in found] or None


def checked_services(
    identities: Iterable[ServiceIdentity] | None, holder: str, *, is_local: bool = False
) -> list[ServiceIdentity] | None:
    """Service identities by name, each once; in all datacenters if one of a name is. Raises `RPCError`."""
    merged: dict[str, set[str] | None] = {}
    for each in identities or ():
        if not each.service_name:
            raise RPCError(f"Service identity is missing the service name field on this {holder}")
        if is_local and each.datacenters:
            raise RPCError(
                f'Service identity "{each.service_name}" cannot specify a list of datacenters on a local token'
            )
        if not is_identity_name(each.service_name):
            raise RPCError(f'Service identity "{each.service_name}" has an invalid name. {ONLY}')
        known = merged.get(each.service_name, set())
        merged[each.service_name] = None if known is None or not each.datacenters else known | {*each.datacenters}
    rows = [ServiceIdentity(name, sorted(where) if where else None) for name, where in sorted(merged.items())]
    return rows or None


def checked_nodes(identities: Iterable[NodeIdentity] | None, holder: str) -> list[NodeIdentity] | None:
    """Node identities, each once. Raises `RPCError`."""
    found: set[tuple[str, str]] = set()
    for each in identities or ():
        if not each.node_name:
            raise RPCError(f"Node identity is missing the node name field on this {holder}")
        if not each.datacenter:
            raise RPCError(f"Node identity is missing the datacenter field on this {holder}")
        if not is_identity_name(each.node_name):
            raise RPCError(f"Node identity has an invalid name. {ONLY}")
        found.add((each.node_name, each.datacenter))
    return [NodeIdentity(*each) for each in sorted(found)] or None
