"""Aggregated health of services, and JSON of services and checks in the agent's API (pure).

Source: the recorded responses in tests/conformance/golden (areas agent-services, agent-checks).
"""

import hashlib
import json
from typing import Any, Final

import orjson

from consulpy.connect.central_merge import CONNECT_PROXY, GATEWAYS
from consulpy.local.sync.sync_state import Entries
from consulpy.structs.check import (
    CRITICAL,
    NODE_MAINTENANCE,
    PASSING,
    SERVICE_MAINTENANCE,
    WARNING,
    HealthCheck,
)
from consulpy.structs.service import NodeService

#: The status of a service in maintenance.
MAINTENANCE: Final = "maintenance"
#: The HTTP status for each aggregated status.
HTTP_STATUS: Final = {PASSING: 200, WARNING: 429, CRITICAL: 503, MAINTENANCE: 503}
#: Members of an upstream that the agent's API omits when empty.
_OMITTED_EMPTY: Final = ("DestinationType", "Datacenter", "LocalBindPort", "Config")
_WORST_FIRST: Final = (MAINTENANCE, CRITICAL, WARNING, PASSING)


def aggregated(checks: list[HealthCheck]) -> str:
    """The worst status of `checks`; maintenance is worse than critical."""
    statuses = {
        MAINTENANCE
        if check.check_id == NODE_MAINTENANCE or check.check_id.startswith(SERVICE_MAINTENANCE)
        else check.status
        for check in checks
    }
    return next((status for status in _WORST_FIRST if status in statuses), PASSING)


def worst(statuses: list[str]) -> str:
    """The worst of several aggregated statuses."""
    return next((status for status in _WORST_FIRST if status in statuses), PASSING)


def checks_of(entries: Entries, service_id: str) -> list[HealthCheck]:
    """The checks of a service and those of the node."""
    found = entries.checks_of(service_id) + entries.checks_of("")
    return [entry.check for entry in found if not entry.deleted]


def health_json(entries: Entries, service: NodeService) -> tuple[str, dict[str, Any]]:
    """(aggregated status, body of `/v1/agent/health/service/id/ID`)."""
    checks = checks_of(entries, service.id)
    status = aggregated(checks)
    return status, {
        "AggregatedStatus": status,
        "Service": service_json(service),
        "Checks": [_bare_check(check) for check in checks],
    }


def service_json(service: NodeService) -> dict[str, Any]:
    """A service in the agent's API: without indexes, and with `Proxy` only for proxies and gateways."""
    shown: dict[str, Any] = {}
    if service.kind:
        shown["Kind"] = service.kind
    shown |= {
        "ID": service.id,
        "Service": service.service,
        "Tags": service.tags or [],
        "Meta": service.meta or {},
        "Port": service.port,
        "Address": service.address,
    }
    full = service.to_json()
    if service.tagged_addresses:
        shown["TaggedAddresses"] = full["TaggedAddresses"]
    shown["Weights"] = full["Weights"] or {"Passing": 1, "Warning": 1}
    shown["EnableTagOverride"] = service.enable_tag_override
    if service.kind in (CONNECT_PROXY, *GATEWAYS):
        shown["Proxy"] = full["Proxy"]
        for upstream in shown["Proxy"].get("Upstreams", ()):
            for name in _OMITTED_EMPTY:
                if not upstream.get(name):
                    upstream.pop(name, None)
    if service.connect.native:
        shown["Connect"] = full["Connect"]
    return shown


def content_hash(shown: dict[str, Any]) -> str:
    """The hash of a service's JSON, for `?hash=`: 16 hex digits."""
    try:
        hashed = orjson.dumps(shown, option=orjson.OPT_SORT_KEYS)
    except TypeError:  # a number beyond 64 bits in the settings of a proxy
        hashed = json.dumps(shown, sort_keys=True).encode()
    return hashlib.sha256(hashed).hexdigest()[:16]


def check_json(check: HealthCheck) -> dict[str, Any]:
    """A check in `/v1/agent/checks`."""
    shown = check.to_json()
    shown["ServiceTags"] = check.service_tags or []
    return shown


def _bare_check(check: HealthCheck) -> dict[str, Any]:
    """A check in the agent's health responses: without its type, and with all members of an empty definition."""
    shown = check.to_json()
    shown["ServiceTags"] = check.service_tags or None
    shown["Type"] = ""
    shown["Definition"] = {
        "Interval": "0s",
        "Timeout": "0s",
        "DeregisterCriticalServiceAfter": "0s",
        "HTTP": "",
        "Header": None,
        "Method": "",
        "Body": "",
        "TLSSkipVerify": False,
        "TCP": "",
    }
    shown["CreateIndex"] = shown["ModifyIndex"] = 0
    return shown
