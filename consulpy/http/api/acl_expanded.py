"""`?expanded` on a token (Consul 1.12): with the policies and roles that it is linked with, whole."""

from typing import TYPE_CHECKING, Any

from consulpy.http.api.params import apply_to_read
from consulpy.http.api.routing import Request
from consulpy.structs.acl import Link, Policy, Role, Token
from consulpy.structs.acl_requests import PolicyBatchRequest, RoleBatchRequest

if TYPE_CHECKING:
    from consulpy.http.api.agent import AgentInterface


async def expanded(agent: "AgentInterface", request: Request, token: Token) -> dict[str, Any]:
    """The token's JSON with everything that it is granted by, and the policies of the agent. Raises `RPCError`."""
    roles: list[Role] = []
    if token.roles:
        query = apply_to_read(agent, request, RoleBatchRequest(role_ids=_ids(token.roles)))
        roles = (await agent.caller.call("ACL.RoleBatchRead", query)).roles or []
    holders: list[Token | Role] = [token, *roles]
    links = [link for holder in holders for link in holder.policies or ()]
    policies: list[Policy] = []
    if links:
        wanted = apply_to_read(agent, request, PolicyBatchRequest(policy_ids=_ids(links)))
        policies = (await agent.caller.call("ACL.PolicyBatchRead", wanted)).policies or []
    return {
        "ExpandedPolicies": [policy.to_json() for policy in policies] or None,
        "ExpandedRoles": [role.to_json() for role in roles] or None,
        "NamespaceDefaultPolicyIDs": None,
        "NamespaceDefaultRoleIDs": None,
        "AgentACLDefaultPolicy": agent.access.default_policy,
        "AgentACLDownPolicy": agent.access.down_policy,
        "ResolvedByAgent": agent.node_name,
        **token.to_json(),
    }


def _ids(links: list[Link]) -> list[str]:
    return list(dict.fromkeys(link.id for link in links))
