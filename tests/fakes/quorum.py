"""A quorum of two servers, as the HTTP API asks it."""

from collections.abc import Sequence

from twisted.internet.defer import Deferred, succeed


class FakeQuorum:
    """The other server is `old`, or not: one of 1.8.7, which newer kinds and fields would end."""

    peers = ("127.0.0.1:8300", "127.0.0.2:8300")
    leader_address = "127.0.0.1:8300"
    has_lease = True

    def __init__(self, old: Sequence[str] = ("127.0.0.2:8300",)) -> None:
        self.old = list(old)

    def without_newer_kinds(self) -> "Deferred[list[str]]":
        return succeed(self.old)
