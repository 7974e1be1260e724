"""All errors, by whose fault they are.

`WireError`: the peer's bytes. `ConfigError`: what the user wrote. `RPCError`: what a caller is told, in Consul's own
words where clients match on them, with the HTTP status of the answer. Our own faults are assertions.
"""

from typing import ClassVar


class ConsulpyError(Exception):
    """The root of all errors raised on purpose."""


class WireError(ConsulpyError):
    """Bytes from a peer that do not mean anything: count them, log one line, drop them."""

    def within(self, where: str) -> "WireError":
        """The same error, whose text begins with where it happened."""
        self.args = (where + str(self),)
        return self


class ConfigError(ConsulpyError):
    """A flag, file or value that the user should change; the text says which and what was expected."""


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
    """An answer that is an error. Its text goes to the user as it is."""

    #: The status with which the HTTP API answers.
    http_status: ClassVar[int] = 500


class BadRequest(RPCError):
    """The request itself is wrong (HTTP 400)."""

    http_status = 400


class NotFound(RPCError):
    """What was asked for does not exist (HTTP 404)."""

    http_status = 404


class PermissionDenied(RPCError):
    """The token may not do this (HTTP 403)."""

    http_status = 403

    def __init__(self, text: str = "Permission denied") -> None:
        super().__init__(text)


class NoLeader(RPCError):
    """No server leads the datacenter now; callers retry on this text."""

    def __init__(self) -> None:
        super().__init__("No cluster leader")


class NoServerAnswered(RPCError):
    """No server was reached, or it went away before it answered."""


class NoServers(NoServerAnswered):
    """A client agent that knows no server."""

    def __init__(self) -> None:
        super().__init__("No known Consul servers")


class NoPathToDatacenter(RPCError):
    """A datacenter that nobody here has heard of."""

    def __init__(self) -> None:
        super().__init__("No path to datacenter")


class NoSuchMethod(RPCError):
    """An RPC method that this server does not have; the text is Go's own and decides over fallbacks in clients."""

    def __init__(self, method: str, service_known: bool = True) -> None:
        super().__init__(f"rpc: can't find {'method' if service_known else 'service'} {method}")
