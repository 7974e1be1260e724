"""The rates of reads and writes that a server takes (`limits.request_limits`, Consul 1.15): two token buckets.

Each call that arrives counts, from another agent or from this one's own HTTP API and DNS; Raft's messages, snapshots,
`Status.*` and `Operator.*` do not. Source: documentation of the settings and of their metrics, `agent/consul/rate` of
Consul 1.16.
"""

from collections.abc import Callable
from typing import Final

from consulpy.clock import Clock
from consulpy.errors import RPCError
from consulpy.log import Logger
from consulpy.metrics.registry import Measures
from consulpy.rpc.limits.rate_limit import RETRY_ELSEWHERE, RETRY_LATER, RateLimiter

PERMISSIVE, ENFORCING = "permissive", "enforcing"
#: Size of a bucket, in seconds of its rate.
BURST_S: Final = 10

_EXEMPT: Final = frozenset({"Operator", "Status"})
#: Methods that write; those that are not known count as reads.
_WRITES: Final = frozenset(
    {
        *(f"ACL.{kind}Set" for kind in ("AuthMethod", "BindingRule", "Policy", "Role", "Token")),
        *(f"ACL.{kind}Delete" for kind in ("AuthMethod", "BindingRule", "Policy", "Role", "Token")),
        *("ACL.Apply", "ACL.Login", "ACL.Logout"),
        *("AutoEncrypt.Sign", "Catalog.Deregister", "Catalog.Register"),
        *("ConfigEntry.Apply", "ConfigEntry.ApplyNewer", "ConfigEntry.Delete", "ConfigEntry.DeleteCas"),
        *("ConnectCA.ConfigurationSet", "ConnectCA.Sign", "ConnectCA.SignIntermediate", "Coordinate.Update"),
        *("FederationState.Apply", "FederationState.Delete", "Intention.Apply", "Internal.EventFire"),
        *("KVS.Apply", "PreparedQuery.Apply", "Session.Apply", "Session.Renew", "Txn.Apply"),
    }
)
_log = Logger()


class RequestLimits:
    """The limits of one server. Rates: calls a second, negative for any number.

    `enforces`: whether calls above a limit are refused; else they are only counted and logged. `is_leader()`: whether
    this server leads now.
    """

    def __init__(
        self,
        clock: Clock,
        metrics: Measures,
        is_leader: Callable[[], bool],
        *,
        enforces: bool,
        read_rate: float = -1.0,
        write_rate: float = -1.0,
    ) -> None:
        self._metrics = metrics
        self._is_leader = is_leader
        self.enforces = enforces
        self._reads = RateLimiter(clock, read_rate, int(read_rate) * BURST_S)
        self._writes = RateLimiter(clock, write_rate, int(write_rate) * BURST_S)

    def check(self, method: str, source: str = "") -> None:
        """Count a call. `source`: its "ip:port". Raises `RPCError` above an enforced limit.

        The text tells whether another server may take the call, or only the leader would, which this one is.
        """
        if method.partition(".")[0] in _EXEMPT:
            return
        is_write = method in _WRITES
        if (self._writes if is_write else self._reads).allows():
            return
        kind = "global/write" if is_write else "global/read"
        _log.debug(
            "RPC exceeded allowed rate limit: "
            "rpc={method} source_addr={source} limit_type={kind} limit_enforced={enforced}",
            method=method,
            source=source or "127.0.0.1",
            kind=kind,
            enforced="true" if self.enforces else "false",
        )
        mode = ENFORCING if self.enforces else PERMISSIVE
        self._metrics.incr("rpc.rate_limit.exceeded", 1, {"limit_type": kind, "op": method, "mode": mode})
        if self.enforces:
            raise RPCError(RETRY_LATER if is_write and self._is_leader() else RETRY_ELSEWHERE)
