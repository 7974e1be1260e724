"""Refusals of access control: how they are recognized, and the header that says what was missing.

Headers that Consul does not have are for programs and people that say what they are (`User-Agent`, which every browser,
command and library sends): a bare request is answered with Consul's own headers and no others.
"""

from consulpy.rpc.acl.denied import Denied

#: How the names of all headers of our own begin.
OWN = "X-Consulpy-"
#: Says whose token lacked what; Consul's own body stays as it is.
HEADER = f"{OWN}Denied"


def is_refusal(text: str) -> bool:
    """Whether an error's text says that a token may not do this, or does not exist; servers send nothing but texts."""
    return "Permission denied" in text or "ACL not found" in text


def denied_headers(error: BaseException) -> dict[str, str]:
    """What to say of an error, as far as it is known what was missing."""
    if not isinstance(error, Denied):
        return {}
    accessor = error.accessor or "unknown"
    return {HEADER: f"accessor={accessor}, {error.missing}"}
