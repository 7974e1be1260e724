"""Consul's metric names of commands."""

from functools import cache, lru_cache
from typing import Final

from consulpy.state.commands import Command

#: By class: the metric of its application (`fsm.`), and of the whole write until its result.
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
    """The sample of an applied command, labelled with its operation where it has one."""
    op = getattr(getattr(command, "body", None), "op", None)
    name, labels = _applied(type(command).__name__, op if op is None else str(op))
    return name, took_ms, labels


@lru_cache
def _applied(kind: str, op: str | None) -> tuple[str, dict[str, str] | None]:
    name = f"fsm.{_NAMES[kind][0] if kind in _NAMES else kind.lower()}"
    return name, None if op is None else {"op": op}


def submitted(command: Command) -> str:
    """The name of the sample of a whole write."""
    return _submitted(type(command).__name__)


@cache
def _submitted(kind: str) -> str:
    return _NAMES[kind][1] if kind in _NAMES else f"{kind.lower()}.apply"
