"""Permission errors: how their texts are recognized, and the header that names the missing right.

Headers that Consul does not have are sent to clients with a `User-Agent` only, which every browser, command and library
sends: a request without it gets exactly Consul's headers.
"""

from consulpy.rpc.acl.denied import Denied

#: Prefix of the headers that Consul does not have.
OWN = "X-Consulpy-"
#: Names the accessor of the token and the missing right; the body is Consul's.
HEADER = f"{OWN}Denied"


def is_refusal(text: str) -> bool:
    """Whether an error is a permission error, by its text: the only thing that servers send."""
    return "Permission denied" in text or "ACL not found" in text


def denied_headers(error: BaseException) -> dict[str, str]:
    """The header for an error, if the missing right is known."""
    if not isinstance(error, Denied):
        return {}
    accessor = error.accessor or "unknown"
    return {HEADER: f"accessor={accessor}, {error.missing}"}
