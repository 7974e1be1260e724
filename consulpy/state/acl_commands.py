"""Raft commands of the ACL tables (docs/wire/acl.md section 9). Ids, times and hashes are set before submission."""

from typing import Any, Final

from consulpy.errors import RPCError
from consulpy.state.command import BodyCommand
from consulpy.state.store import Store
from consulpy.structs import acl_log_entries as bodies
from consulpy.structs.acl import LegacyAcl, Token


class LegacyAclChange(BodyCommand):
    """Write or remove a legacy token (before 1.4); the result is its secret."""

    TYPE = 4
    BODY = bodies.LegacyRequest

    def apply(self, store: Store, index: int) -> Any:
        """See `Acl.set_tokens`."""
        op, acl = self.body.op, self.body.acl
        with store.change(index) as change:
            if op in ("set", "bootstrap-now", "force-set"):
                store.acl.set_tokens(change, bodies.TokenBatchSet(tokens=[legacy_token(acl)]), legacy=True)
                return acl.id
            if op == "delete":
                store.acl.delete_token_by_secret(change, acl.id)
                return None
            raise RPCError(f"Invalid ACL operation '{op}'")


def legacy_token(acl: LegacyAcl) -> Token:
    """Convert a legacy record to a token."""
    return Token(
        secret_id=acl.id,
        description=acl.name,
        type=acl.type,
        rules=acl.rules,
        create_index=acl.create_index,
        modify_index=acl.modify_index,
    )


class AclBootstrap(BodyCommand):
    """Write the first management token."""

    TYPE = 11
    BODY = bodies.Bootstrap

    def apply(self, store: Store, index: int) -> bool:
        """See `Acl.bootstrap`."""
        with store.change(index) as change:
            store.acl.bootstrap(change, self.body)
        return True


class TokenSet(BodyCommand):
    """Write tokens."""

    TYPE = 17
    BODY = bodies.TokenBatchSet

    def apply(self, store: Store, index: int) -> None:
        """See `Acl.set_tokens`."""
        with store.change(index) as change:
            store.acl.set_tokens(change, self.body)


class TokenDelete(BodyCommand):
    """Remove tokens."""

    TYPE = 18
    BODY = bodies.TokenBatchDelete

    def apply(self, store: Store, index: int) -> None:
        """See `Acl.delete_tokens`."""
        with store.change(index) as change:
            store.acl.delete_tokens(change, self.body.token_ids or ())


class PolicySet(BodyCommand):
    """Write policies."""

    TYPE = 19
    BODY = bodies.PolicyBatchSet

    def apply(self, store: Store, index: int) -> None:
        """See `Acl.set_policy`."""
        with store.change(index) as change:
            for policy in self.body.policies or ():
                store.acl.set_policy(change, policy)


class PolicyDelete(BodyCommand):
    """Remove policies."""

    TYPE = 20
    BODY = bodies.PolicyBatchDelete

    def apply(self, store: Store, index: int) -> None:
        """See `Acl.delete_policy`."""
        with store.change(index) as change:
            for policy_id in self.body.policy_ids or ():
                store.acl.delete_policy(change, policy_id)


class RoleSet(BodyCommand):
    """Write roles."""

    TYPE = 23
    BODY = bodies.RoleBatchSet

    def apply(self, store: Store, index: int) -> None:
        """See `Acl.set_role`."""
        with store.change(index) as change:
            for role in self.body.roles or ():
                store.acl.set_role(change, role, allow_missing_links=self.body.allow_missing_links)


class RoleDelete(BodyCommand):
    """Remove roles."""

    TYPE = 24
    BODY = bodies.RoleBatchDelete

    def apply(self, store: Store, index: int) -> None:
        """See `Acl.delete_role`."""
        with store.change(index) as change:
            for role_id in self.body.role_ids or ():
                store.acl.delete_role(change, role_id)


class BindingRuleSet(BodyCommand):
    """Write binding rules."""

    TYPE = 25
    BODY = bodies.BindingRuleBatchSet

    def apply(self, store: Store, index: int) -> None:
        """See `Acl.set_binding_rule`."""
        with store.change(index) as change:
            for rule in self.body.binding_rules or ():
                store.acl.set_binding_rule(change, rule)


class BindingRuleDelete(BodyCommand):
    """Remove binding rules."""

    TYPE = 26
    BODY = bodies.BindingRuleBatchDelete

    def apply(self, store: Store, index: int) -> None:
        """See `Acl.delete_binding_rule`."""
        with store.change(index) as change:
            for rule_id in self.body.binding_rule_ids or ():
                store.acl.delete_binding_rule(change, rule_id)


class AuthMethodSet(BodyCommand):
    """Write auth methods."""

    TYPE = 27
    BODY = bodies.AuthMethodBatchSet

    def apply(self, store: Store, index: int) -> None:
        """See `Acl.set_auth_method`."""
        with store.change(index) as change:
            for method in self.body.auth_methods or ():
                store.acl.set_auth_method(change, method)


class AuthMethodDelete(BodyCommand):
    """Remove auth methods, their binding rules and the tokens of their logins."""

    TYPE = 28
    BODY = bodies.AuthMethodBatchDelete

    def apply(self, store: Store, index: int) -> None:
        """See `Acl.delete_auth_method`."""
        with store.change(index) as change:
            for name in self.body.auth_method_names or ():
                store.acl.delete_auth_method(change, name)


ACL_COMMANDS: Final = (
    LegacyAclChange,
    AclBootstrap,
    TokenSet,
    TokenDelete,
    PolicySet,
    PolicyDelete,
    RoleSet,
    RoleDelete,
    BindingRuleSet,
    BindingRuleDelete,
    AuthMethodSet,
    AuthMethodDelete,
)
