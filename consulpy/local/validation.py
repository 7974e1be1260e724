"""Validation of registrations on the agent, with Consul's error texts (pure; seen in the responses of a real agent)."""

from collections.abc import Mapping
from ipaddress import ip_address
from typing import Final

from consulpy.connect.central_merge import CONNECT_PROXY
from consulpy.connect.proxy_validation import errors_of
from consulpy.errors import BadRequest, RPCError
from consulpy.gocompat.multierror import format_errors
from consulpy.structs.check import CRITICAL, PASSING, WARNING
from consulpy.structs.definition import CheckDefinition, CheckType, ServiceDefinition
from consulpy.structs.metadata import metadata_error
from consulpy.structs.service import WEIGHT_MAX, Weights

STATUSES: Final = (PASSING, WARNING, CRITICAL)


def check_identity(definition: ServiceDefinition) -> None:
    """Raise `BadRequest` for a service of the API without a name or with an address such as 0.0.0.0."""
    if not definition.service.service:
        raise BadRequest("Missing service name")
    if _is_any(definition.service.address):
        raise BadRequest("Invalid service address")


def check_definition(definition: CheckDefinition) -> None:
    """Raise `BadRequest` for a check of the API without a name or with an unknown status."""
    if not definition.check.name:
        raise BadRequest("Missing check name")
    if definition.check.status and definition.check.status not in STATUSES:
        raise BadRequest("Bad check status")


def check_service(definition: ServiceDefinition, *, from_api: bool = True) -> None:
    """Raise `BadRequest` if this service may not be registered.

    Only the API (`from_api`) refuses an address such as 0.0.0.0 and an unknown status; configuration files may have
    both.
    """
    service = definition.service
    if from_api:
        check_identity(definition)
    elif not service.service:
        raise BadRequest("Missing service name")
    if service.weights is not None:
        check_weights(service.weights)
    check_meta(service.meta or {})
    # Consul validates no sidecar, whose sync then fails for ever: here one from the API is, unless it is no proxy
    if not service.locally_registered_as_sidecar or (from_api and service.kind == CONNECT_PROXY):
        errors = errors_of(service, has_sidecar=definition.sidecar is not None, default_type="service")
        if errors:
            raise BadRequest(format_errors(errors))
    for kind in definition.checks:
        check_type(kind)
    if from_api and any(kind.status and kind.status not in STATUSES for kind in definition.checks):
        raise BadRequest("Status for checks must 'passing', 'warning', 'critical'")
    for error in map(_error_of, definition.sidecar.checks if from_api and definition.sidecar is not None else ()):
        if error:
            raise RPCError(f"Bad request: Invalid check in sidecar_service: {error}")


def check_type(kind: CheckType) -> None:
    """Raise `BadRequest` if a check of this type cannot run."""
    error = _error_of(kind)
    if error:
        raise BadRequest(f"Invalid check: {error}")


def _error_of(kind: CheckType) -> str:
    timed = any((kind.script_args, kind.http, kind.tcp, kind.udp, kind.grpc, kind.h2ping, kind.os_service))
    if kind.interval > 0 and kind.ttl > 0:
        return "Interval and TTL cannot both be specified"
    if timed and kind.interval <= 0:
        return "Interval must be > 0 for Script, HTTP, or TCP checks"
    if timed and kind.is_alias:
        return "Interval cannot be set for Alias checks"
    if kind.is_alias and kind.ttl > 0:
        return "TTL must be not be set for Alias checks"
    if not timed and not kind.is_alias and kind.ttl <= 0:
        return "TTL must be > 0 for TTL checks"
    if kind.output_max_size < 0:
        return "MaxOutputMaxSize must be positive"
    if kind.failures_before_warning and kind.failures_before_warning > kind.failures_before_critical:
        return "FailuresBeforeWarning can't be higher than FailuresBeforeCritical"
    return ""


def check_meta(meta: Mapping[str, str]) -> None:
    """Raise `BadRequest` for invalid service metadata."""
    error = metadata_error(meta)
    if error:
        raise BadRequest(f"Invalid Service Meta: {error}")


def check_weights(weights: Weights) -> None:
    """Raise `BadRequest` for weights out of range."""
    if weights.passing < 1:
        raise BadRequest("Invalid Weights: Passing must be greater than 0")
    if weights.warning < 0:
        raise BadRequest("Invalid Weights: Warning must be greater or equal than 0")
    if weights.passing > WEIGHT_MAX or weights.warning > WEIGHT_MAX:
        raise BadRequest(f"Invalid Weights: DNS Weight must be between 0 and {WEIGHT_MAX}")


def _is_any(address: str) -> bool:
    """Whether it is 0.0.0.0 or ::, in any form; `[::]` counts too, which servers refuse."""
    if address.startswith("[") and address.endswith("]"):
        address = address[1:-1]
    try:
        return ip_address(address).is_unspecified
    except ValueError:
        return False
