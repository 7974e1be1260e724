"""All errors, by their cause.

`WireError`: malformed data of a peer. `ConfigError`: wrong input of the user. `RPCError`: error of a call, with
Consul's texts where clients match on them, and the HTTP status. Bugs of this program are assertions.
"""

from typing import ClassVar


class ConsulpyError(Exception):
    """Base of all errors raised on purpose."""


class WireError(ConsulpyError):
    """Malformed data from a peer: it is counted, logged in one line, and dropped."""

    def within(self, where: str) -> "WireError":
        """The same error with `where` in front of its text."""
        self.args = (where + str(self),)
        return self


class ConfigError(ConsulpyError):
    """A wrong flag, file or value; the text names it and what was expected."""


class MergeRefused(ConsulpyError):
    """A member or a list of members that may not join us; the text says why and is sent to the joiner.

    `cause`: the diagnosis's code of the reason ("name-conflict", "wrong-datacenter" ...), empty for others. `ours` and
    `theirs`: what does not fit.
    """

    def __init__(self, text: str, cause: str = "", ours: str = "", theirs: str = "") -> None:
        super().__init__(text)
        self.cause = cause
        self.ours = ours
        self.theirs = theirs


class RPCError(ConsulpyError):
    """An error reply. Its text is shown to the user unchanged."""

    #: Status of the HTTP API's response.
    http_status: ClassVar[int] = 500


class BadRequest(RPCError):
    """The request is invalid (HTTP 400)."""

    http_status = 400


class NotFound(RPCError):
    """The requested object does not exist (HTTP 404)."""

    http_status = 404


class PermissionDenied(RPCError):
    """The token does not allow this (HTTP 403)."""

    http_status = 403

    def __init__(self, text: str = "Permission denied") -> None:
        super().__init__(text)


class NoLeader(RPCError):
    """The datacenter has no leader; clients retry on this text."""

    def __init__(self) -> None:
        super().__init__("No cluster leader")


class NoServerAnswered(RPCError):
    """No server was reached, or it disconnected before it replied."""


class NoServers(NoServerAnswered):
    """A client agent knows no server."""

    def __init__(self) -> None:
        super().__init__("No known Consul servers")


class NoPathToDatacenter(RPCError):
    """The datacenter is unknown."""

    def __init__(self) -> None:
        super().__init__("No path to datacenter")


class NoSuchMethod(RPCError):
    """The server does not have this RPC method. The text is Go's; clients fall back to older methods on it."""

    def __init__(self, method: str, service_known: bool = True) -> None:
        super().__init__(f"rpc: can't find {'method' if service_known else 'service'} {method}")
