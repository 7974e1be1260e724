"""Ids that the leader makes, and how Consul refuses texts that are none."""

import re
import uuid
from random import Random
from typing import Final

from consulpy.state.uuid_index import check_uuid

__all__ = ["check_uuid", "is_uuid", "new_uuid"]

_UUID: Final = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


def new_uuid(rng: Random) -> str:
    """A random id; made before a command is submitted, so that every server has the same."""
    return str(uuid.UUID(int=rng.getrandbits(128)))


def is_uuid(text: str) -> bool:
    """Whether this is a whole id."""
    return _UUID.fullmatch(text) is not None
