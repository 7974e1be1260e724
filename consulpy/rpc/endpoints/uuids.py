"""Ids that the leader makes, and how Consul refuses texts that are none."""

import re
import uuid
from random import Random
from typing import Final

from consulpy.errors import RPCError

_UUID: Final = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


def new_uuid(rng: Random) -> str:
    """A random id; made before a command is submitted, so that every server has the same."""
    return str(uuid.UUID(int=rng.getrandbits(128)))


def is_uuid(text: str) -> bool:
    """Whether this is a whole id."""
    return _UUID.fullmatch(text) is not None


def check_uuid(text: str, what: str) -> None:
    """Raises `RPCError` as Consul's index of ids does: `what` cannot be looked up by this."""
    if len(text) != 36:
        raise RPCError(f"{what}: index error: UUID must be 36 characters")
    if not is_uuid(text):
        raise RPCError(f"{what}: index error: Invalid UUID element: {text}")
