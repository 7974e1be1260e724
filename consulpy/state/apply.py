"""Application of committed commands to the store, for each kind of log."""

from collections.abc import Callable
from typing import Any

from consulpy.errors import ConsulpyError, RPCError
from consulpy.metrics.registry import Measures
from consulpy.state.commands import Command, decode
from consulpy.state.metrics import applied
from consulpy.state.store import Store

#: `say(level, text)` logs a line; levels: `info`, `warn`, `error`.
Say = Callable[[str, str], None]


class CommandApplier:
    """Applies commands to `store`. `seconds`: clock of `metrics`."""

    def __init__(self, store: Store, say: Say, metrics: Measures, seconds: Callable[[], float]) -> None:
        self._store = store
        self._say = say
        self._metrics = metrics
        self._seconds = seconds

    def apply(self, index: int, command: Command | bytes) -> Any:
        """Apply a command, decoded or not, as entry `index`. Its result, or its error: a failed command is no crash."""
        try:
            if isinstance(command, bytes):
                command = decode(command)
            began_s = self._seconds()
            result = command.apply(self._store, index)
            self._metrics.sample(*applied(command, 1000 * (self._seconds() - began_s)))
            return result
        except ConsulpyError as error:
            return error
        except Exception as error:  # a bug in one command must not end all writing
            self._say("error", f"command {index} could not be applied: {type(error).__name__}: {error}")
            return RPCError(f"internal error: {error}")
