"""The state of a Serf instance."""

from enum import Enum


class State(Enum):
    """State of a Serf instance, as Serf's SerfState."""

    ALIVE = "alive"
    LEAVING = "leaving"
    LEFT = "left"
    SHUTDOWN = "shutdown"
