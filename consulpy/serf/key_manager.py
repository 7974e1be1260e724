"""Changes of the gossip encryption key in a running cluster, by queries to all members.

Source: docs/wire/gossip.md 6.5 and 3.3. A member that does not respond makes an operation fail, so key queries are
always answered, also when there is nothing to change.
"""

import base64
from collections.abc import Callable
from dataclasses import field
from typing import TYPE_CHECKING, Final, Protocol

from consulpy.codec.lazy_dataclass import dataclass
from consulpy.errors import ConsulpyError, WireError
from consulpy.gocompat.base64_decode import decode_base64
from consulpy.serf.events import INTERNAL_PREFIX
from consulpy.serf.messages import KeyRequest, KeyResponseMessage, decode
from consulpy.serf.query import PendingQuery, QueryParams, QueryResult

if TYPE_CHECKING:
    from consulpy.memberlist.keyring import Keyring

INSTALL: Final = INTERNAL_PREFIX + "install-key"
USE: Final = INTERNAL_PREFIX + "use-key"
REMOVE: Final = INTERNAL_PREFIX + "remove-key"
LIST: Final = INTERNAL_PREFIX + "list-keys"
KEY_QUERIES: Final = frozenset((INSTALL, USE, REMOVE, LIST))

_NO_KEYRING: Final = "No keyring to modify (encryption not enabled)"
_NO_KEYS: Final = "Keyring is empty (encryption not enabled)"


class SendQuery(Protocol):
    """The interface of `Serf.query`."""

    def __call__(
        self,
        name: str,
        payload: bytes,
        params: QueryParams | None = None,
        on_response: Callable[[str, bytes], None] | None = None,
        done: Callable[[QueryResult], None] | None = None,
    ) -> PendingQuery:
        """Query all members."""


@dataclass(slots=True)
class KeyResponse:
    """Responses of all members to a key operation."""

    #: Members' messages by member name.
    messages: dict[str, str] = field(default_factory=dict)
    #: Number of members, of responses, and of failures.
    num_nodes: int = 0
    num_resp: int = 0
    num_err: int = 0
    #: Number of members that have each key (base64), and that have it as primary.
    keys: dict[str, int] = field(default_factory=dict)
    primary_keys: dict[str, int] = field(default_factory=dict)

    @property
    def error(self) -> str | None:
        """Why the operation failed, in Serf's words; None if all members succeeded."""
        if self.num_err:
            return f"{self.num_err}/{self.num_nodes} nodes reported failure"
        if self.num_resp != self.num_nodes:
            return f"{self.num_resp}/{self.num_nodes} nodes reported success"
        return None


class KeyManager:
    """Key operations on all members. Keys are base64 text; each method raises `ValueError` for an invalid one.

    `done` gets the result once all members have responded or the query timed out.
    """

    def __init__(self, send_query: SendQuery, node_count: Callable[[], int]) -> None:
        self._send_query = send_query
        self._node_count = node_count

    def install(self, key: str, done: Callable[[KeyResponse], None], relay_factor: int = 0) -> None:
        """Install `key` on all members, for decryption."""
        self._run(INSTALL, _decode_key(key), done, relay_factor)

    def use(self, key: str, done: Callable[[KeyResponse], None], relay_factor: int = 0) -> None:
        """Make `key`, which must be installed, the primary on all members."""
        self._run(USE, _decode_key(key), done, relay_factor)

    def remove(self, key: str, done: Callable[[KeyResponse], None], relay_factor: int = 0) -> None:
        """Remove `key`, which must not be the primary, from all members."""
        self._run(REMOVE, _decode_key(key), done, relay_factor)

    def list(self, done: Callable[[KeyResponse], None], relay_factor: int = 0) -> None:
        """List the keys of all members."""
        self._run(LIST, b"", done, relay_factor)

    def _run(self, query: str, key: bytes, done: Callable[[KeyResponse], None], relay_factor: int) -> None:
        answer = KeyResponse(num_nodes=self._node_count())
        pending: list[PendingQuery] = []

        def on_response(name: str, payload: bytes) -> None:
            _count(answer, name, payload)
            if answer.num_resp >= answer.num_nodes and pending:
                pending[0].finish()

        params = QueryParams(relay_factor=relay_factor)
        request = KeyRequest(key).encode()
        pending.append(self._send_query(query, request, params, on_response, lambda _: done(answer)))
        if answer.num_resp >= answer.num_nodes:  # the local member was the only one
            pending[0].finish()


def _decode_key(key: str) -> bytes:
    try:
        return decode_base64(key)
    except ValueError as error:
        raise ValueError(f"the key is not base64: {error}") from None


def _count(answer: KeyResponse, name: str, payload: bytes) -> None:
    """Add one member's response."""
    answer.num_resp += 1
    try:
        message = decode(payload)
        if not isinstance(message, KeyResponseMessage):
            raise WireError("it is no key response")
    except WireError as error:
        answer.messages[name] = f"Invalid key query response: {error}"
        answer.num_err += 1
        return
    if message.message:
        answer.messages[name] = message.message
    if not message.result:
        answer.messages.setdefault(name, "")
        answer.num_err += 1
        return
    for key in message.keys or ():
        answer.keys[key] = answer.keys.get(key, 0) + 1
    if message.primary_key:
        answer.primary_keys[message.primary_key] = answer.primary_keys.get(message.primary_key, 0) + 1


#: `save(keys, done)`: stores the changed keyring, then calls `done` with the error, or None.
SaveKeyring = Callable[[list[bytes], Callable[[Exception | None], None]], None]


def answer_key_query(
    name: str,
    payload: bytes,
    keyring: "Keyring | None",
    save: SaveKeyring | None,
    fits: Callable[[bytes], bool],
    answer: Callable[[bytes], None],
) -> None:
    """Execute a key query on the local member and pass the response to `answer`, after the keyring was stored.

    `fits(response)`: whether it is within the size limit.
    """
    if name == LIST:
        answer(_list_keys(keyring, fits))
        return

    def done(error: Exception | None) -> None:
        answer(KeyResponseMessage(result=error is None, message=str(error) if error else "").encode())

    try:
        _change(name, payload, keyring)
    except (ConsulpyError, ValueError) as error:
        done(error)
        return
    if save is None or keyring is None:
        done(None)
    else:
        save(list(keyring.keys), done)


def _change(name: str, payload: bytes, keyring: "Keyring | None") -> None:
    """Change the keyring as a query requests. Raises `ConsulpyError` or `ValueError`."""
    if keyring is None:
        raise ValueError(_NO_KEYRING)
    request = decode(payload)
    if not isinstance(request, KeyRequest) or not request.key:
        raise WireError("the query holds no key")
    if name == INSTALL:
        keyring.add(request.key)
    elif name == USE:
        keyring.use(request.key)
    else:
        keyring.remove(request.key)


def _list_keys(keyring: "Keyring | None", fits: Callable[[bytes], bool]) -> bytes:
    response = KeyResponseMessage()
    if keyring is None:
        response.message = _NO_KEYS
        return response.encode()
    keys = [base64.b64encode(key).decode() for key in keyring.keys]
    response.result, response.keys, response.primary_key = True, keys, keys[0]
    shown = len(keys)
    while not fits(response.encode()) and shown:
        shown -= 1
        response.keys = keys[:shown]
        response.message = f"truncated key list response, showing first {shown} of {len(keys)} keys"
    return response.encode()
