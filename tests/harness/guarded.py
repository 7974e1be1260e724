"""`FakeAgent` with access control, and its HTTP harness."""

from typing import Any

from twisted.internet.defer import Deferred

from consulpy.leader.acl import AclTasks
from consulpy.leader.leader import Leader
from consulpy.local.access import AgentAccess
from consulpy.local.tokens import AgentTokens
from consulpy.rpc.acl.guard import Guard
from consulpy.rpc.acl.resolver import Authorizers, StateResolver
from consulpy.rpc.snapshots import perform
from tests.harness.http import FakeAgent, HttpHarness, Response

MASTER = "cf000000-0000-0000-0000-0000000000aa"
#: Wall clock at the clock's zero, in seconds since 1970.
NOW_S = 1_800_000_000.0


class GuardedAgent(FakeAgent):
    """An agent with `default_policy` deny (`default_allows`: allow) and the master token `MASTER` (or another)."""

    def __init__(
        self, *, default_allows: bool = False, lists_keys_by_right: bool = False, master: str = MASTER
    ) -> None:
        super().__init__()
        self.server.wall_s = self.wall_s
        resolver = StateResolver(lambda: self.log.store, "dc1", self.wall_s, Authorizers(default_allows=default_allows))
        self.server.guard = Guard(resolver, default_allows=default_allows, lists_keys_by_right=lists_keys_by_right)
        self.leader = Leader(
            "dc1", "agent-one", self.log, self.lan, self.clock, on_ready=self._lead,
            acl=lambda write: AclTasks(self.log.store, self.clock, self.wall_s, write, master=master),
        )  # fmt: skip
        self.tokens = AgentTokens()
        policy = "allow" if default_allows else "deny"
        self.access = AgentAccess(self.tokens, "agent-one", self.server.guard.resolve, policy)

    def wall_s(self) -> float:
        return NOW_S + float(self.clock.seconds())

    def snapshot(self, request: Any, data: bytes) -> "Deferred[Any]":
        return perform(self.server, request, data)


class GuardedHarness(HttpHarness):
    """The HTTP API of a `GuardedAgent`."""

    def __init__(self, agent: GuardedAgent | None = None, **config: Any) -> None:
        super().__init__(agent or GuardedAgent().start(), **config)

    def as_(self, token: str, request: str, body: Any = b"") -> Response:
        """Send a request with a token ("" for none); its response."""
        return self.ask(request, body, **({"X_Consul_Token": token} if token else {}))

    def token(self, rules: str, **fields: Any) -> str:
        """Create a token with a policy of these rules; its secret."""
        name = f"p{len(self.agent.server.store.acl.policies)}"
        policy = self.as_(MASTER, "PUT /v1/acl/policy", {"Name": name, "Rules": rules})
        assert policy.status == 200, policy.text
        made = self.as_(MASTER, "PUT /v1/acl/token", {"Policies": [{"Name": name}], **fields})
        assert made.status == 200, made.text
        return str(made.json["SecretID"])


__all__ = ["MASTER", "NOW_S", "GuardedAgent", "GuardedHarness"]
