"""What the agent takes over when it starts: its configuration's services and checks, and those kept on disk.

The configuration comes first and wins; `restore` follows. A check begins critical, so that nothing unhealthy is handed
out, except where the last word on a TTL check still holds.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from consulpy.errors import ConfigError, RPCError, WireError
from consulpy.local.definitions import check_from_config, service_from_config
from consulpy.local.persist.records import (
    CHECKS,
    SERVICES,
    STATES,
    Files,
    SavedCheck,
    SavedService,
    SavedState,
    path_of,
)
from consulpy.local.state import LocalState
from consulpy.structs.check import CRITICAL, NODE_MAINTENANCE, SERVICE_MAINTENANCE

_log = Logger()
_Saved = TypeVar("_Saved")


@dataclass(slots=True)
class Restored:
    """What was found on disk. `unknown`: checks whose state is not known yet; `damaged`: files that mean nothing."""

    services: list[str] = field(default_factory=list)
    checks: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)
    damaged: list[str] = field(default_factory=list)


#: Has a change done; fires when it is.
_Do = Callable[[Callable[[], None]], "Deferred[None]"]


def configure(local: LocalState, services: Iterable[dict[str, Any]], checks: Iterable[dict[str, Any]]) -> None:
    """Make the configured services and checks those of the configuration, at once: for the start of an agent.

    Raises `ConfigError` naming the definition that is wrong; those before it are in place then.
    """
    failures: list[Failure] = []
    changes = _configure(local, services, checks, lambda change: maybeDeferred(change))
    Deferred.fromCoroutine(changes).addErrback(failures.append)
    if failures:
        failures[0].raiseException()


async def reconfigure(local: LocalState, services: Iterable[dict[str, Any]], checks: Iterable[dict[str, Any]]) -> None:
    """The same for a reload, while the agent runs: each change waits for the disk without stopping anybody."""
    await _configure(local, services, checks, local.submit)


async def _configure(
    local: LocalState, services: Iterable[dict[str, Any]], checks: Iterable[dict[str, Any]], do: _Do
) -> None:
    before_services, before_checks = set(local.configured_services), set(local.configured_checks)
    local.configured_services.clear()
    local.configured_checks.clear()
    try:
        for raw in services:
            service = service_from_config(raw)
            await do(partial(local.register_service, service, local=True))
        for raw in checks:
            check = check_from_config(raw)
            await do(partial(local.register_check, check, local=True))
    except RPCError as error:
        local.configured_services |= before_services
        local.configured_checks |= before_checks
        raise ConfigError(f"{raw.get('Name') or raw.get('ID') or raw}: {error}") from None
    for check_id in before_checks - local.configured_checks:
        await do(partial(local.deregister_check, check_id))
    for service_id in before_services - local.configured_services:
        await do(partial(local.deregister_service, service_id))


def restore(local: LocalState, files: Files, wall_s: Callable[[], float]) -> Restored:
    """Take over what is kept on disk; files of what the configuration has now, or what has lost its service, go."""
    found = Restored()
    gone: dict[str, bytes | None] = {}
    for path, saved in _each(files, SERVICES, SavedService.unpack, found):
        if saved.service.id in local.configured_services:
            gone[path] = None
        else:
            local.adopt_service(saved.service, saved.token)
            found.services.append(saved.service.id)
    states = {state.check_id: state for _, state in _each(files, STATES, SavedState.unpack, found)}
    for path, saved_check in _each(files, CHECKS, SavedCheck.unpack, found):
        check = saved_check.check
        orphan = bool(check.service_id) and local.entries.service(check.service_id) is None
        if check.check_id in local.configured_checks or orphan:
            gone[path] = None
            continue
        if not check.check_id.startswith((NODE_MAINTENANCE, SERVICE_MAINTENANCE)):
            check.status, check.output = CRITICAL, ""
        check.node = local.entries.node.node
        local.adopt_check(check, saved_check.type, saved_check.token)
        found.checks.append(check.check_id)
    for check_id, state in states.items():
        if not _take_state(local, state, wall_s()):
            gone[path_of(STATES, check_id)] = None
    found.unknown = [check_id for check_id in found.checks if _is_unknown(local, check_id)]
    files.commit(gone, durable=False)
    files.checkpoint()
    _log.debug(
        "restored {services} services and {checks} checks from disk; not known yet: {unknown}",
        services=len(found.services),
        checks=len(found.checks),
        unknown=", ".join(found.unknown) or "none",
    )
    return found


def _each(
    files: Files, folder: str, unpack: Callable[[bytes], _Saved], found: Restored
) -> Iterable[tuple[str, _Saved]]:
    """(path, record) of each file that means something; the others stay where they are, for somebody to look at."""
    for path, data in files.read(folder).items():
        try:
            yield path, unpack(data)
        except WireError as error:
            found.damaged.append(path)
            _log.error("{path} is damaged and left out: {error}", path=path, error=str(error))


def _take_state(local: LocalState, state: SavedState, now_s: float) -> bool:
    """Set a TTL check to its last word, if that still holds and the check is still there."""
    kind = local.type_of(state.check_id)
    if kind is None or kind.kind != "ttl" or state.expires_s <= now_s:
        return False
    local.update_ttl(state.check_id, state.status, state.output)
    return True


def _is_unknown(local: LocalState, check_id: str) -> bool:
    check = local.entries.check(check_id)
    return check is not None and check.status == CRITICAL and not check.output and local.type_of(check_id) is not None
