"""UUIDs: generation, and Consul's checks."""

import re
import uuid
from random import Random
from typing import Final

from consulpy.state.uuid_index import check_uuid

__all__ = ["check_uuid", "is_uuid", "new_uuid"]

_UUID: Final = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


def new_uuid(rng: Random) -> str:
    """A random UUID; generated before a command is submitted, so that all servers have the same."""
    return str(uuid.UUID(int=rng.getrandbits(128)))


def is_uuid(text: str) -> bool:
    """Whether `text` is a complete UUID."""
    return _UUID.fullmatch(text) is not None
