"""The RPCs of anti-entropy: writes services and checks that are out of sync to the catalog.

Services are sent with their checks, then other checks, the node alone last; several calls run concurrently. Source:
docs/wire/rpc.md section 9; tests/vectors/rpc/Catalog.Register.json.
"""

from collections.abc import Callable, Coroutine, Iterator
from typing import Any, Final

from twisted.internet.defer import Deferred, FirstError, gatherResults

from consulpy.clock import Clock, cancel_timer
from consulpy.codec.record import Record
from consulpy.errors import NoLeader, NoServers, RPCError
from consulpy.local.sync.diff import adopt_tags, compare
from consulpy.local.sync.sync_state import CheckState, Entries, ServiceState
from consulpy.log import Logger
from consulpy.rpc.caller import Caller
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

#: Most names of services and checks in one log line.
SHOWN_MAX: Final = 10

#: Staleness of a full sync's reads, in nanoseconds.
_MAX_STALE_NS: Final = 2_000_000_000
#: Timeout of each RPC in seconds; the next full sync repairs what a call left undone.
CALL_TIMEOUT_S: Final = 120.0
#: Concurrent calls of one sync: the servers store them in one batch.
CONCURRENT_CALLS: Final = 8
#: Refused writes after which a sync ends.
REFUSED_MAX: Final = 16


class CatalogSync:
    """Writes services and checks that are out of sync to the catalog. `call_timeout_s`: per RPC. Raises `RPCError`.

    `token()`: the agent's token, for its node and its reads. `default_token(from_file)`: for services and checks
    registered without a token, in a file or over HTTP.
    """

    def __init__(
        self,
        caller: Caller,
        entries: Entries,
        clock: Clock,
        token: Callable[[], str],
        call_timeout_s: float,
        default_token: Callable[[bool], str] = lambda _from_file: "",
    ) -> None:
        self._default_token = default_token
        self._caller = caller
        self._entries = entries
        self._clock = clock
        self._token = token
        self._call_timeout_s = call_timeout_s

    async def sync_full(self) -> None:
        """Read the catalog, compare, and send the differences. Raises `RPCError`."""
        # tags that were changed in the catalog are adopted: the read must not be older than the last write
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

    async def sync_changes(self) -> None:
        """Send what changed. Services with `enable_tag_override` are sent with the catalog's current tags."""
        concerned = self._entries.overridable()
        if concerned:
            reply: NodeServiceListReply = await self._call("Catalog.NodeServiceList", self._read(stale=False))
            for other in reply.node_services.services or ():
                entry = self._entries.services.get(other.id)
                if other.id in concerned and entry is not None and not entry.deleted:
                    adopt_tags(entry, other)
        await self._send_changes()

    async def _send_changes(self) -> None:
        """Send all that is out of sync: services with their checks, other checks, the node alone last.

        A refused write does not stop the others; the first refusal is raised at the end. Central defaults that are
        being fetched are waited for: the catalog never shows a proxy without them.
        """
        entries = self._entries
        fetching = entries.defaults_fetched()
        if fetching is not None:
            await fetching
        refused: list[RPCError] = []
        services, checks = entries.services_out_of_sync(), entries.checks_out_of_sync()
        named = [f"service {name}" for name in services] + [f"check {name}" for name in checks]
        if not entries.node_in_sync:
            named.append("node info")
            if self._has_other_tokens([*services.values(), *checks.values()]):
                await self._collect_refusal(self._sync_node(), [], refused)
        await self._all(
            self._collect_refusal(self._sync_service(service_id, service), [service], refused)
            for service_id, service in list(services.items())
        )
        await self._all(
            self._collect_refusal(self._sync_check(check_id, check), [check], refused)
            for check_id, check in list(entries.checks_out_of_sync().items())
        )
        if not entries.node_in_sync:
            await self._collect_refusal(self._sync_node(), [], refused)
        if named:
            more = f" and {len(named) - SHOWN_MAX} more" if len(named) > SHOWN_MAX else ""
            _log.debug("sent to the catalog: {names}{more}", names=", ".join(named[:SHOWN_MAX]), more=more)
        if refused:
            raise refused[0]

    def _has_other_tokens(self, changes: list[Any]) -> bool:
        """Whether anything is sent with another token, which may not be permitted to write the node."""
        own = self._token()
        return any(self._token_of(entry) != own for entry in changes)

    async def _sync_node(self) -> None:
        entries = self._entries
        try:
            await self._call("Catalog.Register", self._registration(self._token()))
        except RPCError as error:
            entries.node_in_sync = is_refusal(str(error))  # if denied, services are sent without it
            raise
        entries.node_in_sync = True

    async def _call(self, method: str, request: Record) -> Any:
        waiting = self._caller.call(method, request)
        timer = self._clock.callLater(self._call_timeout_s, waiting.cancel)
        try:
            return await waiting
        finally:
            cancel_timer(timer)

    async def _all(self, changes: Iterator[Coroutine[Any, Any, None]]) -> None:
        """Await all, `CONCURRENT_CALLS` at a time; the first that raises cancels the others. `changes` is lazy."""
        if not self._entries.node_in_sync:
            for change in changes:  # the first one registers the node, too
                await change
                break
        workers = [Deferred.fromCoroutine(_one_by_one(changes)) for _ in range(CONCURRENT_CALLS)]
        try:
            await gatherResults(workers, consumeErrors=True)
        except FirstError as error:
            for worker in workers:
                worker.cancel()
            error.subFailure.raiseException()

    async def _sync_service(self, service_id: str, entry: ServiceState) -> None:
        if self._entries.services.get(service_id) is entry and not entry.in_sync:
            await (self._deregister_service if entry.deleted else self._register_service)(service_id)

    async def _sync_check(self, check_id: str, entry: CheckState) -> None:
        if self._entries.checks.get(check_id) is entry and not entry.in_sync:
            await (self._deregister_check if entry.deleted else self._register_check)(check_id)

    async def _collect_refusal(
        self, change: Coroutine[Any, Any, None], sent: list[Any], refused: list[RPCError]
    ) -> None:
        """Await `change`. Entries denied by ACLs count as in sync until they change; other refusals are collected."""
        try:
            await change
        except (NoServers, NoLeader):
            raise
        except RPCError as error:
            if is_refusal(str(error)):
                blocked = ", ".join(map(_named, sent)) or "node info"
                _log.warn("anti-entropy: {what} is blocked by ACLs: {error}", what=blocked, error=str(error))
                for entry in sent:
                    entry.in_sync = True
            elif "No cluster leader" in str(error) or len(refused) >= REFUSED_MAX:
                raise
            else:
                refused.append(error)

    def _token_of(self, entry: ServiceState | CheckState) -> str:
        return entry.token or self._default_token(entry.from_file)

    def _registration(self, token: str) -> RegisterRequest:
        request = RegisterRequest.of(self._entries.node)
        request.skip_node_update, request.token = self._entries.node_in_sync, token
        return request

    async def _register_service(self, service_id: str) -> None:
        entry = self._entries.services[service_id]
        request = self._registration(self._token_of(entry))
        request.service = entry.service
        checks = [
            check
            for check in self._entries.checks_of(service_id)
            if not (check.in_sync or check.deleted) and self._token_of(check) == request.token
        ]
        if len(checks) == 1:
            request.check = checks[0].check
        elif checks:
            request.checks = [check.check for check in checks]
        await self._send(request, [entry, *checks])

    async def _register_check(self, check_id: str) -> None:
        entry = self._entries.checks[check_id]
        request = self._registration(self._token_of(entry))
        request.service = self._entries.service(entry.check.service_id)
        request.check = entry.check
        await self._send(request, [entry])

    async def _send(self, request: RegisterRequest, sent: list[Any]) -> None:
        """Register. `sent`: entries that are in sync then, unless they changed meanwhile."""
        before = [_content(entry) for entry in sent]
        await self._call("Catalog.Register", request)
        self._entries.node_in_sync = True
        if request.service is not None:
            self._sent_tags(request.service)
        for entry, content in zip(sent, before, strict=True):
            if _content(entry) is content and not entry.deleted:
                entry.in_sync = True

    def _sent_tags(self, service: NodeService) -> None:
        entry = self._entries.services.get(service.id)
        if entry is not None and not entry.tags_overridden:
            entry.own_tags = service.tags or []

    async def _deregister_service(self, service_id: str) -> None:
        entry = self._entries.services[service_id]
        await self._deregister(self._token_of(entry), service_id=service_id)
        if self._entries.services.get(service_id) is entry:
            self._entries.remove_service(service_id)

    async def _deregister_check(self, check_id: str) -> None:
        entry = self._entries.checks[check_id]
        await self._deregister(self._token_of(entry), check_id=check_id)
        if self._entries.checks.get(check_id) is entry:
            self._entries.remove_check(check_id)

    async def _deregister(self, token: str, service_id: str = "", check_id: str = "") -> None:
        node = self._entries.node
        request = DeregisterRequest(
            datacenter=node.datacenter,
            node=node.node,
            service_id=service_id,
            check_id=check_id,
            token=token,
        )
        try:
            await self._call("Catalog.Deregister", request)
        except RPCError as error:
            if "ACL not found" in str(error) and token != self._token():
                await self._deregister(self._token(), service_id, check_id)  # else it would stay there for ever
            elif "Unknown service" not in str(error) and "Unknown check" not in str(error):
                raise


def is_refusal(text: str) -> bool:
    """Whether an error means that a token is not permitted, or does not exist."""
    return "Permission denied" in text or "ACL not found" in text


async def _one_by_one(changes: Iterator[Coroutine[Any, Any, None]]) -> None:
    for change in changes:
        await change


def _named(entry: ServiceState | CheckState) -> str:
    return f"check {entry.check.check_id}" if isinstance(entry, CheckState) else f"service {entry.service.id}"


def _content(entry: Any) -> Any:
    return entry.check if isinstance(entry, CheckState) else entry.service
