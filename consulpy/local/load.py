"""Loading of services and checks: those of the configuration, and those stored on disk.

The configuration is loaded first and takes precedence. A check starts as critical, so that no unhealthy service is
served, unless the stored state of a TTL check is still valid.
"""

from collections.abc import Callable, Iterable
from dataclasses import field
from functools import partial
from typing import Any, TypeVar

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.python.failure import Failure

from consulpy.codec.lazy_dataclass import dataclass
from consulpy.errors import ConfigError, RPCError, WireError
from consulpy.local.definitions import check_from_config, service_from_config
from consulpy.local.persist.records import (
    CHECKS,
    SERVICES,
    STATES,
    Files,
    PersistedCheck,
    PersistedCheckState,
    PersistedService,
    path_of,
)
from consulpy.local.state import LocalState
from consulpy.log import Logger
from consulpy.structs.check import CRITICAL, NODE_MAINTENANCE, SERVICE_MAINTENANCE

_log = Logger()
_Saved = TypeVar("_Saved")


@dataclass(slots=True)
class Restored:
    """Ids of what was restored. `unknown`: checks without a result yet. `damaged`: paths of unreadable files."""

    services: list[str] = field(default_factory=list)
    checks: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)
    damaged: list[str] = field(default_factory=list)


#: Carries out a change; fires when it is done.
_Submit = Callable[[Callable[[], None]], "Deferred[None]"]


def configure(local: LocalState, services: Iterable[dict[str, Any]], checks: Iterable[dict[str, Any]]) -> None:
    """Register the services and checks of the configuration, and deregister earlier ones that it lacks. For the start.

    Raises `ConfigError` with the name of an invalid definition; those before it are registered.
    """
    failures: list[Failure] = []
    changes = _configure(local, services, checks, lambda change: maybeDeferred(change))
    Deferred.fromCoroutine(changes).addErrback(failures.append)
    if failures:
        failures[0].raiseException()


async def reconfigure(local: LocalState, services: Iterable[dict[str, Any]], checks: Iterable[dict[str, Any]]) -> None:
    """The same for a reload: the reactor does not wait for the disk."""
    await _configure(local, services, checks, local.submit)


async def _configure(
    local: LocalState, services: Iterable[dict[str, Any]], checks: Iterable[dict[str, Any]], submit: _Submit
) -> None:
    before_services, before_checks = set(local.configured_services), set(local.configured_checks)
    local.configured_services.clear()
    local.configured_checks.clear()
    try:
        for raw in services:
            service = service_from_config(raw)
            await submit(partial(local.register_service, service, local=True))
        for raw in checks:
            check = check_from_config(raw)
            await submit(partial(local.register_check, check, local=True))
    except RPCError as error:
        local.configured_services |= before_services
        local.configured_checks |= before_checks
        raise ConfigError(f"{raw.get('Name') or raw.get('ID') or raw}: {error}") from None
    for check_id in before_checks - local.configured_checks:
        await submit(partial(local.deregister_check, check_id))
    for service_id in before_services - local.configured_services:
        await submit(partial(local.deregister_service, service_id))


def restore(local: LocalState, files: Files, wall_s: Callable[[], float]) -> Restored:
    """Load what is on disk. Files of ids that the configuration has, and of checks without service, are removed.

    Files with names of another version are renamed, as changes replace and remove the files of our names.
    """
    found = Restored()
    changes: dict[str, bytes | None] = {}
    services = _each(files, SERVICES, PersistedService.unpack, lambda saved: saved.service.id, found, changes)
    for path, saved in services.items():
        if saved.service.id in local.configured_services:
            changes[path] = None
        else:
            local.adopt_service(saved.service, saved.token)
            if saved.unsupported:
                _log.warn(
                    "service {service} was stored by a newer version of Consul, with settings without effect here: "
                    "{fields}",
                    service=saved.service.id,
                    fields=", ".join(saved.unsupported),
                )
            found.services.append(saved.service.id)
    states = _each(files, STATES, PersistedCheckState.unpack, lambda saved: saved.check_id, found, changes)
    checks = _each(files, CHECKS, PersistedCheck.unpack, lambda saved: saved.check.check_id, found, changes)
    for path, saved_check in checks.items():
        check = saved_check.check
        orphan = bool(check.service_id) and local.entries.service(check.service_id) is None
        if check.check_id in local.configured_checks or orphan:
            changes[path] = None
            continue
        if not check.check_id.startswith((NODE_MAINTENANCE, SERVICE_MAINTENANCE)):
            check.status, check.output = CRITICAL, ""
        check.node = local.entries.node.node
        local.adopt_check(check, saved_check.type, saved_check.token, saved_check.source)
        found.checks.append(check.check_id)
    for path, state in states.items():
        if not _restore_state(local, state, wall_s()):
            changes[path] = None
    found.unknown = [check_id for check_id in found.checks if _is_unknown(local, check_id)]
    files.commit(changes, durable=any(data is not None for data in changes.values()))
    files.checkpoint()
    _log.debug(
        "restored {services} services and {checks} checks from disk; without a result yet: {unknown}",
        services=len(found.services),
        checks=len(found.checks),
        unknown=", ".join(found.unknown) or "none",
    )
    return found


def _each(
    files: Files,
    folder: str,
    unpack: Callable[[bytes], _Saved],
    id_of: Callable[[_Saved], str],
    found: Restored,
    changes: dict[str, bytes | None],
) -> dict[str, _Saved]:
    """The record of each readable file by the path for its id; unreadable files are logged and left in place.

    A file of another name (Consul since 1.10.11 names them by SHA-256) gets the right one in `changes`, unless there is
    a file of that name: then it is removed, as only we may have written that one later.
    """
    records: dict[str, _Saved] = {}
    foreign: list[tuple[str, str, bytes, _Saved]] = []
    for path, data in files.read(folder).items():
        try:
            record = unpack(data)
        except WireError as error:
            found.damaged.append(path)
            _log.error("{path} is damaged and left out: {error}", path=path, error=str(error))
            continue
        right = path_of(folder, id_of(record))
        if path == right:
            records[path] = record
        else:
            foreign.append((path, right, data, record))
    for path, right, data, record in foreign:
        changes[path] = None
        if right not in records:
            changes[right], records[right] = data, record
    return records


def _restore_state(local: LocalState, state: PersistedCheckState, now_s: float) -> bool:
    """Set a TTL check to its stored state, if that has not expired. False if it is not used."""
    kind = local.type_of(state.check_id)
    if kind is None or kind.kind != "ttl" or state.expires_s <= now_s:
        return False
    local.update_ttl(state.check_id, state.status, state.output)
    return True


def _is_unknown(local: LocalState, check_id: str) -> bool:
    check = local.entries.check(check_id)
    return check is not None and check.status == CRITICAL and not check.output and local.type_of(check_id) is not None
