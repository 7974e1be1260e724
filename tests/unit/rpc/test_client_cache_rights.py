"""The agent cache of a client under access control, against an oracle without caches.

Random tokens, changes of rights and data, outages and reads: nobody sees a row that its token was not allowed to see
within the time for which a client remembers rights; and once all is quiet the cache answers as the servers do.
"""

from random import Random
from typing import Any

import pytest
from twisted.internet.defer import Deferred, fail

from consulpy.acl.authorizer import Authorizer
from consulpy.acl.levels import READ
from consulpy.errors import NoServers, RPCError
from consulpy.local.access import AgentAccess
from consulpy.local.tokens import AgentTokens
from consulpy.rpc.acl.remote import DOWN_POLICIES, RETRY_S, RemoteResolver
from consulpy.rpc.acl.resolver import Authorizers
from consulpy.rpc.cache.agent_cache import REFRESH_WAIT_S, RIGHTS_WAIT_S, AgentCache
from consulpy.rpc.cache.authorized_cache import AuthorizedCache
from consulpy.structs.options import QueryOptions
from consulpy.structs.requests import Read, ServiceRequest, SpecificRequest
from tests.harness.effort import cases
from tests.harness.guarded import MASTER, GuardedAgent, GuardedHarness

TTL_S = 30.0
#: How long after a change the client may go on with what it knew, in seconds: its time of tokens and that of a refresh,
#: to which servers add up to a sixteenth.
MEMORY_S = max(TTL_S, RIGHTS_WAIT_S * 17 / 16) + RETRY_S + 1.0
SERVICES, NODES = ("web", "db"), ("n1", "n2")
RULES = (
    "",
    'node_prefix "" { policy = "read" } service_prefix "" { policy = "read" }',
    'node "n1" { policy = "read" } service "web" { policy = "read" }',
    'node_prefix "" { policy = "read" } service "db" { policy = "read" }',
    'node_prefix "" { policy = "read" } service_prefix "" { policy = "read" } service "web" { policy = "deny" }',
)


class Link:
    """The client's calls to the server; while it is down they fail, those that are under way too."""

    def __init__(self, agent: GuardedAgent) -> None:
        self._agent = agent
        self._running: dict[Deferred[Any], None] = {}
        self.is_down = False

    def call(self, method: str, request: Any, dependencies: Any = None) -> "Deferred[Any]":
        if self.is_down:
            return fail(NoServers())
        served = self._agent.caller.call(method, request)
        reply: Deferred[Any] = Deferred(lambda _: served.cancel())
        self._running[reply] = None
        served.addCallbacks(self._ended, self._ended, (reply,), errbackArgs=(reply,))
        return reply

    def _ended(self, result: Any, reply: "Deferred[Any]") -> None:
        if reply in self._running:
            del self._running[reply]
            reply.errback(result) if hasattr(result, "trap") else reply.callback(result)

    def cut(self) -> None:
        self.is_down = True
        running, self._running = self._running, {}
        for each in running:
            each.errback(NoServers())


class World:
    """A server, a client agent, and what each token was allowed to see at which time."""

    def __init__(self, seed: int, down: str) -> None:
        self.rng = Random(seed)
        self.agent = GuardedAgent().start()
        self.harness = GuardedHarness(self.agent)
        self.clock = self.agent.clock
        self.link = Link(self.agent)
        resolver = RemoteResolver(
            self.link, self.clock, self.agent.wall_s, "dc1", "dc1", Authorizers(default_allows=False),
            token_ttl_s=TTL_S, policy_ttl_s=TTL_S, role_ttl_s=TTL_S, down=DOWN_POLICIES[down],
        )  # fmt: skip
        access = AgentAccess(AgentTokens(), "agent-two", resolver.resolve, "deny", down)
        self.cache = AuthorizedCache(AgentCache(self.link, self.clock), self.link, self.clock, access)
        #: Whether rights change by the links of tokens, or by the rules of policies: not both, as a client that mixes
        #: what it learned a moment apart may see rights that were never there.
        self.changes_links = seed % 2 == 0
        self.history: list[tuple[float, dict[str, Authorizer | None]]] = []
        self.outages: list[list[float]] = []
        self.secrets: list[str] = []
        self.accessors: dict[str, str] = {}
        self.policies = [self._policy(number) for number in range(len(RULES))]
        for _ in range(3):
            self.make_token()
        self.hits = 0
        #: Rows that were not allowed: token, node, service, and when in seconds.
        self.faults: list[tuple[str, str, str, float]] = []

    def master(self, request: str, body: Any = b"") -> Any:
        return self.harness.as_(MASTER, request, body)

    def _policy(self, number: int) -> str:
        made = self.master("PUT /v1/acl/policy", {"Name": f"p{number}", "Rules": RULES[number]})
        return str(made.json["ID"])

    def make_token(self) -> None:
        made = self.master("PUT /v1/acl/token", {"Policies": [{"ID": self.rng.choice(self.policies)}]}).json
        self.secrets.append(made["SecretID"])
        self.accessors[made["SecretID"]] = made["AccessorID"]
        self.note()

    def note(self) -> None:
        """Remember the rights of now."""
        self.history.append((self.clock.seconds(), {secret: self._rights(secret) for secret in self.secrets}))

    def _rights(self, secret: str) -> Authorizer | None:
        try:
            return self.agent.server.guard.resolve(secret).authorizer
        except RPCError:
            return None

    def change(self) -> None:
        rng = self.rng
        kind = rng.randrange(7)
        secret = rng.choice(self.secrets)
        if kind <= 1 and self.changes_links:
            link = {"ID": rng.choice(self.policies)}
            self.master(f"PUT /v1/acl/token/{self.accessors[secret]}", {"Policies": [link]})
        elif kind <= 1:
            at = rng.randrange(len(self.policies))
            body = {"Name": f"p{at}", "Rules": rng.choice(RULES)}
            self.master(f"PUT /v1/acl/policy/{self.policies[at]}", body)
        elif kind == 2:
            self.make_token()
        elif kind == 3 and rng.random() < 0.5:
            self.master(f"DELETE /v1/acl/token/{self.accessors[secret]}")
        elif kind == 4:
            service = {"Service": rng.choice(SERVICES), "Port": rng.randint(1, 9)}
            self.master("PUT /v1/catalog/register", {"Node": rng.choice(NODES), "Address": "a", "Service": service})
        elif kind == 5 and rng.random() < 0.3:
            self.toggle()
        self.note()

    def toggle(self) -> None:
        if self.link.is_down:
            self.link.is_down = False
            self.outages[-1][1] = self.clock.seconds()
        else:
            self.link.cut()
            self.outages.append([self.clock.seconds(), float("inf")])

    def request(self, secret: str) -> tuple[str, Read]:
        options = QueryOptions(token=secret, use_cache=True)
        method = self.rng.choice(("Health.ServiceNodes", "Catalog.ServiceNodes", "Catalog.ListServices"))
        if self.rng.random() < 0.2:
            options.min_query_index, options.max_query_time = self.rng.randint(1, 60), 2 * 10**9
        if method == "Catalog.ListServices":
            return method, SpecificRequest(datacenter="dc1", options=options)
        return method, ServiceRequest(datacenter="dc1", service_name=self.rng.choice(SERVICES), options=options)

    def read(self) -> None:
        secret = self.rng.choice(self.secrets)
        method, request = self.request(secret)
        answer = Deferred.fromCoroutine(self.cache.read(method, request))
        answer.addCallbacks(self.judge, lambda failure: failure.trap(RPCError), (secret,))

    def judge(self, found: Any, secret: str) -> None:
        """Every row of an answer was allowed within the client's memory."""
        self.hits += found.hit
        now_s = self.clock.seconds()
        since_s = now_s - MEMORY_S
        for began_s, ended_s in reversed(self.outages):
            if ended_s >= since_s:
                since_s = min(since_s, began_s - MEMORY_S)
        for node, service in rows_of(found.reply):
            allowed = [self._allowed(secret, "service", service, since_s)]
            if node:
                allowed.append(self._allowed(secret, "node", node, since_s))
            if not all(allowed):
                self.faults.append((secret, node, service, now_s))

    def _allowed(self, secret: str, kind: str, name: str, since_s: float) -> bool:
        for at in range(len(self.history) - 1, -1, -1):
            noted_s, rights = self.history[at]
            authorizer = rights.get(secret)
            if authorizer is not None and authorizer.allows(kind, name, READ):
                return True
            if noted_s < since_s:  # the rights at the beginning of that time
                return False
        return False

    def settled(self) -> None:
        """The cache answers as the server does."""
        if self.link.is_down:
            self.toggle()
        for _ in range(int(2 * (TTL_S + REFRESH_WAIT_S) / 5)):
            self.clock.advance(5)
        for secret in self.secrets:
            for method, request in (self.request(secret) for _ in range(3)):
                request.options.min_query_index = request.options.max_query_time = 0
                cached = Deferred.fromCoroutine(self.cache.read(method, request))
                direct = self.agent.caller.call(method, request)
                assert outcome(cached) == outcome(direct), (secret, method)


def rows_of(reply: Any) -> list[tuple[str, str]]:
    """Node ("" for a list of services) and service of each row."""
    if hasattr(reply, "services"):
        return [("", name) for name in reply.services or ()]
    if hasattr(reply, "service_nodes"):
        return [(row.node, row.service_name) for row in reply.service_nodes or ()]
    return [(row.node.node, row.service.service) for row in reply.nodes or ()]


def outcome(answer: "Deferred[Any]") -> Any:
    """The rows of an answer, or the text of its error."""
    found: list[Any] = []
    answer.addBoth(found.append)
    [result] = found
    if hasattr(result, "trap"):
        return str(result.value)
    return sorted(rows_of(getattr(result, "reply", result)))


@pytest.mark.parametrize("down", ["extend-cache", "deny", "async-cache"])
@pytest.mark.parametrize("seed", range(6))
def test_nobody_gets_from_the_cache_what_its_token_was_not_allowed(seed: int, down: str) -> None:
    world = World(seed, down)
    for _ in range(cases(250)):
        world.change()
        for _ in range(world.rng.randint(1, 8)):
            world.read()
        world.clock.advance(world.rng.choice((0, 0.1, 0.5, 3, 20)))
        assert not world.faults
    assert world.hits, "nothing was cached: nothing was shown"
    world.settled()
