"""Access control of the agent's own endpoints: by request token, default token or agent master token."""

import hmac
from collections.abc import Callable, Hashable
from typing import Any

from twisted.internet.defer import Deferred

from consulpy.acl.authorizer import UNRESTRICTED, compile_rules
from consulpy.acl.identities import agent_master
from consulpy.local.tokens import AgentTokens
from consulpy.rpc.acl.resolver import Identity
from consulpy.structs.acl import Token


class AgentAccess:
    """Resolves tokens. `resolve(secret)`: the identity, or an awaitable of it (`consulpy.rpc.acl`). None: ACLs off.

    `default_policy`: `acl.default_policy`, `allow` or `deny`; `down_policy`: `acl.down_policy`.
    """

    def __init__(
        self,
        tokens: AgentTokens,
        node_name: str,
        resolve: Callable[[str], Any] | None = None,
        default_policy: str = "allow",
        down_policy: str = "extend-cache",
    ) -> None:
        self.down_policy = down_policy
        self.tokens = tokens
        self.default_policy = default_policy
        #: "allow" or "deny" where no intention decides; "": the default policy of access control.
        self.default_intention_policy = ""
        self._resolve = resolve
        self._master = Identity(
            Token(accessor_id="agent-master", description="Agent Master Token"),
            compile_rules([agent_master(node_name)]),
        )

    @property
    def is_on(self) -> bool:
        """Whether access control is on."""
        return self._resolve is not None

    async def identity(self, secret: str) -> Identity:
        """The identity and permissions of a token ("": the default token). Raises `RPCError`."""
        if self._resolve is None:
            return Identity(Token(), UNRESTRICTED)
        master = self.tokens.agent_master
        if secret and master and hmac.compare_digest(secret.encode(errors="surrogateescape"), master.encode()):
            return self._master
        found = self._resolve(secret or self.tokens.default)
        identity: Identity = found if isinstance(found, Identity) else await Deferred.fromCoroutine(found)
        return identity

    async def rights(self, secret: str) -> Hashable:
        """A value that changes when the permissions of a token change. Raises `RPCError`."""
        identity = await self.identity(secret)
        return identity.authorizer, identity.epoch
