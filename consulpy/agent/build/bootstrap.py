"""`bootstrap_expect`: the first configuration of Raft, once the expected number of servers has been gossiped.

Source: Consul 1.8.7.
"""

from collections.abc import Callable
from typing import Any, Final

from twisted.internet.defer import Deferred

from consulpy.agent.process.logs import reporter
from consulpy.backoff import backoff_s
from consulpy.config.schema import RuntimeConfig
from consulpy.errors import RPCError, WireError
from consulpy.raft.configuration import Configuration
from consulpy.raft.configuration import Server as RaftServer
from consulpy.raft.machine import Raft
from consulpy.rpc.messages import reply_of
from consulpy.rpc.pool import ConnectionPool
from consulpy.rpc.server_metadata import ServerInfo
from consulpy.structs.requests import SpecificRequest

#: Most attempts to learn from the other servers whether there is a quorum already; then no quorum is bootstrapped.
ATTEMPTS_MAX: Final = 6
#: Pauses between them, in seconds.
RETRY_FIRST_S: Final = 1.0
RETRY_MAX_S: Final = 32.0
_log = reporter("raft")


class Bootstrap:
    """Bootstraps Raft when `bootstrap_expect` servers are alive and none of them knows a configuration.

    `servers()`: the servers of the datacenter that are alive in gossip.
    """

    def __init__(
        self,
        config: RuntimeConfig,
        reactor: Any,
        raft: Raft,
        pool: ConnectionPool,
        servers: Callable[[], list[ServerInfo]],
    ) -> None:
        self._config = config
        self._reactor = reactor
        self._raft = raft
        self._pool = pool
        self._servers = servers
        self._attempts = 0
        self._is_running = False

    def check(self) -> None:
        """Start bootstrapping if the condition holds; called when the members change."""
        expect = self._config.bootstrap_expect
        if expect < 2 or self._is_running or self._attempts >= ATTEMPTS_MAX or self._raft.log.last_index:
            return
        servers = self._servers()
        for info in servers:
            if info.bootstrap or info.expect not in (0, expect):
                _log("error", f"{info.name} expects another number of servers ({info.expect}) or is in bootstrap mode")
                return
        if sum(not info.nonvoter for info in servers) >= expect:
            self._is_running = True
            self._attempts = 0
            Deferred.fromCoroutine(self._run(servers)).addErrback(
                lambda failure: _log("error", f"no quorum was begun: {failure.value}")
            )

    async def _run(self, servers: list[ServerInfo]) -> None:
        body = SpecificRequest(datacenter=self._config.datacenter).pack()
        for info in servers:
            if info.id == self._config.node_id:
                continue
            try:
                peers = reply_of(list, await self._pool.call(info, "Status.Peers", body))
            except (RPCError, WireError) as error:
                self._attempts += 1
                self._is_running = False
                _log("warn", f"{info.name} did not say whether there is a quorum, will retry: {error}")
                self._reactor.callLater(backoff_s(self._attempts, RETRY_FIRST_S, RETRY_MAX_S), self.check)
                return
            if peers:
                self._attempts = ATTEMPTS_MAX
                _log("info", f"existing Raft peers reported by {info.name}, disabling bootstrap mode")
                return
        if not self._raft.log.last_index and not self._raft.term:
            found = [RaftServer(info.rpc_address, info.id, int(info.nonvoter)) for info in servers]
            _log("info", f"found the expected number of servers, beginning a quorum of {len(found)}")
            self._raft.bootstrap(Configuration.of(found))
