"""Calls that are passed to no other server, as they would end every real Consul server that applies them.

Our own servers refuse them in the endpoint; a real leader would propose them to all servers, and end with them.
"""

from collections.abc import Callable
from typing import Any, Final


def _config_entry(request: Any) -> None:
    from consulpy.connect.config_entries.validate import refuse_nulls  # not needed to start

    refuse_nulls(request.entry)


_CHECKS: Final[dict[str, Callable[[Any], None]]] = {"ConfigEntry.Apply": _config_entry}


def refuse_harmful(method: str, request: Any) -> None:
    """Raises `RPCError` for such a call."""
    check = _CHECKS.get(method)
    if check is not None:
        check(request)
