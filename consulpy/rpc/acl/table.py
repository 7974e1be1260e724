"""The one table of access rules: the right that each RPC method needs, and the filter of its reply.

A method that is not here is refused where access control is on, and a test names it.
"""

from collections.abc import Callable
from typing import Any, Final

from consulpy.acl.levels import READ, WRITE
from consulpy.codec.lazy_dataclass import dataclass
from consulpy.rpc.acl import checks, queries, registration, transactions
from consulpy.rpc.acl.checks import scalar
from consulpy.rpc.acl.filters import filter_reply

#: `check(authorizer, server, request)`: raises `Denied`, or gives the reply if that is settled already.
Check = Callable[[Any, Any, Any], Any]
#: `after(authorizer, server, request, reply)`: what may be seen of a reply, or raises `Denied`.
After = Callable[[Any, Any, Any, Any], Any]


#: `secret(server, request)`: by whose rights a call is judged.
Secret = Callable[[Any, Any], str]


@dataclass(frozen=True, slots=True)
class Access:
    """Access rule of a method. `check`: before it is answered; `after`: the filter of its reply.

    `is_open`: it wants nothing, not even a token that exists.
    """

    check: Check | None = None
    after: After | None = None
    is_open: bool = False
    #: The secret that counts, if it is not that of the request.
    secret: Secret | None = None


def _by_type(authorizer: Any, _server: Any, _request: Any, reply: Any) -> Any:
    return filter_reply(authorizer, reply)


def _instances(authorizer: Any, _server: Any, request: Any, reply: Any) -> Any:
    """Instances of a service; without the right to read it none of its proxies and gateways are visible."""
    if (request.connect or request.ingress) and not authorizer.allows("service", request.service_name, READ):
        return type(reply)(meta=reply.meta)
    return filter_reply(authorizer, reply)


def _batch(field: str) -> After:
    """The filter of a batch of records of access control: all or none are visible."""

    def apply(authorizer: Any, _server: Any, _request: Any, reply: Any) -> Any:
        found = getattr(reply, field)
        if not found or authorizer.allows("acl", "", READ):
            return reply
        hidden = {"removed": True} if hasattr(reply, "removed") else {}
        return type(reply)(meta=reply.meta, **{field: []}, **hidden)

    return apply


#: Wants nothing.
OPEN: Final = Access(is_open=True)
#: Its reply loses what may not be seen.
FILTERED: Final = Access(after=_by_type)

_OPERATOR_READ: Final = Access(scalar("operator", READ))
_OPERATOR_WRITE: Final = Access(scalar("operator", WRITE))

_ACL_READ: Final = Access(scalar("acl", READ))
_ACL_WRITE: Final = Access(scalar("acl", WRITE))
#: Any token that exists.
_ANY_TOKEN: Final = Access()

ACCESS: Final[dict[str, Access]] = {
    "ACL.Apply": _ACL_WRITE,
    "ACL.AuthMethodDelete": _ACL_WRITE,
    "ACL.AuthMethodList": _ACL_READ,
    "ACL.AuthMethodRead": _ACL_READ,
    "ACL.AuthMethodSet": _ACL_WRITE,
    "ACL.Authorize": _ANY_TOKEN,
    "ACL.BindingRuleDelete": _ACL_WRITE,
    "ACL.BindingRuleList": _ACL_READ,
    "ACL.BindingRuleRead": _ACL_READ,
    "ACL.BindingRuleSet": _ACL_WRITE,
    "ACL.BootstrapTokens": OPEN,
    "ACL.BootstrapWithSecret": OPEN,
    "ACL.Get": OPEN,  # knowledge of the secret is enough
    "ACL.GetPolicy": OPEN,  # answers nothing
    "ACL.List": _ACL_WRITE,
    "ACL.Login": OPEN,
    "ACL.Logout": OPEN,  # only the request's token goes
    "ACL.PolicyBatchRead": Access(after=_batch("policies")),
    "ACL.PolicyDelete": _ACL_WRITE,
    "ACL.PolicyList": _ACL_READ,
    "ACL.PolicyRead": _ACL_READ,
    "ACL.PolicyResolve": _ANY_TOKEN,  # those of the request's token
    "ACL.PolicySet": _ACL_WRITE,
    "ACL.ReplicationStatus": OPEN,
    "ACL.RoleBatchRead": Access(after=_batch("roles")),
    "ACL.RoleDelete": _ACL_WRITE,
    "ACL.RoleList": _ACL_READ,
    "ACL.RoleRead": _ACL_READ,
    "ACL.RoleResolve": _ANY_TOKEN,  # those of the request's token
    "ACL.RoleSet": _ACL_WRITE,
    "ACL.RoleSetTemplated": _ACL_WRITE,
    "ACL.TokenBatchRead": Access(after=_batch("tokens")),
    "ACL.TokenClone": _ACL_WRITE,
    "ACL.TokenDelete": _ACL_WRITE,
    "ACL.TokenList": _ACL_READ,
    "ACL.TokenRead": OPEN,  # knowledge of the secret is enough; by accessor the method checks acl:read itself
    "ACL.TokenSet": _ACL_WRITE,
    "ACL.TokenSetTemplated": _ACL_WRITE,
    "Catalog.Register": Access(registration.register),
    "Catalog.Deregister": Access(registration.deregister),
    "Catalog.GatewayServices": Access(checks.gateway, after=_by_type),
    "Catalog.ListDatacenters": OPEN,
    "Catalog.ListNodes": FILTERED,
    "Catalog.ListServices": FILTERED,
    "Catalog.NodeServiceList": FILTERED,
    "Catalog.NodeServices": FILTERED,
    "Catalog.ServiceNodes": Access(after=_instances),
    "ConfigEntry.Apply": Access(checks.config_write),
    "ConfigEntry.ApplyNewer": Access(checks.config_write),
    "ConfigEntry.Delete": Access(checks.config_write),
    "ConfigEntry.DeleteCas": Access(checks.config_write),
    "ConfigEntry.Get": Access(checks.config_read),
    "ConfigEntry.List": FILTERED,
    "ConfigEntry.ListAll": FILTERED,
    "ConfigEntry.ResolveServiceConfig": Access(checks.service_config),
    # Where Connect is off these return that error to every client; else they check the right themselves.
    "ConnectCA.ConfigurationGet": OPEN,
    "ConnectCA.ConfigurationSet": OPEN,
    "ConnectCA.Sign": OPEN,
    "ConnectCA.SignIntermediate": OPEN,
    "ConnectCA.Roots": OPEN,
    "Coordinate.ListDatacenters": OPEN,
    "Coordinate.ListNodes": FILTERED,
    "Coordinate.Node": Access(checks.node_read),
    "Coordinate.Update": Access(checks.coordinate),
    "DiscoveryChain.Get": Access(checks.discovery_chain),
    "FederationState.Apply": _OPERATOR_WRITE,
    "FederationState.Get": _OPERATOR_READ,
    "FederationState.List": _OPERATOR_READ,
    "FederationState.ListMeshGateways": FILTERED,
    "Health.ChecksInState": FILTERED,
    "Health.NodeChecks": FILTERED,
    "Health.ServiceChecks": FILTERED,
    "Health.ServiceNodes": Access(after=_instances),
    "Intention.Apply": Access(checks.intention_change),
    "Intention.Check": Access(checks.intention_check),
    "Intention.Get": Access(after=checks.intention_seen),
    "Intention.List": FILTERED,
    "Intention.Match": Access(checks.intention_match),
    "Internal.EventFire": Access(checks.event),
    "Internal.GatewayServiceDump": Access(checks.gateway, after=_by_type),
    "Internal.KeyringOperation": Access(checks.keyring),
    "Internal.NodeDump": FILTERED,
    "Internal.NodeInfo": FILTERED,
    "Internal.ServiceDump": FILTERED,
    "KVS.Apply": Access(checks.key_write),
    "KVS.Get": Access(checks.key_read),
    "KVS.List": Access(checks.key_list, after=_by_type),
    "KVS.ListKeys": Access(checks.key_list, after=_by_type),
    "Operator.AutopilotGetConfiguration": _OPERATOR_READ,
    "Operator.AutopilotSetConfiguration": _OPERATOR_WRITE,
    "Operator.RaftGetConfiguration": _OPERATOR_READ,
    "Operator.RaftRemovePeerByAddress": _OPERATOR_WRITE,
    "Operator.RaftRemovePeerByID": _OPERATOR_WRITE,
    "Operator.AutopilotState": _OPERATOR_READ,
    "Operator.ServerHealth": _OPERATOR_READ,
    "Operator.TransferLeader": _OPERATOR_WRITE,
    "Operator.Usage": _OPERATOR_READ,
    "PreparedQuery.Apply": Access(checks.query_change),
    "PreparedQuery.Execute": Access(after=queries.executed, secret=queries.execute_secret),
    "PreparedQuery.ExecuteRemote": Access(after=queries.executed_remotely, secret=queries.execute_remote_secret),
    "PreparedQuery.Explain": Access(after=queries.explained),
    "PreparedQuery.Get": Access(after=queries.got),
    "PreparedQuery.List": FILTERED,
    "Session.Apply": Access(checks.session_change),
    "Session.Get": FILTERED,
    "Session.List": FILTERED,
    "Session.NodeSessions": FILTERED,
    "Session.Renew": Access(checks.session_renewal),
    "Status.ConfigEntryKinds": OPEN,
    "Status.Leader": OPEN,
    "Status.Peers": OPEN,
    "Status.Ping": OPEN,
    "Status.RaftStats": OPEN,
    "Txn.Apply": Access(transactions.check, after=_by_type),
    "Txn.Read": Access(transactions.check, after=_by_type),
}
