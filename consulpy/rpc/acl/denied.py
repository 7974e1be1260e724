"""A refusal that knows what was missing."""

from consulpy.acl.authorizer import Authorizer
from consulpy.acl.levels import Level
from consulpy.errors import PermissionDenied


class Denied(PermissionDenied):
    """A token may not do this. `missing`: what it lacks, as `key:write "a/b"`; the text stays Consul's."""

    def __init__(self, kind: str, name: str, level: Level, text: str = "Permission denied") -> None:
        super().__init__(text)
        #: Whose token it was, once that is known.
        self.accessor = ""
        shown = name.replace("\\", "\\\\").replace('"', '\\"')
        self.missing = f'{kind}:{level.name.lower()} "{shown}"' if name else f"{kind}:{level.name.lower()}"


def require(authorizer: Authorizer, kind: str, name: str, level: Level) -> None:
    """Raises `Denied` unless this may be done."""
    if not authorizer.allows(kind, name, level):
        raise Denied(kind, name, level)
