"""Permission errors: how their texts are recognized, and the header that names the missing right."""

from consulpy.http.api.extra_headers import OWN
from consulpy.rpc.acl.denied import Denied, RemoteDenied

#: Names the accessor of the token and the missing right; the body is Consul's.
HEADER = f"{OWN}Denied"
#: Rights that the header names.
_RIGHTS_MAX = 8


def is_refusal(text: str) -> bool:
    """Whether an error is a permission error, by its text: the only thing that servers send."""
    return "Permission denied" in text or "ACL not found" in text


def denied_headers(error: BaseException) -> dict[str, str]:
    """The header for an error, if the missing right is known."""
    if not isinstance(error, Denied | RemoteDenied):
        return {}
    return missing_headers(error.accessor, error.missing)


def missing_headers(accessor: str, *missing: str) -> dict[str, str]:
    """The header that names the accessor of a token and the rights that it lacks; none where it lacks nothing."""
    lacks = list(dict.fromkeys(filter(None, missing)))[:_RIGHTS_MAX]
    return {HEADER: ", ".join([f"accessor={accessor or 'unknown'}", *lacks])} if lacks else {}
