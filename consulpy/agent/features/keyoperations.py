"""`/v1/operator/keyring`: key operations in each pool, and their answers as Consul shows them."""

import string
from collections.abc import Sequence
from typing import Any, Final

from twisted.internet.defer import Deferred

from consulpy.agent.features.retry_join import joined_errors
from consulpy.errors import BadRequest, RPCError
from consulpy.serf.key_manager import KeyResponse
from consulpy.serf.machine import Serf

_ALPHABET: Final = frozenset(string.ascii_letters + string.digits + "+/")


async def operate(
    pools: Sequence[tuple[Serf, bool]], datacenter: str, operation: str, key: str, relay_factor: int
) -> list[dict[str, Any]]:
    """Do `operation` in every pool (`(serf, whether it is the WAN pool)`). Raises `RPCError` naming what failed."""
    answers: list[dict[str, Any]] = []
    errors: list[str] = []
    for serf, wan in pools:
        done: Deferred[KeyResponse] = Deferred()
        where = "WAN" if wan else f"{datacenter} (LAN)"
        if operation != "list" and (fault := base64_fault(key)) is not None:
            errors.append(f"{where} error: illegal base64 data at input byte {fault}")
            continue
        try:
            if operation == "list":
                serf.keys.list(done.callback, relay_factor)
            else:
                getattr(serf.keys, operation)(key, done.callback, relay_factor)
        except ValueError as error:
            raise BadRequest(str(error)) from None
        answer = await done
        if answer.error:
            errors.append(f"{where} error: {answer.error}")
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


def base64_fault(text: str) -> int | None:
    """Where Go's decoder stops at a text that is not base64: the bad character, or the group that is not whole."""
    text = text.replace("\r", "").replace("\n", "")
    body = text.rstrip("=")
    bad = next((at for at, char in enumerate(body) if char not in _ALPHABET), None)
    if bad is not None:
        return bad
    padding = len(text) - len(body)
    whole = len(text) % 4 == 0 and padding <= 2
    return None if whole else len(body) // 4 * 4
