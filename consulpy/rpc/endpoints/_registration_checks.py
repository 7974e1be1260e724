"""Validation and defaults of registrations, before they are submitted (docs/wire/rpc.md 6, 10).

The texts are those of real agents.
"""

import dataclasses
import re
from typing import Final

from consulpy.errors import RPCError
from consulpy.gocompat.multierror import format_errors
from consulpy.structs.check import CheckDefinition, HealthCheck
from consulpy.structs.requests import RegisterRequest
from consulpy.structs.service import NodeService

_UUID_SHAPE: Final = re.compile(r".{8}-.{4}-.{4}-.{4}-.{12}", re.DOTALL)
_ANY_ADDRESSES: Final = ("0.0.0.0", "::", "[::]")


def check_registration(request: RegisterRequest) -> None:
    """Check what real servers check before the rights of the token. Raises `RPCError`."""
    if not request.node:
        raise RPCError("Must provide node")
    if request.id:
        _check_uuid(request.id)
    if not request.address and not request.skip_node_update:
        raise RPCError("Must provide address if SkipNodeUpdate is not set")
    if request.service is not None:
        checked_service(request.service)


def checked_registration(request: RegisterRequest) -> RegisterRequest:
    """The registration as it is submitted; the argument is not changed. Raises `RPCError`."""
    check_registration(request)
    checks = [*(request.checks or []), *([request.check] if request.check is not None else [])]
    checked = request.copied()
    if request.service is not None:
        checked.service = checked_service(request.service)
    checked.check = None
    checked.checks = [_filled_check(check, request.node) for check in checks] or None
    return checked


def checked_node(name: str, node_id: str) -> None:
    """Check the name and id of a node. Raises `RPCError`."""
    if not name:
        raise RPCError("Must provide node")
    if node_id:
        _check_uuid(node_id)


def _check_uuid(text: str) -> None:
    if len(text) != 36:
        raise RPCError("Bad node ID: uuid string is wrong length")
    if not _UUID_SHAPE.fullmatch(text):
        raise RPCError("Bad node ID: uuid is improperly formatted")
    for letter in text.replace("-", ""):
        if letter not in "0123456789abcdefABCDEF":
            raise RPCError(f"Bad node ID: encoding/hex: invalid byte: U+{ord(letter):04X} '{letter}'")


def checked_service(service: NodeService) -> NodeService:
    """A service as it is submitted. Raises `RPCError`."""
    if not service.id and service.service:
        service = dataclasses.replace(service, id=service.service)
    faults = _faults(service)
    if faults:
        raise RPCError(format_errors(faults))
    if service.id and not service.service:
        raise RPCError("Must provide service name with ID")
    if service.address in _ANY_ADDRESSES:
        raise RPCError("Invalid service address")
    return service


def _faults(service: NodeService) -> list[str]:
    """The errors of a proxy or gateway."""
    if not service.kind:
        return []
    from consulpy.connect.proxy_validation import errors_of  # not needed to start

    return errors_of(service)


def _filled_check(check: HealthCheck, node: str) -> HealthCheck:
    filled = check.copied()
    filled.check_id = check.check_id or check.name
    filled.node = check.node or node
    filled.type = check.type or _type_of(check.definition)
    return filled


def _type_of(definition: CheckDefinition) -> str:
    """The type of check of a definition, in Consul's order if several are described; empty for an incomplete one."""
    repeats = bool(definition.interval)
    for kind, is_described in (
        ("grpc", repeats and definition.grpc),
        ("http", repeats and definition.http),
        ("ttl", definition.ttl),
        ("tcp", repeats and definition.tcp),
        ("alias", definition.alias_node or definition.alias_service),
        ("docker", repeats and definition.docker_container_id and definition.script_args),
        ("script", definition.script_args),
    ):
        if is_described:
            return kind
    return ""
