"""Internal.KeyringOperation: a key operation in the WAN pool and in the LAN pool of each datacenter.

The server that is called first has it done in the WAN pool, in its own LAN pool and, by the same method, in those of
the other datacenters. Results as Consul 1.8.7 has them; operations on one pool: docs/wire/gossip.md 6.5.
"""

import dataclasses
import string
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from twisted.internet.defer import Deferred, DeferredList

from consulpy.errors import RPCError
from consulpy.rpc.methods import METHODS, local
from consulpy.serf.key_manager import KeyManager, KeyResponse
from consulpy.serf.members import Status
from consulpy.structs.keyring import (
    INSTALL_KEY,
    LIST_KEYS,
    OPERATIONS,
    REMOVE_KEY,
    USE_KEY,
    KeyringReply,
    KeyringRequest,
    KeyringResponse,
)

if TYPE_CHECKING:
    from consulpy.rpc.server import Server
    from consulpy.serf.machine import Serf

_NAME: Final = "Internal.KeyringOperation"
#: The most members that relay each response.
_RELAY_MAX: Final = 5
_BASE64_ALPHABET: Final = frozenset(string.ascii_letters + string.digits + "+/")


def _check(_server: "Server", request: KeyringRequest) -> None:
    if request.operation not in OPERATIONS:
        raise RPCError("Invalid keyring operation")
    if request.local_only and request.operation != LIST_KEYS:
        raise RPCError("argument error: LocalOnly can only be used for List operations")
    if not 0 <= request.relay_factor <= _RELAY_MAX:
        raise RPCError(f"Relay factor must be in range: [0, {_RELAY_MAX}]")


@local(_NAME, KeyringRequest, KeyringReply, before_token=_check)
def keyring_operation(server: "Server", request: KeyringRequest) -> "Deferred[KeyringReply]":
    """Do it here and, for an agent of this datacenter, in the others. Fails with `RPCError` if one can't be reached."""
    _check(server, request)
    waiting: list[Deferred[list[KeyringResponse]]] = []
    if server.wan is not None and not (request.local_only or request.forwarded):
        waiting.append(_in_pool(server, server.wan, request))
    if server.lan is not None:
        waiting.append(_in_pool(server, server.lan, request))
    if server.wan is not None and not (request.local_only or request.forwarded):
        forwarded = dataclasses.replace(request, forwarded=True)
        waiting += [_elsewhere(server, each, forwarded) for each in _other_datacenters(server, server.wan)]
    return DeferredList(waiting, consumeErrors=True).addCallback(_collected)


def _other_datacenters(server: "Server", wan: "Serf") -> list[str]:
    """Other datacenters with servers that have not left: an operation that can't reach one has failed."""
    here = {Status.ALIVE, Status.FAILED}
    servers = [each for each in wan.members.values() if each.status in here and each.tags.get("role") == "consul"]
    return sorted({each.tags.get("dc", "") for each in servers} - {"", server.datacenter})


def _elsewhere(server: "Server", datacenter: str, request: KeyringRequest) -> "Deferred[list[KeyringResponse]]":
    return server.forward(datacenter, METHODS[_NAME], request).addCallback(lambda reply: reply.responses or [])


def _collected(results: list[tuple[bool, Any]]) -> Any:
    failures = [result for succeeded, result in results if not succeeded]
    return failures[0] if failures else KeyringReply([each for _, found in results for each in found])


def _in_pool(server: "Server", pool: "Serf", request: KeyringRequest) -> "Deferred[list[KeyringResponse]]":
    answered: Deferred[KeyResponse] = Deferred()
    response = KeyringResponse(pool is server.wan, server.datacenter)
    try:
        _begin(pool.keys, request, answered.callback)
    except ValueError as error:
        response.error = str(error)
        answered.callback(KeyResponse())

    def filled(found: KeyResponse) -> list[KeyringResponse]:
        response.messages, response.keys, response.primary_keys = found.messages, found.keys, found.primary_keys
        response.num_nodes = found.num_nodes
        response.error = response.error or found.error or ""
        return [response]

    return answered.addCallback(filled)


def _begin(keys: KeyManager, request: KeyringRequest, done: Callable[[KeyResponse], None]) -> None:
    if request.operation == LIST_KEYS:
        keys.list(done, request.relay_factor)
        return
    if (fault := base64_fault(request.key)) is not None:
        raise ValueError(f"illegal base64 data at input byte {fault}")
    change = {INSTALL_KEY: keys.install, USE_KEY: keys.use, REMOVE_KEY: keys.remove}[request.operation]
    change(request.key, done, request.relay_factor)


def base64_fault(text: str) -> int | None:
    """The offset at which Go's base64 decoder fails: a bad character or an incomplete group; None for valid base64."""
    text = text.replace("\r", "").replace("\n", "")
    body = text.rstrip("=")
    bad = next((at for at, char in enumerate(body) if char not in _BASE64_ALPHABET), None)
    if bad is not None:
        return bad
    padding = len(text) - len(body)
    whole = len(text) % 4 == 0 and padding <= 2
    return None if whole else len(body) // 4 * 4
