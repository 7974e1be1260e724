"""The agent's own endpoints for services and checks, without HTTP (pure).

Each function takes the parameters of a request and returns an `Answer`, or raises an `RPCError` whose text and status
go to the client. Source: recorded responses in tests/conformance/golden (areas agent-services, agent-checks, agent).
"""

from collections.abc import Mapping
from dataclasses import field
from typing import Any

from consulpy.codec.lazy_dataclass import dataclass
from consulpy.errors import BadRequest, NotFound, RPCError
from consulpy.filter import compile_filter
from consulpy.gocompat.literals import quoted
from consulpy.local.definitions import check_from_body, service_from_body, update_from_body
from consulpy.local.health import HTTP_STATUS, check_json, content_hash, health_json, service_json, worst
from consulpy.local.state import LocalState
from consulpy.local.validation import STATUSES
from consulpy.structs.check import HealthCheck
from consulpy.structs.service import NodeService

#: Booleans of Go's `strconv.ParseBool`.
_TRUE = frozenset({"1", "t", "T", "TRUE", "true", "True"})
_FALSE = frozenset({"0", "f", "F", "FALSE", "false", "False"})


@dataclass(frozen=True, slots=True)
class Answer:
    """A response: `body` as JSON, or `text` as plain text, or (both None) empty."""

    body: Any = None
    status: int = 200
    text: str | None = None
    headers: dict[str, str] = field(default_factory=dict)


#: The response of a successful write.
DONE = Answer()


def parse_bool(text: str) -> bool | None:
    """A boolean, as Go's `strconv.ParseBool`; None for another text."""
    return True if text in _TRUE else False if text in _FALSE else None


def services(local: LocalState, expression: str = "") -> Answer:
    """GET /v1/agent/services. Raises `FilterError`."""
    found = local.services
    if expression:
        holds = compile_filter(expression, NodeService)
        found = {key: service for key, service in found.items() if holds(service)}
    return Answer({key: service_json(service) for key, service in sorted(found.items())})


def service(local: LocalState, service_id: str) -> Answer:
    """GET /v1/agent/service/ID, with its content hash. Raises `NotFound`."""
    found = local.entries.service(service_id)
    if found is None:
        raise NotFound(f"unknown service ID: {service_id}")
    shown = service_json(found)
    shown["ContentHash"] = content_hash(shown)
    return Answer(shown, headers={"X-Consul-ContentHash": shown["ContentHash"]})


def register_service(
    local: LocalState, body: bytes, token: str = "", *, replace_existing_checks: bool = False
) -> Answer:
    """PUT /v1/agent/service/register."""
    definition = service_from_body(body)
    definition.token = token or definition.token
    local.register_service(definition, replace_existing_checks=replace_existing_checks)
    return DONE


def deregister_service(local: LocalState, service_id: str) -> Answer:
    """PUT /v1/agent/service/deregister/ID."""
    local.deregister_service(service_id)
    return DONE


def service_maintenance(local: LocalState, service_id: str, query: Mapping[str, str], token: str = "") -> Answer:
    """PUT /v1/agent/service/maintenance/ID?enable=...&reason=..."""
    check_maintenance(query, service_id)
    local.set_service_maintenance(service_id, _enable(query), query.get("reason", ""), token)
    return DONE


def node_maintenance(local: LocalState, query: Mapping[str, str], token: str = "") -> Answer:
    """PUT /v1/agent/maintenance?enable=...&reason=..."""
    local.set_node_maintenance(_enable(query), query.get("reason", ""), token)
    return DONE


def check_maintenance(query: Mapping[str, str], service_id: str | None = None) -> None:
    """Raise `BadRequest` without an ID (None: of the node), or without a value of `enable`."""
    if service_id == "":
        raise BadRequest("Missing service ID")
    _enable(query)


def _enable(query: Mapping[str, str]) -> bool:
    if "enable" not in query:
        raise BadRequest("Missing value for enable")
    enable = parse_bool(query["enable"])
    if enable is None:
        raise BadRequest(f"Invalid value for enable: {quoted(query['enable'])}")
    return enable


def checks(local: LocalState, expression: str = "") -> Answer:
    """GET /v1/agent/checks. Raises `FilterError`."""
    found = local.checks
    if expression:
        holds = compile_filter(expression, HealthCheck, lazily=True)
        found = {key: check for key, check in found.items() if holds(check)}
    return Answer({key: check_json(check) for key, check in sorted(found.items())})


def register_check(local: LocalState, body: bytes, token: str = "") -> Answer:
    """PUT /v1/agent/check/register."""
    definition = check_from_body(body)
    definition.token = token or definition.token
    local.register_check(definition)
    return DONE


def deregister_check(local: LocalState, check_id: str) -> Answer:
    """PUT /v1/agent/check/deregister/ID."""
    local.deregister_check(check_id)
    return DONE


def set_check(local: LocalState, check_id: str, status: str, note: str = "") -> Answer:
    """PUT /v1/agent/check/{pass,warn,fail}/ID?note=..., `status` being passing, warning or critical."""
    local.update_ttl(check_id, status, note)
    return DONE


def check_update(body: bytes) -> None:
    """Raise `BadRequest` for a body without a known status."""
    _update(body)


def _update(body: bytes) -> tuple[str, str]:
    status, output = update_from_body(body)
    if status not in STATUSES:
        raise BadRequest(f"Invalid check status: '{status}'")
    return status, output


def update_check(local: LocalState, check_id: str, body: bytes) -> Answer:
    """PUT /v1/agent/check/update/ID."""
    status, output = _update(body)
    local.update_ttl(check_id, status, output)
    return DONE


def health_by_id(local: LocalState, service_id: str, *, text: bool = False) -> Answer:
    """GET /v1/agent/health/service/id/ID: 200 passing, 429 warning, 503 critical or in maintenance, 404 unknown."""
    if not service_id:
        raise RPCError("Bad request: Missing serviceID")
    found = local.entries.service(service_id)
    if found is None:
        missing = {"AggregatedStatus": "critical", "Service": None, "Checks": None}
        return _health(404, f"ServiceId {service_id} not found", missing, text)
    status, shown = health_json(local.entries, found)
    return _health(HTTP_STATUS[status], status, shown, text)


def health_by_name(local: LocalState, name: str, *, text: bool = False) -> Answer:
    """GET /v1/agent/health/service/name/NAME: all its instances on this agent; the worst one gives the status."""
    if not name:
        raise RPCError("Bad request: Missing service Name")
    found = [service for _, service in sorted(local.services.items()) if service.service == name]
    if not found:
        return _health(404, f"ServiceName {name} Not Found", [], text)
    answers = [health_json(local.entries, service) for service in found]
    status = worst([status for status, _ in answers])
    return _health(HTTP_STATUS[status], status, [shown for _, shown in answers], text)


def _health(status: int, reason: str, body: Any, text: bool) -> Answer:
    headers = {"X-Consul-Reason": reason}
    return Answer(None, status, reason, headers) if text else Answer(body, status, None, headers)
