"""The arguments of `/v1/operator/keyring`, which Consul reads before it looks at the token."""

import dataclasses
from typing import TYPE_CHECKING, Final

from consulpy.codec.record import Record
from consulpy.errors import BadRequest, RPCError
from consulpy.gocompat.json_decode import GoError, Shape, decode, loads
from consulpy.gocompat.literals import atoi, quoted
from consulpy.http.api.params import token
from consulpy.http.api.routing import Request
from consulpy.local.api import parse_bool
from consulpy.structs.keyring import INSTALL_KEY, LIST_KEYS, REMOVE_KEY, USE_KEY, KeyringRequest
from consulpy.structs.options import QueryOptions

if TYPE_CHECKING:
    from consulpy.http.api.agent import AgentInterface

_OPERATIONS: Final = {"GET": LIST_KEYS, "POST": INSTALL_KEY, "PUT": USE_KEY, "DELETE": REMOVE_KEY}
_RELAY_MAX: Final = 5


@dataclasses.dataclass(slots=True)
class _Key(Record):
    """A gossip key, in base64."""

    key: str = ""


_KEY: Final = Shape("agent.keyringArgs")


def keyring_request(agent: "AgentInterface", request: Request) -> KeyringRequest:
    """Read the arguments. Raises `BadRequest`, and `RPCError` at a client agent, which has no key operations."""
    operation, key = _OPERATIONS[request.method], ""
    if operation != LIST_KEYS:
        try:
            key = decode(_Key, loads(request.body), _KEY).key
        except GoError as error:
            raise BadRequest(f"Bad request: Request decode failed: {error}") from None
    found = KeyringRequest(
        origin=agent.datacenter,
        operation=operation,
        key=key,
        relay_factor=_relay_factor(request.query.get("relay-factor")),
        local_only=_local_only(request),
        options=QueryOptions(token=token(request)),
    )
    if agent.lan.tags.get("role") == "node":
        raise RPCError("keyring operations must run against a server node")
    return found


def _local_only(request: Request) -> bool:
    """`?local-only`: without the WAN pool; for lists only."""
    text = request.query.get("local-only")
    value = parse_bool(text) if text else False
    if value is None:
        fault = f"strconv.ParseBool: parsing {quoted(text)}: invalid syntax"
        raise BadRequest(f"Bad request: Error parsing local-only: {fault}")
    if value and request.method != "GET":
        raise BadRequest("Bad request: Invalid use of local-only: local-only can only be set for list requests")
    return value


def _relay_factor(text: str) -> int:
    """`?relay-factor`: the number of members that relay each reply."""
    if not text:
        return 0
    try:
        factor = atoi(text)
    except ValueError as error:
        raise BadRequest(f"Bad request: Error parsing relay factor: {error}") from None
    if not 0 <= factor <= _RELAY_MAX:
        raise BadRequest("Bad request: Invalid relay-factor: Relay factor must be in range: [0, 5]")
    return factor
