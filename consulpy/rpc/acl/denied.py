"""A refusal that knows what was missing, here and from another server.

It is in the body of the error response, where real servers send an empty map, which real clients skip unread (Go's
net/rpc: `ReadResponseBody(nil)` after an error).
"""

from typing import TYPE_CHECKING, Any, Final

from consulpy.acl.authorizer import Authorizer
from consulpy.acl.levels import Level
from consulpy.codec.msgpack import text
from consulpy.errors import PermissionDenied, RPCError, WireError
from consulpy.log import Logger
from consulpy.structs.acl import Token

if TYPE_CHECKING:
    from consulpy.rpc.acl.resolver import Identity

_log = Logger()

#: Characters that are taken of what another server says was missing.
_SHOWN_MAX: Final = 1024


class Denied(PermissionDenied):
    """A token may not do this. `missing`: what it lacks, as `key:write "a/b"`; the text stays Consul's."""

    def __init__(self, kind: str, name: str, level: Level, text: str = "Permission denied") -> None:
        super().__init__(text)
        #: Whose token it was, once that is known.
        self.accessor = ""
        shown = name.replace("\\", "\\\\").replace('"', '\\"')
        self.missing = f'{kind}:{level.name.lower()} "{shown}"' if name else f"{kind}:{level.name.lower()}"


def explained(error: Denied, token: Token, what: str) -> Denied:
    """The refusal of `what`, with the token's accessor; secrets are never shown."""
    error.accessor = token.accessor_id
    _log.debug(
        "{method} refused: the token with accessor {accessor} lacks {missing}",
        method=what,
        accessor=token.accessor_id,
        missing=error.missing,
    )
    return error


def require_of(identity: "Identity", what: str, kind: str, name: str, level: Level) -> None:
    """Raises `Denied`, with the token's accessor, unless this identity may do it. `what` is asked for, for the log."""
    try:
        require(identity.authorizer, kind, name, level)
    except Denied as error:
        raise explained(error, identity.token, what) from None


def require(authorizer: Authorizer, kind: str, name: str, level: Level) -> None:
    """Raises `Denied` unless this may be done."""
    if not authorizer.allows(kind, name, level):
        raise Denied(kind, name, level)


class RemoteDenied(RPCError):
    """The same from another server; `text` is that server's. What it says is shortened, to printable ASCII."""

    def __init__(self, message: str, accessor: str, missing: str) -> None:
        super().__init__(message)
        self.accessor = _shown(accessor)
        self.missing = _shown(missing)


def details_of(error: BaseException) -> dict[str, str]:
    """The missing right in the body of an error response; empty for other errors."""
    if isinstance(error, Denied | RemoteDenied):
        return {"Accessor": error.accessor, "Missing": error.missing}
    return {}


def remote_error(message: str, body: Any) -> RPCError:
    """The error of a response with this body, as it was unpacked."""
    found = body.get(b"Missing", body.get("Missing")) if isinstance(body, dict) else None
    if not isinstance(found, bytes | str):
        return RPCError(message)
    accessor = body.get(b"Accessor", body.get("Accessor", b""))
    return RemoteDenied(message, _text(accessor), _text(found))


def _text(raw: Any) -> str:
    try:
        return text(raw) if isinstance(raw, bytes) else str(raw)
    except WireError:
        return ""


def _shown(words: str) -> str:
    return "".join(each if each.isascii() and each.isprintable() else "?" for each in words[:_SHOWN_MAX])
