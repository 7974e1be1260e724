"""The services and checks of this agent, each with its sync state.

Tables and flags only: `local/state.py` validates registrations, `anti_entropy.py` schedules syncs. A deleted entry
stays, marked, until it is removed from the catalog. Source: docs/wire/rpc.md section 9.
"""

from collections.abc import Callable, Hashable
from copy import copy
from random import Random
from typing import Any, TypeVar

from twisted.internet.defer import Deferred

from consulpy.clock import Clock, Timer, cancel_timer
from consulpy.codec.lazy_dataclass import dataclass
from consulpy.state.watch import WatchRegistry
from consulpy.structs.check import CRITICAL, HealthCheck
from consulpy.structs.node import Node
from consulpy.structs.service import NodeService


@dataclass(slots=True, eq=False)
class ServiceState:
    """A service of this agent. `token`: of its registration ("": the default token). `from_file`: it is configured."""

    service: NodeService
    token: str = ""
    from_file: bool = False
    in_sync: bool = False
    deleted: bool = False
    #: The tags that this agent last wrote to the catalog (None: unknown), and whether the tags of `service` are adopted
    #: from the catalog, where another client has set them (EnableTagOverride).
    own_tags: list[str] | None = None
    tags_overridden: bool = False


@dataclass(slots=True, eq=False)
class CheckState:
    """A check of this agent. `critical_since_s`: clock time in seconds, None while not critical."""

    check: HealthCheck
    token: str = ""
    from_file: bool = False
    #: Not always told by `check.type`, which is empty for a check of the node in a file.
    is_alias: bool = False
    in_sync: bool = False
    deleted: bool = False
    critical_since_s: float | None = None
    #: When the first result came, in clock seconds.
    first_result_s: float | None = None
    #: Runs while the sync of a changed output is deferred.
    deferred: Timer | None = None


_Entry = TypeVar("_Entry", ServiceState, CheckState)


class Entries:
    """All services and checks by id, including deleted ones that are still in the catalog.

    `node`: this agent's node record. `changed` is called after every change that is to be synced. `watchers`: keys are
    `("service", id)` (anything about that service or its checks), `"services"`,
    `"checks"`.
    """

    def __init__(
        self,
        node: Node,
        clock: Clock,
        rng: Random,
        *,
        check_update_interval_s: float = 300.0,
        discard_check_output: bool = False,
    ) -> None:
        self.node = node
        self.node_in_sync = False
        self.services: dict[str, ServiceState] = {}
        self.checks: dict[str, CheckState] = {}
        self.watchers = WatchRegistry()
        self.changed: Callable[[], None] = lambda: None
        #: What is kept of a registration and its token, and the end of one (`consulpy.local.central_config`).
        self.on_registered: Callable[[NodeService, str], NodeService] = lambda service, _token: service
        self.on_removed: Callable[[str], None] = lambda _service_id: None
        #: Fires when what `on_registered` fetches is there; None: there is nothing to wait for.
        self.defaults_fetched: Callable[[], Deferred[Any] | None] = lambda: None
        self.check_update_interval_s = check_update_interval_s
        self.discard_check_output = discard_check_output
        self.clock = clock
        self.rng = rng
        self._by_service: dict[str, dict[str, None]] = {}
        #: Entries that may be out of sync, by id; `services_out_of_sync` removes those that are in sync or replaced.
        self._dirty_services: dict[str, ServiceState] = {}
        self._dirty_checks: dict[str, CheckState] = {}

    def mark_service_out_of_sync(self, entry: ServiceState) -> None:
        """Mark a service as out of sync."""
        entry.in_sync = False
        self._dirty_services[entry.service.id] = entry

    def mark_check_out_of_sync(self, entry: CheckState) -> None:
        """Mark a check as out of sync."""
        entry.in_sync = False
        self._dirty_checks[entry.check.check_id] = entry

    def services_out_of_sync(self) -> dict[str, ServiceState]:
        """The services out of sync, by id, in the order of their changes. Its cost does not depend on the others."""
        self._dirty_services = _still_out_of_sync(self._dirty_services, self.services)
        return self._dirty_services

    def checks_out_of_sync(self) -> dict[str, CheckState]:
        """The checks out of sync, by id."""
        self._dirty_checks = _still_out_of_sync(self._dirty_checks, self.checks)
        return self._dirty_checks

    def overridable(self) -> set[str]:
        """Ids of services with `enable_tag_override` that are out of sync, or have a check that is."""
        of_checks = (entry.check.service_id for entry in self.checks_out_of_sync().values())
        known = (self.service(service_id) for service_id in {*self.services_out_of_sync(), *of_checks})
        return {service.id for service in known if service is not None and service.enable_tag_override}

    def live_services(self) -> dict[str, NodeService]:
        """The registered services, by id."""
        return {key: entry.service for key, entry in self.services.items() if not entry.deleted}

    def live_checks(self) -> dict[str, HealthCheck]:
        """The registered checks, by id."""
        return {key: entry.check for key, entry in self.checks.items() if not entry.deleted}

    def service(self, service_id: str) -> NodeService | None:
        """The registered service of this id, or None."""
        entry = self.services.get(service_id)
        return None if entry is None or entry.deleted else entry.service

    def check(self, check_id: str) -> HealthCheck | None:
        """The registered check of this id, or None."""
        entry = self.checks.get(check_id)
        return None if entry is None or entry.deleted else entry.check

    def checks_of(self, service_id: str) -> list[CheckState]:
        """The checks of a service ("": of the node), including deleted ones."""
        return [self.checks[check_id] for check_id in self._by_service.get(service_id, ())]

    def put_service(self, service: NodeService, token: str, from_file: bool = False) -> None:
        """Register a service, or replace the one of the same id. It is out of sync in any case."""
        old = self.services.get(service.id)
        own_tags = old.own_tags if old is not None else None
        service = self.on_registered(service, token)
        self.add_service(ServiceState(service, token, from_file, own_tags=own_tags))
        self._notify("services", ("service", service.id))

    def replace_service(self, service: NodeService) -> None:
        """Change a registered service in place."""
        entry = self.services[service.id]
        entry.service = service
        self.mark_service_out_of_sync(entry)
        self._notify("services", ("service", service.id))

    def add_service(self, entry: ServiceState) -> None:
        """Add an entry that is out of sync, also a deleted one."""
        self.services[entry.service.id] = entry
        self.mark_service_out_of_sync(entry)

    def put_check(self, check: HealthCheck, token: str, *, from_file: bool = False, is_alias: bool = False) -> None:
        """Register a check, or replace the one of the same id."""
        old = self.checks.get(check.check_id)
        if old is not None:
            self.remove_check(check.check_id)
        since = old.critical_since_s if old is not None and not old.deleted else None
        entry = CheckState(check, token, from_file, is_alias)
        if old is not None and not old.deleted:
            entry.first_result_s = old.first_result_s
        self._add(check.check_id, entry)
        if check.status == CRITICAL:
            entry.critical_since_s = self.clock.seconds() if since is None else since
        self._notify("checks", ("service", check.service_id))

    def add_unknown_check(self, check_id: str, check: HealthCheck) -> None:
        """Add a check that only the catalog has, as deleted."""
        self._add(check_id, CheckState(check, deleted=True))

    def _add(self, check_id: str, entry: CheckState) -> None:
        self.checks[check_id] = entry
        self._by_service.setdefault(entry.check.service_id, {})[check_id] = None
        self.mark_check_out_of_sync(entry)

    def delete_service(self, service_id: str) -> None:
        """Delete a service; its entry is removed after the sync."""
        self.on_removed(service_id)
        entry = self.services[service_id]
        entry.deleted = True
        self.mark_service_out_of_sync(entry)
        self._notify("services", ("service", service_id))

    def delete_check(self, check_id: str) -> None:
        """Delete a check; its entry is removed after the sync."""
        entry = self.checks[check_id]
        entry.deleted = True
        self.mark_check_out_of_sync(entry)
        _cancel_deferred(entry)
        self._notify("checks", ("service", entry.check.service_id))

    def remove_service(self, service_id: str) -> None:
        """Remove the entry of a service that the catalog no longer has, and those of its deleted checks."""
        self.services.pop(service_id, None)
        for entry in self.checks_of(service_id):
            if entry.deleted:
                self.remove_check(entry.check.check_id)

    def remove_check(self, check_id: str) -> None:
        """Remove the entry of a check that the catalog no longer has."""
        entry = self.checks.pop(check_id, None)
        if entry is not None:
            _cancel_deferred(entry)
            of_service = self._by_service[entry.check.service_id]
            del of_service[check_id]
            if not of_service:
                del self._by_service[entry.check.service_id]

    def update_check(self, check_id: str, status: str, output: str) -> bool:
        """Set status and output after a run. False if the check is not registered.

        A new status is synced immediately, a new output alone after half to one and a half times the update interval.
        """
        entry = self.checks.get(check_id)
        if entry is None or entry.deleted:
            return False
        if self.discard_check_output:
            output = ""
        if entry.first_result_s is None:
            entry.first_result_s = self.clock.seconds()
        if status != CRITICAL:
            entry.critical_since_s = None
        elif entry.critical_since_s is None:
            entry.critical_since_s = self.clock.seconds()
        old = entry.check
        if (old.status, old.output) == (status, output):
            return True
        entry.check = copy(old)  # the old one may be in use by a running call
        entry.check.status, entry.check.output = status, output
        if old.status == status and self.check_update_interval_s > 0:
            self._defer(check_id, entry)
            self.watchers.changed(["checks", ("service", old.service_id)])
            return True
        _cancel_deferred(entry)
        self.mark_check_out_of_sync(entry)
        self._notify("checks", ("service", old.service_id))
        return True

    def _defer(self, check_id: str, entry: CheckState) -> None:
        if entry.deferred is None and entry.in_sync:
            interval = self.check_update_interval_s
            delay = interval / 2 + self.rng.uniform(0, interval)
            entry.deferred = self.clock.callLater(delay, self._defer_ended, check_id, entry)

    def _defer_ended(self, check_id: str, entry: CheckState) -> None:
        entry.deferred = None
        if self.checks.get(check_id) is entry and not entry.deleted:
            self.mark_check_out_of_sync(entry)
            self.changed()

    def clear(self) -> None:
        """Remove all entries; the node is out of sync."""
        self.stop()
        keys = [*self.services, *self._by_service]
        for service_id in self.services:
            self.on_removed(service_id)
        self.services.clear()
        self.checks.clear()
        self._by_service.clear()
        self._dirty_services.clear()
        self._dirty_checks.clear()
        self.node_in_sync = False
        self._notify("services", "checks", *(("service", key) for key in dict.fromkeys(keys)))

    def stop(self) -> None:
        """Cancel all timers."""
        for entry in self.checks.values():
            _cancel_deferred(entry)

    def _notify(self, *keys: Hashable) -> None:
        self.watchers.changed(keys)
        self.changed()


def _still_out_of_sync(marked: dict[str, _Entry], known: dict[str, _Entry]) -> dict[str, _Entry]:
    return {key: entry for key, entry in marked.items() if not entry.in_sync and known.get(key) is entry}


def _cancel_deferred(entry: CheckState) -> None:
    cancel_timer(entry.deferred)
    entry.deferred = None
