"""What anti-entropy sends: the differences between what the agent knows of itself and what the catalog has of it.

Services go with their checks, then other checks, the node by itself last; several calls are under way at once.
docs/wire/rpc.md section 9; tests/vectors/rpc/Catalog.Register.json.
"""

from collections.abc import Callable, Coroutine, Iterator
from typing import Any, Final

from twisted.internet.defer import Deferred, FirstError, gatherResults
from twisted.logger import Logger

from consulpy.clock import Clock
from consulpy.codec.record import Record
from consulpy.errors import NoLeader, NoServers, RPCError
from consulpy.local.sync.diff import compare, keep_tags
from consulpy.local.sync.sync_state import CheckState, Entries, ServiceState
from consulpy.rpc.caller import Caller
from consulpy.structs.node import Node
from consulpy.structs.options import QueryOptions
from consulpy.structs.requests import (
    DeregisterRequest,
    HealthChecksReply,
    NodeRequest,
    NodeServiceListReply,
    RegisterRequest,
)
from consulpy.structs.service import NodeService

_log = Logger()

#: Names of services and checks in one log line.
SHOWN_MAX: Final = 10

#: What a sync may read that is this old, in nanoseconds.
_MAX_STALE_NS: Final = 2_000_000_000
#: A call that is not answered after this many seconds is given up; the next full sync repairs what it left.
CALL_TIMEOUT_S: Final = 120.0
#: How many calls of one sync are under way at once: the servers store together what comes together.
PARALLEL: Final = 8
#: After so many refusals in one sync the rest waits for the next one.
MAX_REFUSED: Final = 16


class CatalogSync:
    """Tells the catalog. `call_timeout_s`: of each call.

    `token()`: the agent's own, for its node and what it reads; `default_token()`: for services and checks that were
    registered without one.
    """

    def __init__(
        self,
        caller: Caller,
        entries: Entries,
        clock: Clock,
        token: Callable[[], str],
        call_timeout_s: float,
        default_token: Callable[[], str] = lambda: "",
    ) -> None:
        self._default_token = default_token
        self._caller = caller
        self._entries = entries
        self._clock = clock
        self._token = token
        self._call_timeout_s = call_timeout_s

    async def everything(self) -> None:
        """Read what the catalog has, and send the differences. Raises `RPCError` and others that calls do."""
        # tags that were set in the catalog are taken over: what is read must not be older than what we sent
        stale = not any(service.enable_tag_override for service in self._entries.live_services().values())
        services: NodeServiceListReply = await self._call("Catalog.NodeServiceList", self._read(stale=stale))
        checks: HealthChecksReply = await self._call("Health.NodeChecks", self._read(stale=True))
        theirs = services.node_services
        compare(self._entries, theirs.node, theirs.services or (), checks.health_checks or ())
        await self._send_changes()

    def _read(self, *, stale: bool) -> NodeRequest:
        node = self._entries.node
        options = QueryOptions(token=self._token())
        if stale:
            options.allow_stale, options.max_stale_duration = True, _MAX_STALE_NS
        return NodeRequest(datacenter=node.datacenter, node=node.node, options=options)

    async def changes(self) -> None:
        """Send what changed; services whose tags others may set go with the tags that the catalog has now."""
        concerned = self._entries.overridable()
        if concerned:
            reply: NodeServiceListReply = await self._call("Catalog.NodeServiceList", self._read(stale=False))
            for other in reply.node_services.services or ():
                entry = self._entries.services.get(other.id)
                if other.id in concerned and entry is not None and not entry.deleted:
                    keep_tags(entry, other)
        await self._send_changes()

    async def _send_changes(self) -> None:
        """Send everything that is not in sync: services with their checks, other checks, the node by itself last.

        What the servers refuse does not keep the rest from being sent; the first refusal is raised at the end.
        """
        entries = self._entries
        refused: list[RPCError] = []
        services, checks = entries.services_to_tell(), entries.checks_to_tell()
        named = [f"service {name}" for name in services] + [f"check {name}" for name in checks]
        if not entries.node_in_sync:
            named.append("node info")
            if self._has_other_tokens([*services.values(), *checks.values()]):
                await self._or_refused(self._tell_node(), [], refused)
        await self._all(
            self._or_refused(self._tell_service(service_id, service), [service], refused)
            for service_id, service in list(services.items())
        )
        await self._all(
            self._or_refused(self._tell_check(check_id, check), [check], refused)
            for check_id, check in list(entries.checks_to_tell().items())
        )
        if not entries.node_in_sync:
            await self._or_refused(self._tell_node(), [], refused)
        if named:
            more = f" and {len(named) - SHOWN_MAX} more" if len(named) > SHOWN_MAX else ""
            _log.debug("sent to the catalog: {names}{more}", names=", ".join(named[:SHOWN_MAX]), more=more)
        if refused:
            raise refused[0]

    def _has_other_tokens(self, changes: list[Any]) -> bool:
        """Whether anything is sent by a token that may not be allowed to tell of the node."""
        own = self._token()
        return any((entry.token or self._default_token()) != own for entry in changes)

    async def _tell_node(self) -> None:
        entries = self._entries
        try:
            await self._call("Catalog.Register", self._registration(self._token()))
        except RPCError as error:
            entries.node_in_sync = is_refusal(str(error))  # services may be told of without it
            raise
        entries.node_in_sync = True

    async def _call(self, method: str, request: Record) -> Any:
        waiting = self._caller.call(method, request)
        timer = self._clock.callLater(self._call_timeout_s, waiting.cancel)
        try:
            return await waiting
        finally:
            if timer.active():
                timer.cancel()

    async def _all(self, changes: Iterator[Coroutine[Any, Any, None]]) -> None:
        """Await all of them, some at once; the first that raises ends all. Each is made when its turn comes."""
        if not self._entries.node_in_sync:
            for change in changes:  # it tells of the node, too
                await change
                break
        workers = [Deferred.fromCoroutine(_one_by_one(changes)) for _ in range(PARALLEL)]
        try:
            await gatherResults(workers, consumeErrors=True)
        except FirstError as error:
            for worker in workers:
                worker.cancel()
            error.subFailure.raiseException()

    async def _tell_service(self, service_id: str, entry: ServiceState) -> None:
        if self._entries.services.get(service_id) is entry and not entry.in_sync:
            await (self._deregister_service if entry.deleted else self._register_service)(service_id)

    async def _tell_check(self, check_id: str, entry: CheckState) -> None:
        if self._entries.checks.get(check_id) is entry and not entry.in_sync:
            await (self._deregister_check if entry.deleted else self._register_check)(check_id)

    async def _or_refused(self, change: Coroutine[Any, Any, None], told: list[Any], refused: list[RPCError]) -> None:
        """Await `change`. What a token may not do is not tried again before it changes; other refusals are noted."""
        try:
            await change
        except (NoServers, NoLeader):
            raise
        except RPCError as error:
            if is_refusal(str(error)):
                _log.warn("anti-entropy: {error}", error=str(error))
                for entry in told:
                    entry.in_sync = True
            elif "No cluster leader" in str(error) or len(refused) >= MAX_REFUSED:
                raise
            else:
                refused.append(error)

    def _registration(self, token: str) -> RegisterRequest:
        node: Node = self._entries.node
        return RegisterRequest(
            datacenter=node.datacenter,
            id=node.id,
            node=node.node,
            address=node.address,
            tagged_addresses=node.tagged_addresses,
            node_meta=node.meta,
            skip_node_update=self._entries.node_in_sync,
            token=token or self._default_token(),
        )

    async def _register_service(self, service_id: str) -> None:
        entry = self._entries.services[service_id]
        request = self._registration(entry.token)
        request.service = entry.service
        checks = [
            check
            for check in self._entries.checks_of(service_id)
            if not (check.in_sync or check.deleted) and check.token == entry.token
        ]
        if len(checks) == 1:
            request.check = checks[0].check
        elif checks:
            request.checks = [check.check for check in checks]
        await self._send(request, [entry, *checks])

    async def _register_check(self, check_id: str) -> None:
        entry = self._entries.checks[check_id]
        request = self._registration(entry.token)
        request.service = self._entries.service(entry.check.service_id)
        request.check = entry.check
        await self._send(request, [entry])

    async def _send(self, request: RegisterRequest, told: list[Any]) -> None:
        """Register; what was told is in sync if it did not change meanwhile."""
        before = [_content(entry) for entry in told]
        await self._call("Catalog.Register", request)
        self._entries.node_in_sync = True
        if request.service is not None:
            self._sent_tags(request.service)
        for entry, content in zip(told, before, strict=True):
            if _content(entry) is content and not entry.deleted:
                entry.in_sync = True

    def _sent_tags(self, service: NodeService) -> None:
        entry = self._entries.services.get(service.id)
        if entry is not None and not entry.tags_overridden:
            entry.own_tags = service.tags or []

    async def _deregister_service(self, service_id: str) -> None:
        entry = self._entries.services[service_id]
        await self._deregister(entry.token, service_id=service_id)
        if self._entries.services.get(service_id) is entry:
            self._entries.forget_service(service_id)

    async def _deregister_check(self, check_id: str) -> None:
        entry = self._entries.checks[check_id]
        await self._deregister(entry.token, check_id=check_id)
        if self._entries.checks.get(check_id) is entry:
            self._entries.forget_check(check_id)

    async def _deregister(self, token: str, service_id: str = "", check_id: str = "") -> None:
        node = self._entries.node
        request = DeregisterRequest(
            datacenter=node.datacenter,
            node=node.node,
            service_id=service_id,
            check_id=check_id,
            token=token or self._default_token(),
        )
        try:
            await self._call("Catalog.Deregister", request)
        except RPCError as error:
            if "Unknown service" not in str(error) and "Unknown check" not in str(error):
                raise


def is_refusal(text: str) -> bool:
    """Whether an error says that a token may not do this, or does not exist."""
    return "Permission denied" in text or "ACL not found" in text


async def _one_by_one(changes: Iterator[Coroutine[Any, Any, None]]) -> None:
    for change in changes:
        await change


def _content(entry: Any) -> Any:
    return entry.check if isinstance(entry, CheckState) else entry.service
