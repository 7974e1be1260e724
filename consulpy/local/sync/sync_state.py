"""The services and checks of this agent, each with its state of synchronisation with the catalog.

Only tables and flags: what may be registered is decided by `state.py`, when to synchronise by `antientropy.py`. A
deleted entry stays, marked, until the catalog has forgotten it. Source of the rules: docs/wire/rpc.md section 9.
"""

from collections.abc import Callable, Hashable
from copy import copy
from dataclasses import dataclass
from random import Random
from typing import TypeVar

from consulpy.clock import Clock, Timer
from consulpy.state.watch import WatchRegistry
from consulpy.structs.check import CRITICAL, HealthCheck
from consulpy.structs.node import Node
from consulpy.structs.service import NodeService


@dataclass(slots=True, eq=False)
class ServiceState:
    """A service of this agent. `token`: what it was registered with ("": the agent's own)."""

    service: NodeService
    token: str = ""
    in_sync: bool = False
    deleted: bool = False
    #: The tags of ours that the catalog had last (None: not known), and whether those of `service` are not ours but the
    #: catalog's, where somebody else has set them (EnableTagOverride).
    own_tags: list[str] | None = None
    tags_overridden: bool = False


@dataclass(slots=True, eq=False)
class CheckState:
    """A check of this agent. `critical_since_s`: clock time, None while it is not critical."""

    check: HealthCheck
    token: str = ""
    in_sync: bool = False
    deleted: bool = False
    critical_since_s: float | None = None
    #: Runs while a change of nothing but the output waits to be told.
    deferred: Timer | None = None


_Entry = TypeVar("_Entry", ServiceState, CheckState)


class Entries:
    """All services and checks by id, deleted ones included until the catalog knows.

    `node`: this agent as the catalog has it. `changed` is called after every change that the catalog should hear of.
    Readers wait at `watchers` under `("service", id)` (anything about that service or its checks), `"services"`,
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
        self.check_update_interval_s = check_update_interval_s
        self.discard_check_output = discard_check_output
        self.clock = clock
        self.rng = rng
        self._by_service: dict[str, dict[str, None]] = {}
        #: Who may be out of sync, by id; who is again, or was replaced, goes when `services_to_tell` looks.
        self._untold_services: dict[str, ServiceState] = {}
        self._untold_checks: dict[str, CheckState] = {}

    def service_untold(self, entry: ServiceState) -> None:
        """The catalog does not know what this service is now."""
        entry.in_sync = False
        self._untold_services[entry.service.id] = entry

    def check_untold(self, entry: CheckState) -> None:
        """The catalog does not know what this check is now."""
        entry.in_sync = False
        self._untold_checks[entry.check.check_id] = entry

    def services_to_tell(self) -> dict[str, ServiceState]:
        """The services that are out of sync, by id, in the order in which they came to be. Costs nothing for others."""
        self._untold_services = _still_untold(self._untold_services, self.services)
        return self._untold_services

    def checks_to_tell(self) -> dict[str, CheckState]:
        """The checks that are out of sync."""
        self._untold_checks = _still_untold(self._untold_checks, self.checks)
        return self._untold_checks

    def overridable(self) -> set[str]:
        """The services that are to be told, or checks of which are, and whose tags others may set in the catalog."""
        of_checks = (entry.check.service_id for entry in self.checks_to_tell().values())
        known = (self.service(service_id) for service_id in {*self.services_to_tell(), *of_checks})
        return {service.id for service in known if service is not None and service.enable_tag_override}

    def live_services(self) -> dict[str, NodeService]:
        """The services that are registered now, by id."""
        return {key: entry.service for key, entry in self.services.items() if not entry.deleted}

    def live_checks(self) -> dict[str, HealthCheck]:
        """The checks that are registered now, by id."""
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
        """The checks of a service, deleted ones included, or of the node by itself (no id)."""
        return [self.checks[check_id] for check_id in self._by_service.get(service_id, ())]

    def put_service(self, service: NodeService, token: str) -> None:
        """Register a service, or replace the one of the same id. The catalog is told in any case."""
        old = self.services.get(service.id)
        own_tags = old.own_tags if old is not None else None
        self.add_service(ServiceState(service, token, own_tags=own_tags))
        self._notify("services", ("service", service.id))

    def add_service(self, entry: ServiceState) -> None:
        """Hold a service that the catalog is to be told of, be it that it is deleted."""
        self.services[entry.service.id] = entry
        self.service_untold(entry)

    def put_check(self, check: HealthCheck, token: str) -> None:
        """Register a check, or replace the one of the same id."""
        old = self.checks.get(check.check_id)
        if old is not None:
            self.forget_check(check.check_id)
        since = old.critical_since_s if old is not None and not old.deleted else None
        entry = CheckState(check, token)
        self._add(check.check_id, entry)
        if check.status == CRITICAL:
            entry.critical_since_s = self.clock.seconds() if since is None else since
        self._notify("checks", ("service", check.service_id))

    def put_stranger(self, check_id: str, check: HealthCheck) -> None:
        """The catalog has a check that we don't know: to be deleted there."""
        self._add(check_id, CheckState(check, deleted=True))

    def _add(self, check_id: str, entry: CheckState) -> None:
        self.checks[check_id] = entry
        self._by_service.setdefault(entry.check.service_id, {})[check_id] = None
        self.check_untold(entry)

    def delete_service(self, service_id: str) -> None:
        """Mark a service for deletion from the catalog; it counts as gone at once."""
        entry = self.services[service_id]
        entry.deleted = True
        self.service_untold(entry)
        self._notify("services", ("service", service_id))

    def delete_check(self, check_id: str) -> None:
        """Mark a check for deletion from the catalog; it counts as gone at once."""
        entry = self.checks[check_id]
        entry.deleted = True
        self.check_untold(entry)
        _cancel_deferred(entry)
        self._notify("checks", ("service", entry.check.service_id))

    def forget_service(self, service_id: str) -> None:
        """The catalog no longer has it, and with it went its deleted checks."""
        self.services.pop(service_id, None)
        for entry in self.checks_of(service_id):
            if entry.deleted:
                self.forget_check(entry.check.check_id)

    def forget_check(self, check_id: str) -> None:
        """The catalog no longer has it."""
        entry = self.checks.pop(check_id, None)
        if entry is not None:
            _cancel_deferred(entry)
            of_service = self._by_service[entry.check.service_id]
            del of_service[check_id]
            if not of_service:
                del self._by_service[entry.check.service_id]

    def update_check(self, check_id: str, status: str, output: str) -> bool:
        """A check ran: note its status and output. False if nothing of it is registered.

        A new status is told at once; a new output alone after half to one and a half times the update interval.
        """
        entry = self.checks.get(check_id)
        if entry is None or entry.deleted:
            return False
        if self.discard_check_output:
            output = ""
        if status != CRITICAL:
            entry.critical_since_s = None
        elif entry.critical_since_s is None:
            entry.critical_since_s = self.clock.seconds()
        old = entry.check
        if (old.status, old.output) == (status, output):
            return True
        entry.check = copy(old)  # the old one may be on its way in a call
        entry.check.status, entry.check.output = status, output
        if old.status == status and self.check_update_interval_s > 0:
            self._defer(check_id, entry)
            self.watchers.changed(["checks", ("service", old.service_id)])
            return True
        _cancel_deferred(entry)
        self.check_untold(entry)
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
            self.check_untold(entry)
            self.changed()

    def stop(self) -> None:
        """Cancel all timers."""
        for entry in self.checks.values():
            _cancel_deferred(entry)

    def _notify(self, *keys: Hashable) -> None:
        self.watchers.changed(keys)
        self.changed()


def _still_untold(marked: dict[str, _Entry], known: dict[str, _Entry]) -> dict[str, _Entry]:
    return {key: entry for key, entry in marked.items() if not entry.in_sync and known.get(key) is entry}


def _cancel_deferred(entry: CheckState) -> None:
    timer, entry.deferred = entry.deferred, None
    if timer is not None and timer.active():
        timer.cancel()
