"""What connections share whose requests may wait in groups (`consulpy.http.waiting`)."""

from typing import Any, Final

from consulpy.http.accepting import send
from consulpy.http.refusing import HEADERS_MAX_BYTES
from consulpy.http.waiting import Waiting

#: What a client may send behind a request that waits.
BEHIND_MAX_BYTES: Final = HEADERS_MAX_BYTES


class MayWait:
    """A connection whose request may wait in a group (`consulpy.http.waiting`); what comes behind it waits too."""

    transport: Any
    factory: Any

    _waiting: Waiting | None = None
    _behind = b""

    def _held_back(self, data: bytes) -> bool:
        """Whether `data` came behind a request that waits."""
        if self._waiting is None:
            return False
        self._behind += data
        if len(self._behind) > BEHIND_MAX_BYTES:
            self.transport.abortConnection()
        return True

    def _waits(self, head: bytes) -> bool:
        """Whether a whole request waits in a group from now on."""
        rooms = self.factory.waiting
        self._waiting = rooms.join(self, head) if rooms is not None else None
        return self._waiting is not None

    def woken(self, answer: bytes, closes: bool) -> None:
        """The answer to the request that waited."""
        self._waiting = None
        send(self.transport, answer)
        if closes:
            self._end()
            return
        self._rest()
        behind = self._take_behind()
        if behind:
            self.dataReceived(behind)

    def declined(self, head: bytes) -> None:
        """The request that waited goes the plain way."""
        self._waiting = None
        self._go_plain(head + self._take_behind())

    def _take_behind(self) -> bytes:
        behind, self._behind = self._behind, b""
        return behind

    def _leave(self) -> None:
        """The connection is gone."""
        if self._waiting is not None:
            self._waiting.leave()

    def dataReceived(self, data: bytes) -> None:
        """Bytes of the client."""
        raise NotImplementedError

    def _end(self) -> None:
        """That was the last answer."""
        raise NotImplementedError

    def _rest(self) -> None:
        """The next request may come, within the idle time."""
        raise NotImplementedError

    def _go_plain(self, data: bytes) -> None:
        """Twisted is to answer."""
        raise NotImplementedError
