"""Under which of Consul's names a command is measured."""

from typing import Final

from consulpy.state.commands import Command

#: By class: what is measured when it is applied (`fsm.`), and when it was submitted, until its result was there.
_NAMES: Final = {
    "Register": ("register", "catalog.register"),
    "Deregister": ("deregister", "catalog.deregister"),
    "KVS": ("kvs", "kvs.apply"),
    "Session": ("session", "session.apply"),
    "Txn": ("txn", "txn.apply"),
    "PreparedQuery": ("prepared-query", "prepared-query.apply"),
    "Intention": ("intention", "intention.apply"),
    "ConfigEntry": ("config_entry", "config_entry.apply"),
    "CoordinateBatchUpdate": ("coordinate.batch-update", "coordinate.batch-update"),
    "Autopilot": ("autopilot", "autopilot.apply"),
    "Tombstone": ("tombstone", "tombstone.apply"),
    "FederationState": ("federation_state", "federation_state.apply"),
}


def applied(command: Command, took_ms: float) -> tuple[str, float, dict[str, str] | None]:
    """The sample of a command that was applied, with its operation as a label where it has one."""
    kind = type(command).__name__
    name = _NAMES[kind][0] if kind in _NAMES else kind.lower()
    op = getattr(getattr(command, "body", None), "op", None)
    return f"fsm.{name}", took_ms, {"op": str(op)} if op is not None else None


def submitted(command: Command) -> str:
    """The name of the sample of a whole write."""
    kind = type(command).__name__
    return _NAMES[kind][1] if kind in _NAMES else f"{kind.lower()}.apply"
