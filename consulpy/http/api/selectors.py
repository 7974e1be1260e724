"""Selectors of newer versions of Consul, on every endpoint: one that is not honoured is refused, never skipped.

To skip one would answer about, or change, something else. Source: CHANGELOG of Consul 1.11 to 1.16; the texts are those
of its open edition.
"""

from collections.abc import Callable, Mapping
from typing import Final

from consulpy.errors import BadRequest
from consulpy.http.api.routing import Query

_NAMESPACES: Final = "Namespaces are a Consul Enterprise feature"
_PARTITIONS: Final = "Partitions are a Consul Enterprise feature"
#: Parameter -> why it is refused, unless it is empty.
_REFUSED: Final[Mapping[str, str]] = {
    "namespace": _NAMESPACES,
    "authmethod-ns": _NAMESPACES,
    "partition": _PARTITIONS,
    "ap": _PARTITIONS,
    "peer": "cluster peering came with Consul 1.13 and is not supported here",
    "sg": "Sameness groups are a Consul Enterprise feature",
    "sameness-group": "Sameness groups are a Consul Enterprise feature",
}
#: Below it newer versions take the namespace and partition `default`.
_INTENTIONS: Final = "/v1/connect/intentions"
_DEFAULT: Final = "default"
#: Below them `ns` is refused here: 1.8.7 writes to the only namespace, whatever it is. Elsewhere handlers refuse it
#: (`params.refuse_namespaces`), or it says nothing: nodes, members and operators are in no namespace.
_NAMESPACED: Final = (_INTENTIONS, "/v1/query", "/v1/txn")
#: The same of headers.
_HEADERS: Final[Mapping[str, str]] = {"X-Consul-Namespace": _NAMESPACES, "X-Consul-Partition": _PARTITIONS}


def check(query: Query, header: Callable[[str], str], path: str) -> None:
    """Refuse what is not honoured; `datacenter` becomes `dc`, its short name. Raises `BadRequest`."""
    for name, why in _HEADERS.items():
        if header(name):
            raise BadRequest(f'Bad request: Invalid header: "{name}" - {why}')
    if not query:
        return
    if path.startswith(_INTENTIONS):
        for name in ("ns", "namespace", "partition", "ap"):
            if query.get(name) == _DEFAULT:
                query.set(name, "")
    if query.get("ns") and path.startswith(_NAMESPACED):
        raise BadRequest(f'Bad request: Invalid query parameter: "ns" - {_NAMESPACES}')
    for name, why in _REFUSED.items():
        if query.get(name):
            raise BadRequest(f'Bad request: Invalid query parameter: "{name}" - {why}')
    long = query.get("datacenter")
    if long:
        if query.get("dc") not in ("", long):
            raise BadRequest('Bad request: Invalid query parameter: "datacenter" - "dc" names another one')
        query.set("dc", long)
