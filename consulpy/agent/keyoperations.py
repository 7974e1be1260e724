"""`/v1/operator/keyring`: key operations in each pool, and their answers as Consul shows them."""

from collections.abc import Sequence
from typing import Any

from twisted.internet.defer import Deferred

from consulpy.agent.joining import joined_errors
from consulpy.errors import BadRequest, RPCError
from consulpy.serf.keys import KeyResponse
from consulpy.serf.machine import Serf


async def operate(
    pools: Sequence[tuple[Serf, bool]], datacenter: str, operation: str, key: str, relay_factor: int
) -> list[dict[str, Any]]:
    """Do `operation` in every pool (`(serf, whether it is the WAN pool)`). Raises `RPCError` naming what failed."""
    answers: list[dict[str, Any]] = []
    errors: list[str] = []
    for serf, wan in pools:
        done: Deferred[KeyResponse] = Deferred()
        try:
            if operation == "list":
                serf.keys.list(done.callback, relay_factor)
            else:
                getattr(serf.keys, operation)(key, done.callback, relay_factor)
        except ValueError as error:
            raise BadRequest(str(error)) from None
        answer = await done
        if answer.error:
            errors.append(f"{'WAN' if wan else f'{datacenter} (LAN)'} error: {answer.error}")
            errors += [f"{name}: {text}" for name, text in sorted(answer.messages.items())]
        answers.append(
            {
                "WAN": wan,
                "Datacenter": datacenter,
                "Segment": "",
                "Messages": answer.messages or None,
                "Keys": answer.keys,
                "PrimaryKeys": answer.primary_keys,
                "NumNodes": answer.num_nodes,
            }
        )
    if errors:
        raise RPCError(joined_errors(errors))
    return answers
