"""Newer versions' additions to tokens and roles: templated policies (1.17), and the policy of read-only access.

Templated policies are a field that servers of 1.8.7 would drop, and with it the rights: they are written only while all
servers of a quorum know it, and by methods that no other program has.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final

from twisted.internet.defer import Deferred, maybeDeferred

from consulpy.acl.binding import NEWER_BIND_TYPES, BadBindName, bind_name
from consulpy.acl.templates import TEMPLATES
from consulpy.errors import RPCError
from consulpy.gocompat.literals import quoted
from consulpy.rpc.endpoints.acl_links import ONLY, is_identity_name
from consulpy.state.acl_commands import PolicySet
from consulpy.structs.acl import (
    GLOBAL_READ_ONLY,
    GLOBAL_READ_ONLY_ID,
    BindingRule,
    Policy,
    Role,
    TemplatedPolicy,
    TemplateVariables,
    Token,
    global_read_only,
)
from consulpy.structs.acl_log_entries import PolicyBatchSet

if TYPE_CHECKING:
    from consulpy.rpc.server import Server


#: The type of binding rules that give a templated policy.
TEMPLATED: Final = "templated-policy"


def checked_templates(
    policies: Iterable[TemplatedPolicy] | None, holder: str, *, is_local: bool = False
) -> list[TemplatedPolicy] | None:
    """Templated policies, each once. Raises `RPCError`."""
    found: list[TemplatedPolicy] = []
    for each in policies or ():
        name = each.template_variables.name if each.template_variables is not None else ""
        if not each.template_name:
            raise RPCError(f"templated policy is missing the template name field on this {holder}")
        template = TEMPLATES.get(each.template_name)
        if template is None:
            raise RPCError(f"no such ACL templated policy with Name {quoted(each.template_name)}")
        if is_local and each.datacenters:
            raise RPCError(
                f"templated policy {each.template_name} cannot specify a list of datacenters on a local token"
            )
        if template.has_name:
            check_variable(each.template_name, name)
        elif name:
            raise RPCError(f"templated policy {each.template_name} has no variables")
        if each not in found:
            found.append(each)
    return found or None


def check_variable(template: str, name: str) -> None:
    """Raises `RPCError` for a name that cannot stand in rules."""
    if not name:
        raise RPCError(f"validation error for templated policy: {template}: name is required")
    if not is_identity_name(name):
        raise RPCError(f"templated policy {template} has an invalid name {quoted(name)}. {ONLY}")


def after_preparation(server: "Server", holder: Token | Role, then: Callable[[], Any]) -> Any:
    """`then()`, after what a token or role needs is there. Fails with `RPCError` if a server does not know it."""
    needs_policy = _uses_read_only(holder) and server.store.acl.policy(GLOBAL_READ_ONLY_ID) is None
    if not needs_policy and not holder.templated_policies:
        return then()

    async def prepared() -> Any:
        if holder.templated_policies:
            lacking = await server.without_newer_kinds()
            if lacking:
                raise RPCError(
                    f"templated policies came with Consul 1.17: the program of {', '.join(lacking)} does not know "
                    "them, or did not answer"
                )
        if needs_policy:
            await server.submit(PolicySet(PolicyBatchSet([global_read_only()])))
        return await maybeDeferred(then)

    return Deferred.fromCoroutine(prepared())


def check_binding(rule: BindingRule, name: str, variables: Mapping[str, str]) -> None:
    """Check a binding rule of a templated policy. `name` is that of the template. Raises `RPCError`."""
    if rule.bind_type != TEMPLATED:
        if rule.bind_vars is not None and rule.bind_vars.name:
            raise RPCError("Invalid Binding Rule: BindVars needs the BindType templated-policy")
        return
    try:
        checked_templates([templated_link(rule, name, variables)], "binding rule")
    except (RPCError, BadBindName) as error:
        raise RPCError(f"Invalid Binding Rule: invalid BindName or BindVars: {error}") from None


def templated_link(rule: BindingRule, name: str, variables: Mapping[str, str]) -> TemplatedPolicy:
    """The templated policy of a rule for a login with these variables. Raises `BadBindName`."""
    given = rule.bind_vars.name if rule.bind_vars is not None else ""
    bound = bind_name(given, TEMPLATED, variables)
    return TemplatedPolicy(name, TemplateVariables(bound) if bound else None)


async def refuse_newer_rule(server: "Server", rule: BindingRule) -> None:
    """Raises `RPCError` if a server of the quorum does not know what a rule binds to: it would give nothing there."""
    lacking = await server.without_newer_kinds() if rule.bind_type in NEWER_BIND_TYPES else []
    if lacking:
        raise RPCError(
            f"binding rules of the type {rule.bind_type} came with Consul 1.17: the program of {', '.join(lacking)} "
            "does not know them, or did not answer"
        )


def _uses_read_only(holder: Token | Role) -> bool:
    return any(link.id == GLOBAL_READ_ONLY_ID or link.name == GLOBAL_READ_ONLY for link in holder.policies or ())


def builtin_policy(policy_id: str, name: str) -> Policy | None:
    """A built-in policy that is not stored before it is used, by id or name."""
    is_it = policy_id == GLOBAL_READ_ONLY_ID or (not policy_id and name == GLOBAL_READ_ONLY)
    return global_read_only() if is_it else None
