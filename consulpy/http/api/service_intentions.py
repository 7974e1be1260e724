"""Intentions by their names: the config entry `service-intentions` and `/exact`, on servers that know them by id."""

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from consulpy.errors import RPCError
from consulpy.http.api.params import apply_to_write
from consulpy.http.api.routing import Request
from consulpy.http.api.rpc_read import read
from consulpy.structs.config_entry import SERVICE_INTENTIONS
from consulpy.structs.config_entry_requests import EntryRequest
from consulpy.structs.intention import Intention, IntentionRequest
from consulpy.structs.requests import SpecificRequest
from consulpy.structs.service_intentions import ServiceIntentions, check, entries_of, intentions_of, of_destination

if TYPE_CHECKING:
    from consulpy.http.api.agent import AgentInterface


async def listed(agent: "AgentInterface", request: Request) -> tuple[list[Intention], dict[str, str]]:
    """All intentions that may be seen, in order of precedence, and the headers of their reply."""
    reply, headers = await read(
        agent, request, "Intention.List", SpecificRequest(), namespaces=False, consistency=False, filtered=False
    )
    return reply.intentions or [], headers


async def submit(agent: "AgentInterface", request: Request, op: str, intention: Intention) -> None:
    """Create, update or delete an intention. Raises `RPCError`."""
    body = apply_to_write(agent, request, IntentionRequest(op=op, intention=intention))
    await agent.caller.call("Intention.Apply", body)


async def submitted_by_name(agent: "AgentInterface", request: Request, op: str, intention: Intention) -> bool:
    """Create, update or delete an intention by its names; False: the leader is of 1.8.7, which finds them by id only.

    Raises `RPCError`.
    """
    try:
        await submit(agent, request, op, intention)
    except RPCError as error:
        if "UUID must be 36 characters" in str(error) or "Invalid Intention operation" in str(error):
            return False
        raise
    return True


async def write(agent: "AgentInterface", request: Request, entry: ServiceIntentions, cas: int | None) -> bool:
    """Make the intentions of a destination those of `entry`, if its index is still `cas` (None: whatever it is).

    The leader writes all of them or none. One of 1.8.7 does not know the entry: then they are written one after the
    other, what was written when one fails stays, and `cas` is compared before. Raises `RPCError`; an entry that is not
    valid changes nothing.
    """
    check(entry)
    if cas is not None:
        entry.modify_index = cas
    body = _request(agent, request, entry, "upsert" if cas is None else "upsert-cas")

    async def one_by_one() -> bool:
        known = of_destination((await listed(agent, request))[0], entry.name)
        if not _is_at(known, cas):
            return False
        written, removed = intentions_of(entry, known)
        for each in written:
            await submit(agent, request, "update" if each.id else "create", each)
        for each in removed:
            await submit(agent, request, "delete", Intention(id=each.id))
        return True

    return bool(await _at_once_or(agent, "ConfigEntry.Apply", body, one_by_one))


async def remove(agent: "AgentInterface", request: Request, name: str, cas: int | None) -> bool:
    """Remove all intentions of a destination, if its index is still `cas`; as `write`."""
    entry = ServiceIntentions(kind=SERVICE_INTENTIONS, name=name, modify_index=cas or 0)
    body = _request(agent, request, entry, "")

    async def one_by_one() -> bool:
        known = of_destination((await listed(agent, request))[0], name)
        if not _is_at(known, cas) or (cas is not None and not known):
            return False
        for each in known:
            await submit(agent, request, "delete", Intention(id=each.id))
        return True

    method = "ConfigEntry.Delete" if cas is None else "ConfigEntry.DeleteCas"
    removed = await _at_once_or(agent, method, body, one_by_one)
    return removed is not False


def _request(agent: "AgentInterface", request: Request, entry: ServiceIntentions, op: str) -> EntryRequest:
    return apply_to_write(agent, request, EntryRequest(op=op, entry=entry, leading_kind=SERVICE_INTENTIONS))


async def _at_once_or(
    agent: "AgentInterface", method: str, body: EntryRequest, one_by_one: Callable[[], Awaitable[bool]]
) -> Any:
    """The reply of a leader that knows the entry, else what the other way says."""
    try:
        return await agent.caller.call(method, body)
    except RPCError as error:
        if "can't find method" not in str(error) and "invalid config entry kind" not in str(error):
            raise
    return await one_by_one()


def _is_at(known: list[Intention], cas: int | None) -> bool:
    return cas is None or cas == (entries_of(known)[0].modify_index if known else 0)
