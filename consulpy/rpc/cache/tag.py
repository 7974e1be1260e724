"""Cache tags and validators: what cached replies, responses and DNS answers depend on (RFC 9110 8.8)."""

from collections.abc import Callable, Hashable
from typing import Final

NODE: Final = "node"
SERVICE: Final = "service"
#: `NODE` or `SERVICE` with its name in lower case; two empty strings for everything else.
CacheTag = tuple[str, str]
#: Gives the validator of a tag: equal while nothing with the tag changes; None: not cacheable.
Validator = Callable[[CacheTag], Hashable | None]
