"""Writing to a TCP transport without a turn of the reactor."""

from typing import Any

from twisted.internet.tcp import Connection


def try_write(transport: Any, data: bytes) -> None:
    """Write without waiting for the reactor; buffer what the socket does not accept.

    A transport that is no TCP connection of Twisted's gets everything by its `write`. Saves a wait for events and two
    changes of what the reactor watches for each write.
    """
    if (
        isinstance(transport, Connection)
        and transport.connected
        and not transport._tempDataLen
        and transport.offset == len(transport.dataBuffer)
        and not transport._writeDisconnected
    ):
        try:
            sent = transport.socket.send(data)
        except OSError:  # full, or lost, which `write` finds again
            sent = 0
        data = data[sent:]
    if data:
        transport.write(data)
