"""Headers that Consul 1.8.7 does not have: those of newer versions, and our own.

They are sent to clients with a `User-Agent` only, which every browser, command and library sends: a request without it
gets exactly the headers of 1.8.7. Sources: documentation of the HTTP API of Consul 1.9 to 1.11.
"""

from typing import Final

from consulpy.structs.options import QueryMeta

#: Prefix of our own.
OWN: Final = "X-Consulpy-"
#: `allow` or `deny` (`acl.default_policy`), on every response (Consul 1.9).
DEFAULT_ACL_POLICY: Final = "X-Consul-Default-ACL-Policy"
#: How the servers answered a read (Consul 1.10); streaming is the other way.
QUERY_BACKEND: Final = "X-Consul-Query-Backend"
#: `true` if something was removed that the token may not see, unless no token was shown (Consul 1.11).
RESULTS_FILTERED: Final = "X-Consul-Results-Filtered-By-ACLs"

_EXTRA: Final = (OWN, QUERY_BACKEND, RESULTS_FILTERED)


def is_extra(name: str) -> bool:
    """Whether a header of a response is for clients with a `User-Agent` only."""
    return name.startswith(_EXTRA)


def extra_meta_headers(meta: QueryMeta) -> dict[str, str]:
    """The newer headers of a reply's metadata."""
    headers = {QUERY_BACKEND: "blocking-query"}
    if meta.results_filtered_by_acls:
        headers[RESULTS_FILTERED] = "true"
    return headers
