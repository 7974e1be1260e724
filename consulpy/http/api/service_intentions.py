"""Intentions by their names: the config entry `service-intentions` and `/exact`, on servers that know them by id."""

from typing import TYPE_CHECKING

from consulpy.http.api.params import apply_to_write
from consulpy.http.api.routing import Request
from consulpy.http.api.rpc_read import read
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


async def write(agent: "AgentInterface", request: Request, entry: ServiceIntentions, cas: int | None) -> bool:
    """Make the intentions of a destination those of `entry`, if its index is still `cas` (None: whatever it is).

    One after the other: what was written when one fails stays. Raises `RPCError`; an entry that is not valid changes
    nothing.
    """
    check(entry)
    known = of_destination((await listed(agent, request))[0], entry.name)
    if not _is_at(known, cas):
        return False
    written, removed = intentions_of(entry, known)
    for each in written:
        await submit(agent, request, "update" if each.id else "create", each)
    for each in removed:
        await submit(agent, request, "delete", Intention(id=each.id))
    return True


async def remove(agent: "AgentInterface", request: Request, name: str, cas: int | None) -> bool:
    """Remove all intentions of a destination, if its index is still `cas`."""
    known = of_destination((await listed(agent, request))[0], name)
    if not _is_at(known, cas):
        return False
    for each in known:
        await submit(agent, request, "delete", Intention(id=each.id))
    return True


def _is_at(known: list[Intention], cas: int | None) -> bool:
    return cas is None or cas == (entries_of(known)[0].modify_index if known else 0)
