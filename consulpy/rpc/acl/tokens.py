"""The secret that a call carries."""

import dataclasses
from typing import Any

from consulpy.codec.record import Record


def token_of(request: Record) -> str:
    """The secret that a call carries."""
    options = getattr(request, "options", None)
    found: str = options.token if options is not None else getattr(request, "token", "")
    return found


def with_token(request: Any, secret: str) -> Any:
    """The same call with another secret."""
    options = getattr(request, "options", None)
    if options is not None:
        return dataclasses.replace(request, options=dataclasses.replace(options, token=secret))
    return dataclasses.replace(request, token=secret)
