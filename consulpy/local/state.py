"""`LocalState`: registration of the services and checks of this agent (Consul: `agent/local`).

The path of a registration: HTTP -> `definitions` -> here: `validation`, the data directory (`persist`), the tables
(`entries`), the running check -> `sync`. A registration is atomic: validated, then stored, then carried out.
"""

from collections.abc import Callable
from copy import copy
from dataclasses import field
from ipaddress import ip_address
from random import Random
from typing import Final

from consulpy.clock import Clock
from consulpy.codec.lazy_dataclass import dataclass
from consulpy.errors import BadRequest, NotFound, RPCError
from consulpy.gocompat.literals import quoted
from consulpy.group_commit import Call, Later, Run, run_inline
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
from consulpy.local.persist.transactions import Transactions
from consulpy.local.sidecar import ID_SUFFIX, PORTS, complete
from consulpy.local.sync.sync_state import Entries
from consulpy.local.validation import check_definition, check_service, check_type
from consulpy.log import Logger
from consulpy.structs.check import CRITICAL, NODE_MAINTENANCE, SERVICE_MAINTENANCE, HealthCheck
from consulpy.structs.definition import CheckDefinition, CheckType, ServiceDefinition
from consulpy.structs.node import Node
from consulpy.structs.running_check import CheckStarter, RunningCheck
from consulpy.structs.service import NodeService, ServiceAddress, Weights

_log = Logger()

#: Default limit of a check's output, in bytes.
OUTPUT_MAX_BYTES: Final = 4096
_SECOND_NS: Final = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Scripts:
    """Whether checks that run programs may be registered: over HTTP (`remote`), in configuration files (`local`)."""

    remote: bool = False
    local: bool = False


@dataclass(slots=True)
class _Run:
    """The type of a registered check, and its run, if it is started."""

    type: CheckType
    running: RunningCheck | None


@dataclass(slots=True)
class _Plan:
    """The changes of one registration. `removed`: ids of checks to remove. `local`: it is from the configuration."""

    services: list[tuple[NodeService, str]] = field(default_factory=list)
    checks: list[tuple[HealthCheck, CheckType | None, str]] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    local: bool = False


class LocalState:
    """The services and checks of this agent.

    `node`: the agent's node record. `files`: the data directory, None in development mode. `starter`: runs the checks;
    None: their status is only set from outside. `wall_s()`: seconds since 1970.
    `run`, `hand_back`, `call`, `later`: to the disk thread and back (`consulpy.group_commit`).
    """

    def __init__(
        self,
        node: Node,
        clock: Clock,
        rng: Random,
        *,
        check_update_interval_s: float = 300.0,
        discard_check_output: bool = False,
        files: Files | None = None,
        starter: CheckStarter | None = None,
        wall_s: Callable[[], float] = lambda: 0.0,
        scripts: Scripts | None = None,
        run: Run | None = None,
        hand_back: Run = run_inline,
        call: Call | None = None,
        later: Later = run_inline,
    ) -> None:
        self.entries = Entries(
            node,
            clock,
            rng,
            check_update_interval_s=check_update_interval_s,
            discard_check_output=discard_check_output,
        )
        self._transactions = Transactions(files, clock, run, hand_back, call, later)
        #: `submit(change)`: `change` calls one of the methods below, stored together with others; a Deferred of its
        #: result. A method that is called directly waits for the disk.
        self.submit = self._transactions.submit
        #: Starts checks; may be set later, but before the first registration.
        self.starter = starter
        self._wall_s = wall_s
        self._scripts = scripts or Scripts()
        self._runs: dict[str, _Run] = {}
        #: The ports for sidecars without one.
        self.sidecar_ports = PORTS
        #: Ids registered by the configuration; these are not stored.
        self.configured_services: set[str] = set()
        self.configured_checks: set[str] = set()

    @property
    def services(self) -> dict[str, NodeService]:
        """The registered services by id. Read-only."""
        return self.entries.live_services()

    @property
    def checks(self) -> dict[str, HealthCheck]:
        """The registered checks by id. Read-only."""
        return self.entries.live_checks()

    def type_of(self, check_id: str) -> CheckType | None:
        """The type of a check; None for one that is not run (maintenance), or unknown."""
        run = self._runs.get(check_id)
        return run.type if run is not None else None

    # -- services

    def register_service(
        self, definition: ServiceDefinition, *, local: bool = False, replace_existing_checks: bool = False
    ) -> None:
        """Register a service with its checks (and its sidecar), or replace the one of the same id.

        `local`: it is from the agent's configuration. Raises `BadRequest`, or `RPCError` where scripts are off or it
        cannot be stored; nothing is changed then.
        """
        plan = _Plan(local=local)
        service_id = definition.service.id or definition.service.service
        self._transactions.claim(_service(service_id), _service(service_id + ID_SUFFIX))
        self._plan_service(definition, plan, replace_existing_checks)
        if definition.sidecar is not None:
            self._transactions.claim(_SIDECARS)
            self._plan_service(complete(definition, self.services, self.sidecar_ports), plan, replace_existing_checks)
        self._commit(plan)

    def _plan_service(self, definition: ServiceDefinition, plan: _Plan, replace_checks: bool) -> None:
        check_service(definition, from_api=not plan.local)
        service = copy(definition.service)
        service.id = service.id or service.service
        service.weights = service.weights or Weights()
        service.tagged_addresses = _tagged(service)
        plan.services.append((service, definition.token))
        wanted = set()
        for position, kind in enumerate(definition.checks, 1):
            self._allow(kind, plan.local)
            alone = len(definition.checks) == 1
            check_id = kind.check_id or (f"service:{service.id}" if alone else f"service:{service.id}:{position}")
            check = HealthCheck(
                check_id=check_id,
                name=kind.name or f"Service '{service.service}' check",
                status=kind.status,
                notes=kind.notes,
            )
            wanted.add(check_id)
            self._transactions.claim(_check(check_id))
            plan.checks.append((self._completed(check, kind.kind, service), kind, definition.token))
        if replace_checks:
            removed = [check_id for check_id in self._checks_of(service.id) if check_id not in wanted]
            self._transactions.claim(*map(_check, removed))
            plan.removed += removed

    def _checks_of(self, service_id: str) -> list[str]:
        return [entry.check.check_id for entry in self.entries.checks_of(service_id) if not entry.deleted]

    def deregister_service(self, service_id: str) -> None:
        """Remove a service with its checks and its sidecar; an unknown id is not an error. Raises `RPCError`."""
        if not service_id:
            raise RPCError("ServiceID missing")
        self._transactions.claim(_service(service_id), _service(service_id + ID_SUFFIX))
        doomed = [service_id]
        sidecar = self.entries.service(service_id + ID_SUFFIX)
        if sidecar is not None and sidecar.locally_registered_as_sidecar:
            doomed.append(sidecar.id)
        checks = [check_id for each in doomed for check_id in self._checks_of(each)]
        self._transactions.claim(*map(_check, checks))
        changes: dict[str, bytes | None] = {path_of(SERVICES, each): None for each in doomed}
        for check_id in checks:
            changes |= {path_of(CHECKS, check_id): None, path_of(STATES, check_id): None}

        def remove() -> None:
            for check_id in checks:
                self._drop_check(check_id)
            for each in doomed:
                self.configured_services.discard(each)
                if self.entries.service(each) is not None:
                    self.entries.delete_service(each)

        self._transactions.write(changes, remove)

    # -- checks

    def register_check(self, definition: CheckDefinition, *, local: bool = False) -> None:
        """Register a check of the node or of a registered service. Raises `BadRequest` and `RPCError`."""
        check, kind = definition.check, definition.type
        if not local:
            check_definition(definition)
        elif not check.name and not check.check_id:
            raise BadRequest("Missing check name")
        check_type(kind)
        service = None
        self._transactions.claim(_check(check.check_id or check.name), _service(check.service_id))
        if check.service_id:
            service = self.entries.service(check.service_id)
            if service is None:
                raise RPCError(f"ServiceID {quoted(check.service_id)} does not exist")
        self._allow(kind, local)
        check.check_id = check.check_id or check.name
        plan = _Plan(local=local)
        shown = "" if local else kind.kind  # seen in Consul
        plan.checks.append((self._completed(check, shown, service), kind, definition.token))
        self._commit(plan)

    def deregister_check(self, check_id: str) -> None:
        """Remove a check; an unknown id is not an error. Raises `RPCError`."""
        if not check_id:
            raise RPCError("CheckID missing")
        self._transactions.claim(_check(check_id))
        changes: dict[str, bytes | None] = {path_of(CHECKS, check_id): None, path_of(STATES, check_id): None}
        self._transactions.write(changes, lambda: self._drop_check(check_id))

    def update_ttl(self, check_id: str, status: str, output: str) -> None:
        """Set the status of a TTL check. Raises `RPCError` for a check of another type."""
        self._transactions.claim(_check(check_id))
        run = self._runs.get(check_id)
        if run is None or run.type.kind != "ttl" or run.running is None:
            raise RPCError(f"CheckID {quoted(check_id)} does not have associated TTL")
        run.running.update(status, output)
        check = self.entries.check(check_id)
        if check is not None:
            expires_s = int(self._wall_s() + run.type.ttl / _SECOND_NS)
            state = PersistedCheckState(check_id, check.output, check.status, expires_s)
            self._transactions.write({path_of(STATES, check_id): state.pack()}, _no_effect, durable=False)

    def _allow(self, kind: CheckType, local: bool) -> None:
        """Raise for a check that is not permitted or cannot run here."""
        if self.starter is not None:
            self.starter.check_type(kind)
        if not kind.script_args or self._scripts.remote or (local and self._scripts.local):
            return
        if local:
            raise RPCError(
                "Scripts are disabled on this agent; to enable, configure 'enable_script_checks' or "
                "'enable_local_script_checks' to true"
            )
        raise RPCError(
            "Scripts are disabled on this agent from remote calls; to enable, configure 'enable_script_checks' to true"
        )

    def _completed(self, check: HealthCheck, kind: str, service: NodeService | None) -> HealthCheck:
        """`check` with node, type and service; status and output are those of the registered check, if there is one."""
        completed = copy(check)
        completed.node = self.entries.node.node
        completed.type = kind
        completed.status = check.status or CRITICAL
        before = self.entries.check(check.check_id)
        if before is not None:
            completed.status, completed.output = before.status, before.output
        if service is not None:
            completed.service_id, completed.service_name = service.id, service.service
            completed.service_tags = service.tags
        return completed

    # -- maintenance

    def set_node_maintenance(self, enable: bool, reason: str = "", token: str = "") -> None:
        """Turn maintenance mode of the node (a critical check) on or off. Idempotent."""
        default = "Maintenance mode is enabled for this node, but no reason was provided. This is a default message."
        self._set_maintenance(NODE_MAINTENANCE, "Node Maintenance Mode", None, enable, reason or default, token)

    def set_service_maintenance(self, service_id: str, enable: bool, reason: str = "", token: str = "") -> None:
        """Turn maintenance mode of a service on or off. Raises `NotFound`."""
        self._transactions.claim(_service(service_id))
        service = self.entries.service(service_id)
        if service is None:
            raise NotFound(f"No service registered with ID {quoted(service_id)}")
        default = "Maintenance mode is enabled for this service, but no reason was provided. This is a default message."
        check_id = f"{SERVICE_MAINTENANCE}:{service_id}"
        self._set_maintenance(check_id, "Service Maintenance Mode", service, enable, reason or default, token)

    def _set_maintenance(
        self, check_id: str, name: str, service: NodeService | None, enable: bool, reason: str, token: str
    ) -> None:
        self._transactions.claim(_check(check_id))
        known = self.entries.check(check_id) is not None
        if enable and not known:
            check = HealthCheck(check_id=check_id, name=name, notes=reason, status=CRITICAL)
            plan = _Plan(checks=[(self._completed(check, "maintenance", service), None, token)])
            self._commit(plan)
        elif known and not enable:
            self.deregister_check(check_id)

    # -- carrying out

    def _commit(self, plan: _Plan) -> None:
        changes: dict[str, bytes | None] = {}
        for service, token in plan.services:
            saved = PersistedService(service, token, service.locally_registered_as_sidecar)
            changes[path_of(SERVICES, service.id)] = None if plan.local else saved.pack()
        for check, kind, token in plan.checks:
            saved_check = PersistedCheck(check, kind, token)
            changes[path_of(CHECKS, check.check_id)] = None if plan.local else saved_check.pack()
        for check_id in plan.removed:
            changes |= {path_of(CHECKS, check_id): None, path_of(STATES, check_id): None}
        self._transactions.write(changes, lambda: self._carry_out(plan))

    def _carry_out(self, plan: _Plan) -> None:
        for service, token in plan.services:
            self.entries.put_service(service, token, plan.local)
            (self.configured_services.add if plan.local else self.configured_services.discard)(service.id)
        for check, kind, token in plan.checks:
            (self.configured_checks.add if plan.local else self.configured_checks.discard)(check.check_id)
            now = self.entries.check(check.check_id)
            if now is not None:  # it may have run while this was stored
                check.status, check.output = now.status, now.output
            self._put_check(check, kind, token, plan.local)
        for check_id in plan.removed:
            self._drop_check(check_id)

    def adopt_service(self, service: NodeService, token: str) -> None:
        """Add a service found on disk, without validating or storing it."""
        self.entries.put_service(service, token)

    def adopt_check(self, check: HealthCheck, kind: CheckType | None, token: str, source: str) -> None:
        """Add a check found on disk, without storing it, and start it.

        What may not run here any more, as a script where scripts are disabled now, is critical and is not run.
        """
        self._put_check(check, kind, token, source=source)

    def _put_check(
        self, check: HealthCheck, kind: CheckType | None, token: str, from_file: bool = False, source: str = ""
    ) -> None:
        """`source`: of a check found on disk."""
        self._stop_run(check.check_id)
        is_alias = kind is not None and kind.is_alias
        self.entries.put_check(check, token, from_file=from_file, is_alias=is_alias)
        if kind is None:
            return
        run = self._runs[check.check_id] = _Run(kind, None)
        if self.starter is not None:

            def report(status: str, output: str) -> None:
                if self._runs.get(check.check_id) is run:  # else: the late result of a replaced run
                    _log_status(self.entries.check(check.check_id), status)
                    self.entries.update_check(check.check_id, status, output)

            try:
                if source:
                    self._allow(kind, source == "local")
                    if kind.kind:  # others are named by the starter
                        check_type(kind)
                run.running = self.starter.start(check.check_id, kind, check.service_id, report)
            except RPCError as error:  # found on disk, and not possible here any more
                _log.warn("check {check} is not run: {error}", check=check.check_id, error=str(error))
                report(CRITICAL, str(error))

    def _drop_check(self, check_id: str) -> None:
        self._stop_run(check_id)
        self.configured_checks.discard(check_id)
        if self.entries.check(check_id) is not None:
            self.entries.delete_check(check_id)

    def _stop_run(self, check_id: str) -> None:
        run = self._runs.pop(check_id, None)
        if run is not None and run.running is not None:
            run.running.stop()
            run.running = None  # breaks the reference cycle run - `report`

    def clear(self) -> None:
        """Remove all services and checks, also from the data directory; the catalog is not notified."""
        for service_id in [key for key in self.services if self._transactions.stores]:
            self.deregister_service(service_id)
        for check_id in [key for key in self.checks if self._transactions.stores]:
            self.deregister_check(check_id)
        for check_id in list(self._runs):
            self._stop_run(check_id)
        self.configured_services.clear()
        self.configured_checks.clear()
        self.entries.clear()

    def stop(self) -> None:
        """Store what is queued, and stop all checks and timers; registrations stay."""
        self._transactions.close()
        for check_id in list(self._runs):
            self._stop_run(check_id)
        self.entries.stop()


def _log_status(check: HealthCheck | None, status: str) -> None:
    """Log a change of a check's status; at trace level, a result without one."""
    if check is None:
        return
    if check.status == status:
        _log.debug("check {check} is still {status}", check=check.check_id, status=status, trace=True)
    else:
        _log.info("check {check} is now {status}", check=check.check_id, status=status)


def _service(service_id: str) -> str:
    """The name of a service for `Transactions.claim`."""
    return f"service {service_id}"


def _check(check_id: str) -> str:
    return f"check {check_id}"


#: The name of the sidecars' ports for `Transactions.claim`.
_SIDECARS: Final = "sidecars"


def _no_effect() -> None:
    """The effect of a change that is already carried out."""


def _tagged(service: NodeService) -> dict[str, ServiceAddress] | None:
    """The tagged addresses, with the defaults that follow from the service's address."""
    tagged = dict(service.tagged_addresses or {})
    try:
        version = ip_address(service.address).version
    except ValueError:
        return tagged or None
    for name in (f"lan_ipv{version}", f"wan_ipv{version}"):
        tagged.setdefault(name, ServiceAddress(service.address, service.port))
    return tagged
