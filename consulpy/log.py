"""Loggers that name the agent for which they write, where a program has several.

An agent that is embedded (`consulpy.agent.Agent`) runs its code with `current_node` set; what is logged meanwhile has
the namespace `consulpy.agent[NODE].serf.lan` instead of `consulpy.serf.lan`.
"""

from contextvars import ContextVar
from functools import lru_cache
from typing import Any, Final

from twisted.logger import LogLevel

from twisted import logger

#: The node of the embedded agent whose code runs now; "" outside of them.
current_node: Final[ContextVar[str]] = ContextVar("current_node", default="")
_PACKAGE: Final = __name__.partition(".")[0]
#: Loggers that are kept ready.
_LOGGERS_MAX: Final = 4096


class Logger(logger.Logger):
    """A `twisted.logger.Logger` in the namespace of the current node's agent."""

    def emit(self, level: LogLevel, format: str | None = None, **values: object) -> None:  # noqa: A002
        """See `twisted.logger.Logger.emit`."""
        node = current_node.get()
        if node:
            _logger(namespace_of(node, self.namespace)).emit(level, format, **values)
        else:
            super().emit(level, format, **values)


def namespace_of(node: str, namespace: str) -> str:
    """The namespace of an embedded agent's part: `consulpy.agent[NODE].rest`."""
    return f"{_PACKAGE}.agent[{node}]{namespace.removeprefix(_PACKAGE).removeprefix('.agent')}"


def split_namespace(namespace: str) -> tuple[str, str]:
    """The node and the usual namespace of a log event's; the node is "" for a program of one agent."""
    begin = f"{_PACKAGE}.agent["
    if not namespace.startswith(begin):
        return "", namespace
    node, _, rest = namespace[len(begin) :].rpartition("]")
    return node, f"{_PACKAGE}{rest or '.agent'}"


@lru_cache(maxsize=_LOGGERS_MAX)
def _logger(namespace: str) -> Any:
    return logger.Logger(namespace)
