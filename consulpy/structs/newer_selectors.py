"""Selectors that newer versions of Consul add to requests and log entries: who skips them, answers about other data.

Unknown fields are skipped by every decoder; these say *whose* nodes, services or keys are meant. They are taken when
they mean what there is here (nil, "", `default`). Source: `agent/structs` of Consul 1.11 to 1.16.
"""

from typing import Any, Final

from consulpy.codec.msgpack import text

_SELECTORS: Final = {
    b"PeerName": "cluster peering of Consul 1.13",
    b"SamenessGroup": "sameness groups of Consul 1.16 Enterprise",
    b"Partition": "partitions of Consul 1.11 Enterprise",
    b"Namespace": "namespaces of Consul Enterprise",
}
_NAMES: Final = frozenset(_SELECTORS)
_MERGE: Final = b"MergeCentralConfig"
#: The calls that merge central settings.
_MERGING: Final = frozenset({"Catalog.NodeServiceList", "Catalog.ServiceNodes", "Health.ServiceNodes"})
_NOTHING: Final = (None, b"", b"default", False)


def foreign_query(raw: Any) -> str:
    """Why an unpacked `PreparedQuery.Apply` asks for instances that are not found here; "" if it does not."""
    query = raw.get(b"Query") if isinstance(raw, dict) else None
    service = query.get(b"Service") if isinstance(query, dict) else None
    if not isinstance(service, dict):
        return ""
    if foreign := foreign_selector(
        {b"PeerName": service.get(b"Peer"), b"SamenessGroup": service.get(b"SamenessGroup")}
    ):
        return foreign
    failover = service.get(b"Failover")
    if isinstance(failover, dict) and failover.get(b"Targets"):
        return "Failover.Targets belongs to Consul 1.14, and is not served here: use Failover.Datacenters"
    return ""


def refused_merge(raw: Any, method: str) -> str:
    """Why a call that asks for central settings (Consul 1.13) does not get them; "" if it does, or does not ask."""
    if method in _MERGING or not isinstance(raw, dict) or not raw.get(_MERGE):
        return ""
    return f"{_MERGE.decode()} is not served by {method} here"


def foreign_selector(raw: Any) -> str:
    """Why an unpacked request or command is about something that does not exist here; "" if it is not."""
    if not isinstance(raw, dict) or _NAMES.isdisjoint(raw):
        return ""
    for name, feature in _SELECTORS.items():
        value = raw.get(name)
        if value not in _NOTHING:
            shown = text(value) if isinstance(value, bytes) else value
            return f'{name.decode()} "{shown}" belongs to {feature}, which is not served here'
    return ""
