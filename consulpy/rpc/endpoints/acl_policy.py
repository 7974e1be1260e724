"""ACL.Policy* and ACL.Role*: what tokens are linked with (docs/wire/acl.md section 8)."""

import dataclasses
from typing import TYPE_CHECKING, Any, Final

from consulpy.acl.legacy import parse_legacy
from consulpy.acl.rules import InvalidRules, parse
from consulpy.errors import PermissionDenied, RPCError
from consulpy.rpc.acl.resolver import AclNotFound
from consulpy.rpc.endpoints.acl_links import check_name, checked_nodes, checked_services, resolved_policies
from consulpy.rpc.endpoints.acl_newer import after_preparation, builtin_policy, checked_templates
from consulpy.rpc.methods import read, write
from consulpy.rpc.uuids import is_uuid, new_uuid
from consulpy.state.acl import POLICIES, ROLES
from consulpy.state.acl_commands import PolicyDelete, PolicySet, RoleDelete, RoleSet
from consulpy.state.watch import WatchSet
from consulpy.structs.acl import GLOBAL_MANAGEMENT_ID, GLOBAL_READ_ONLY_ID, Policy, PolicyStub, Role, Token
from consulpy.structs.acl_log_entries import PolicyBatchDelete, PolicyBatchSet, RoleBatchDelete, RoleBatchSet
from consulpy.structs.acl_requests import (
    PolicyBatchReply,
    PolicyBatchRequest,
    PolicyDeleteRequest,
    PolicyListReply,
    PolicyReadRequest,
    PolicyReply,
    PolicySetRequest,
    RoleBatchRequest,
    RoleDeleteRequest,
    RoleListRequest,
    RoleReadRequest,
    RoleReply,
    RoleSetRequest,
    RolesReply,
)
from consulpy.structs.requests import Read

if TYPE_CHECKING:
    from consulpy.rpc.server import Server


#: Syntax of a policy whose rules are those of tokens before 1.4.
LEGACY_SYNTAX: Final = 1


@read("ACL.PolicyRead", PolicyReadRequest, PolicyReply)
def policy_read(server: "Server", request: PolicyReadRequest, watch: WatchSet | None) -> PolicyReply:
    """One policy, by id or name; nil if there is none."""
    acl = server.store.acl
    found = acl.policy(request.policy_id) if request.policy_id else acl.policy_by_name(request.policy_name)
    if found is None:
        found = builtin_policy(request.policy_id, request.policy_name)
    reply = PolicyReply(policy=found)
    reply.meta.index = acl.index(watch, POLICIES)
    return reply


@read("ACL.PolicyList", Read, PolicyListReply)
def policy_list(
    server: "Server",
    request: Read,  # noqa: ARG001
    watch: WatchSet | None,
) -> PolicyListReply:
    """All policies without their rules."""
    acl = server.store.acl
    rows = [PolicyStub.of(policy) for policy in sorted(acl.policies.all(), key=lambda row: row.name.lower())]
    reply = PolicyListReply(policies=rows or None)
    reply.meta.index = acl.index(watch, POLICIES)
    return reply


@read("ACL.PolicyBatchRead", PolicyBatchRequest, PolicyBatchReply)
def policy_batch_read(server: "Server", request: PolicyBatchRequest, watch: WatchSet | None) -> PolicyBatchReply:
    """Policies by their ids; other datacenters copy by it."""
    acl = server.store.acl
    rows = [acl.policy(policy_id) for policy_id in request.policy_ids or ()]
    reply = PolicyBatchReply(policies=[row for row in rows if row is not None] or None)
    reply.meta.index = acl.index(watch, POLICIES)
    return reply


def _resolving(server: "Server", secret: str, watch: WatchSet | None) -> Token:
    """The token whose links are asked for. Raises `AclNotFound`: no token at all has none."""
    if not secret:
        raise AclNotFound
    return server.guard.resolve(secret, watch).token


@read("ACL.PolicyResolve", PolicyBatchRequest, PolicyBatchReply)
def policy_resolve(server: "Server", request: PolicyBatchRequest, watch: WatchSet | None) -> PolicyBatchReply:
    """Policies of the request's token; it may see no others."""
    acl = server.store.acl
    token = _resolving(server, request.options.token, watch)
    holders: list[Token | Role] = [token]
    holders += [role for link in token.roles or () if (role := acl.roles.get(link.id.lower())) is not None]
    own = {link.id for holder in holders for link in holder.policies or ()}
    if not own.issuperset(request.policy_ids or ()):
        raise PermissionDenied
    return policy_batch_read(server, request, watch)


@write("ACL.PolicySet", PolicySetRequest, Policy)
def policy_set(server: "Server", request: PolicySetRequest) -> Any:
    """Create a policy, or with an id change one."""
    policy, acl = request.policy, server.store.acl
    check_name("Policy", policy.name)
    named = acl.policy_by_name(policy.name)
    if not policy.id:
        if named is not None:
            raise RPCError(f'Invalid Policy: A Policy with Name "{policy.name}" already exists')
        policy = dataclasses.replace(policy, id=new_uuid(server.rng))
        while acl.policy(policy.id) is not None:
            policy.id = new_uuid(server.rng)
    else:
        _check_change(server, policy, named)
    if policy.syntax not in (0, LEGACY_SYNTAX):
        raise RPCError(f"Invalid rules version: {policy.syntax}")
    try:
        (parse_legacy if policy.syntax else parse)(policy.rules)
    except InvalidRules as error:
        raise RPCError(str(error)) from None
    policy = dataclasses.replace(policy, create_index=0, modify_index=0, hash=policy.content_hash())
    stored = server.submit(PolicySet(PolicyBatchSet([policy])))
    return stored.addCallback(lambda _: server.store.acl.policy(policy.id) or policy)  # it may be gone again


def _check_change(server: "Server", policy: Policy, named: Policy | None) -> None:
    if not is_uuid(policy.id):
        raise RPCError("Policy ID invalid UUID")
    existing = server.store.acl.policy(policy.id)
    if existing is None:
        raise RPCError(f"cannot find policy {policy.id}")
    if named is not None and named.id != existing.id:
        raise RPCError(f'Invalid Policy: A policy with name "{policy.name}" already exists')
    if policy.id in (GLOBAL_MANAGEMENT_ID, GLOBAL_READ_ONLY_ID):
        builtin = f"the builtin {existing.name} policy is not permitted"
        if policy.datacenters:
            raise RPCError(f"Changing the Datacenters of {builtin}")
        if policy.rules != existing.rules:
            raise RPCError(f"Changing the Rules for {builtin}")


@write("ACL.PolicyDelete", PolicyDeleteRequest, str)
def policy_delete(server: "Server", request: PolicyDeleteRequest) -> Any:
    """Remove a policy, if it is there; the answer is its name."""
    existing = server.store.acl.policy(request.policy_id)
    if existing is None:
        return ""
    if existing.id in (GLOBAL_MANAGEMENT_ID, GLOBAL_READ_ONLY_ID):
        raise RPCError(f"Delete operation not permitted on the builtin {existing.name} policy")
    stored = server.submit(PolicyDelete(PolicyBatchDelete([existing.id])))
    return stored.addCallback(lambda _: existing.name)


@read("ACL.RoleRead", RoleReadRequest, RoleReply)
def role_read(server: "Server", request: RoleReadRequest, watch: WatchSet | None) -> RoleReply:
    """One role, by id or name; nil if there is none."""
    acl = server.store.acl
    found = acl.role(request.role_id) if request.role_id else acl.role_by_name(request.role_name)
    reply = RoleReply(role=acl.with_current_links(found) if found is not None else None)
    reply.meta.index = acl.index(watch, ROLES, POLICIES)
    return reply


@read("ACL.RoleList", RoleListRequest, RolesReply)
def role_list(server: "Server", request: RoleListRequest, watch: WatchSet | None) -> RolesReply:
    """All roles, or those with a policy."""
    acl = server.store.acl
    rows = acl.roles.by("policy", request.policy) if request.policy else acl.roles.all()
    shown = [acl.with_current_links(row) for row in sorted(rows, key=lambda row: row.name.lower())]
    reply = RolesReply(roles=shown or None)
    reply.meta.index = acl.index(watch, ROLES)
    return reply


@read("ACL.RoleBatchRead", RoleBatchRequest, RolesReply)
def role_batch_read(server: "Server", request: RoleBatchRequest, watch: WatchSet | None) -> RolesReply:
    """Roles by their ids; other datacenters copy by it."""
    acl = server.store.acl
    rows = [acl.role(role_id) for role_id in request.role_ids or ()]
    reply = RolesReply(roles=[acl.with_current_links(row) for row in rows if row is not None] or None)
    reply.meta.index = acl.index(watch, ROLES)
    return reply


@read("ACL.RoleResolve", RoleBatchRequest, RolesReply)
def role_resolve(server: "Server", request: RoleBatchRequest, watch: WatchSet | None) -> RolesReply:
    """Roles of the request's token; it may see no others."""
    token = _resolving(server, request.options.token, watch)
    if not {link.id for link in token.roles or ()}.issuperset(request.role_ids or ()):
        raise PermissionDenied
    return role_batch_read(server, request, watch)


@write("ACL.RoleSet", RoleSetRequest, Role)
def role_set(server: "Server", request: RoleSetRequest) -> Any:
    """Create a role, or with an id change one."""
    role, acl = request.role, server.store.acl
    check_name("Role", role.name, long=True)
    named = acl.role_by_name(role.name)
    if not role.id:
        if named is not None:
            raise RPCError(f'Invalid Role: A Role with Name "{role.name}" already exists')
        role = dataclasses.replace(role, id=new_uuid(server.rng))
        while acl.role(role.id) is not None:
            role.id = new_uuid(server.rng)
    else:
        if not is_uuid(role.id):
            raise RPCError("Role ID invalid UUID")
        if acl.role(role.id) is None:
            raise RPCError(f"cannot find role {role.id}")
        if named is not None and named.id != role.id:
            raise RPCError(f'Invalid Role: A role with name "{role.name}" already exists')
    return after_preparation(server, role, lambda: _put_role(server, role))


@write("ACL.RoleSetTemplated", RoleSetRequest, Role)
def role_set_templated(server: "Server", request: RoleSetRequest) -> Any:
    """`ACL.RoleSet` with templated policies: by this name no server of 1.8.7 drops them."""
    return role_set(server, request)


def _put_role(server: "Server", role: Role) -> Any:
    role = dataclasses.replace(
        role,
        policies=resolved_policies(server.store.acl, role.policies),
        service_identities=checked_services(role.service_identities, "role"),
        node_identities=checked_nodes(role.node_identities, "role"),
        templated_policies=checked_templates(role.templated_policies, "role"),
        create_index=0,
        modify_index=0,
    )
    role.hash = role.content_hash()

    def stored(_: Any) -> Role:
        return server.store.acl.with_current_links(server.store.acl.role(role.id) or role)  # it may be gone again

    return server.submit(RoleSet(RoleBatchSet([role]))).addCallback(stored)


@write("ACL.RoleDelete", RoleDeleteRequest, str)
def role_delete(server: "Server", request: RoleDeleteRequest) -> Any:
    """Remove a role, if it is there; the answer is its name."""
    existing = server.store.acl.role(request.role_id)
    if existing is None:
        return ""
    stored = server.submit(RoleDelete(RoleBatchDelete([existing.id])))
    return stored.addCallback(lambda _: existing.name)
