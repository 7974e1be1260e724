"""Alias checks: the status of another service or node.

A local service is watched in the agent's local state, another node through the servers with a blocking query. Unlike in
Consul the check ends when it is stopped, does not count itself, and an unknown node is no crash (SURPRISES.md).
"""

from collections.abc import Callable, Iterable
from typing import Final, Protocol

from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure

from consulpy.checks.result import OUTPUT_MAX_BYTES
from consulpy.clock import Clock, Timer, cancel_timer
from consulpy.structs.check import CRITICAL, PASSING, WARNING, HealthCheck

#: Seconds after which a failed query of another node is repeated.
RETRY_S: Final = 5.0
#: Shortest time between two evaluations that count another alias check, in seconds: checks that alias each other would
#: go on without end, and so would their outputs, which are cut at `OUTPUT_MAX_BYTES`.
CHAIN_INTERVAL_S: Final = 1.0


class AliasSource(Protocol):
    """Source of the checks that alias checks follow (implemented by the agent)."""

    @property
    def node_name(self) -> str:
        """The name of this agent."""

    def local_checks(self) -> Iterable[HealthCheck]:
        """All checks of this agent."""

    def has_local_service(self, service_id: str) -> bool:
        """Whether this agent has the service."""

    def watch_local(self, service_id: str, call: Callable[[], None]) -> Callable[[], None]:
        """Call `call` once, at the next change of the service or any check; the result cancels it."""

    def remote_node(
        self, check_id: str, node: str, index: int
    ) -> Deferred[tuple[int, list[HealthCheck], set[str] | None]]:
        """(index, checks, ids of services) of another node, None for the ids if there is no such node.

        Blocks until its index passes `index`. Read with the token of the alias check `check_id`.
        """


class AliasCheck:
    """A running alias check, from its creation until `stop`. `report(status, output)` is called on each result."""

    def __init__(
        self,
        check_id: str,
        node: str,
        service_id: str,
        source: AliasSource,
        report: Callable[[str, str], None],
        clock: Clock,
    ) -> None:
        self._check_id = check_id
        self._node = node
        self._service_id = service_id
        self._source = source
        self._report = report
        self._clock = clock
        self._stopped = False
        self._cancel_watch: Callable[[], None] | None = None
        self._query: Deferred[None] | None = None
        self._index = 0
        #: Time of the last evaluation, and whether it counted another alias check.
        self._evaluated_s = 0.0
        self._is_chained = False
        #: Delays the next evaluation: never run inside `report`, which triggers it.
        self._timer: Timer | None = clock.callLater(0, self._evaluate)

    @property
    def _is_own_node(self) -> bool:
        return self._node in ("", self._source.node_name)

    @property
    def _is_local(self) -> bool:
        """Whether the local state has the target; a server's service `consul` is only in the catalog."""
        known = not self._service_id or self._source.has_local_service(self._service_id)
        return not self._node or (self._is_own_node and known)

    def stop(self) -> None:
        """See `RunningCheck.stop`."""
        self._stopped = True
        cancel_timer(self._timer)
        if self._cancel_watch is not None:
            self._cancel_watch()
        query, self._query = self._query, None
        if query is not None:
            query.cancel()

    def update(self, status: str, output: str) -> None:  # noqa: ARG002 - interface of `RunningCheck`
        """See `RunningCheck.update`: not called."""
        raise AssertionError("only TTL checks are updated")

    def _evaluate(self) -> None:
        self._timer = None
        self._evaluated_s = self._clock.seconds()
        if not self._is_local:
            query = self._source.remote_node(self._check_id, self._node, self._index)
            self._query = query.addCallbacks(self._succeeded, self._failed)
            return
        self._cancel_watch = self._source.watch_local(self._service_id, self._changed)
        known = not self._service_id or self._source.has_local_service(self._service_id)
        self._judge(self._source.local_checks(), known)

    def _changed(self) -> None:
        self._cancel_watch = None
        if not self._stopped and self._timer is None:
            waited_s = self._clock.seconds() - self._evaluated_s
            delay_s = max(CHAIN_INTERVAL_S - waited_s, 0.0) if self._is_chained else 0.0
            self._timer = self._clock.callLater(delay_s, self._evaluate)

    def _succeeded(self, result: tuple[int, list[HealthCheck], set[str] | None]) -> None:
        index, checks, services = result
        if self._stopped:
            return
        if services is None:
            self._report(CRITICAL, f"Node {self._node} could not be found")
        elif self._service_id:
            self._judge(checks, self._service_id in services)
        else:  # as in Consul: such a node needs a check of its own to pass
            self._judge(checks, any(not check.service_id for check in checks))
        moved = index > self._index
        self._index = index if index >= self._index else 0
        # a query that did not block must not become a busy loop
        self._timer = self._clock.callLater(0 if moved else 1.0, self._evaluate)

    def _failed(self, failure: Failure) -> None:
        if self._stopped:
            failure.trap(CancelledError, Exception)
            return
        self._report(CRITICAL, f"Failure checking aliased node or service: {failure.getErrorMessage()}")
        self._index = 0
        self._timer = self._clock.callLater(RETRY_S, self._evaluate)

    def _judge(self, checks: Iterable[HealthCheck], known: bool) -> None:
        if not known:
            self._report(CRITICAL, f"Service {self._service_id} could not be found on node {self._node}")
            return
        counted = [check for check in checks if self._counts(check)]
        self._is_chained = any(check.type == "alias" for check in counted)
        # as Consul: the first that is critical, else the last warning
        failing = [check for check in counted if check.status == CRITICAL][:1]
        failing = failing or [check for check in counted if check.status == WARNING][-1:]
        for check in failing:
            self._report(check.status, _cut(f'Aliased check "{check.name}" failing: {check.output}'))
        if not failing:
            self._report(PASSING, "All checks passing." if counted else "No checks found.")

    def _counts(self, check: HealthCheck) -> bool:
        """Whether a check counts: one of the service or of its node, but no alias check: it may alias this one."""
        if check.check_id == self._check_id and self._is_own_node:
            return False
        if not check.service_id:
            return check.type != "alias"
        return check.service_id == self._service_id


def _cut(output: str) -> str:
    return output.encode("utf-8", "replace")[:OUTPUT_MAX_BYTES].decode("utf-8", "ignore")
