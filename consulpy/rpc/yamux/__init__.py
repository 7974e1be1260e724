"""yamux: multiplexed streams on one connection, as a pure state machine for both ends (docs/wire/rpc.md 2)."""

from consulpy.rpc.yamux.connection import ACCEPT_BACKLOG, STREAM_LIMIT, UNACKNOWLEDGED_LIMIT, Connection
from consulpy.rpc.yamux.frames import HEADER, Flag, Reason, Type, frame
from consulpy.rpc.yamux.stream import WINDOW, Receiver, Stream

__all__ = [
    "ACCEPT_BACKLOG",
    "HEADER",
    "STREAM_LIMIT",
    "UNACKNOWLEDGED_LIMIT",
    "WINDOW",
    "Connection",
    "Flag",
    "Reason",
    "Receiver",
    "Stream",
    "Type",
    "frame",
]
