"""The query of a watch, by its type and parameters, and the form of its result. Source: Consul 1.8.7."""

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote

from consulpy.client.api import key_path
from consulpy.client.go_structs import RESULTS

#: Types of which the answer is the agent's own: for watches of its configuration only, as in Consul.
_OF_AGENT: Final = ("connect_roots", "connect_leaf", "agent_service")
#: The parameters of each type; others are refused. `filter` came with Consul 1.15.5.
_READS: Final[dict[str, tuple[str, ...]]] = {
    "key": ("key", "stale"),
    "keyprefix": ("prefix", "stale"),
    "services": ("stale", "filter"),
    "nodes": ("stale", "filter"),
    "service": ("service", "tag", "passingonly", "stale", "filter"),
    "checks": ("service", "state", "stale", "filter"),
    "event": ("name",),
    "connect_roots": (),
    "connect_leaf": ("service",),
    "agent_service": ("service_id",),
}
#: All parameters, in the order in which they are named.
PARAMETERS: Final = (
    "key", "name", "prefix", "service", "service_id", "state", "tag", "passingonly", "stale", "filter",
)  # fmt: skip
_TRUE: Final = ("1", "t", "T", "true", "True", "TRUE")

#: The first pause after failures, which grows with the square of their number, and the longest, in seconds.
_FIRST_RETRY_S: Final = 5.0
_LONGEST_RETRY_S: Final = 180.0


def retry_pause_s(failures: int) -> float:
    """The pause of a watch after `failures` in a row: 5, 20, 45 ... 180 s. Source: Consul's watch plan."""
    return min(_FIRST_RETRY_S * failures**2, _LONGEST_RETRY_S)


def watch_query(values: Mapping[str, Any], *, in_agent: bool = False) -> tuple[str, dict[str, Any]]:
    """Path and query parameters. `in_agent`: of the configuration. Raises `ValueError` with Consul's text."""
    kind = values["type"]
    if kind in _OF_AGENT and not in_agent:
        raise ValueError(f"Type {kind} is not supported in the CLI tool")
    if kind not in _READS:
        raise ValueError(f"Unsupported watch type: {kind}")
    path, params = _of_agent(kind, values) if kind in _OF_AGENT else _of_servers(kind, values)
    unused = [name for name in PARAMETERS if values.get(name) and name not in _READS[kind]]
    if unused:
        raise ValueError(f"Invalid parameters: [{' '.join(unused)}]")
    return path, params


def _of_servers(kind: str, values: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    path, params = _OF_KEYS[kind](values) if kind in _OF_KEYS else _of_catalog(kind, values)
    if "stale" in _READS[kind] and values.get("stale"):
        params["stale"] = "1"
    if "filter" in _READS[kind] and values.get("filter"):
        params["filter"] = values["filter"]
    return path, params


def _of_agent(kind: str, values: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    if kind == "connect_roots":
        return "/v1/agent/connect/ca/roots", {}
    (name,) = _READS[kind]
    if not values[name]:
        raise ValueError(f"Must specify a single {name} to watch")
    place = "connect/ca/leaf" if kind == "connect_leaf" else "service"
    return f"/v1/agent/{place}/{quote(values[name], safe='')}", {}


def _key(values: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    if not values["key"]:
        raise ValueError("Must specify a single key to watch")
    return key_path(values["key"]), {}


def _prefix(values: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    if not values["prefix"]:
        raise ValueError("Must specify a single prefix to watch")
    return key_path(values["prefix"]), {"recurse": ""}


_OF_KEYS: Final = {"key": _key, "keyprefix": _prefix}


def _of_catalog(kind: str, values: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    service, state = values["service"], values["state"]
    if kind == "services":
        return "/v1/catalog/services", {}
    if kind == "nodes":
        return "/v1/catalog/nodes", {}
    if kind == "event":
        return "/v1/event/list", {"name": values["name"] or None}
    if kind == "service":
        if not service:
            raise ValueError("Must specify a single service to watch")
        passing = values["passingonly"]
        if passing not in ("", *_TRUE, "0", "f", "F", "false", "False", "FALSE"):
            raise ValueError(
                f'Failed to parse passingonly flag: strconv.ParseBool: parsing "{passing}": invalid syntax'
            )
        params = {"tag": values["tag"] or None, "passing": "1" if passing in _TRUE else None}
        return f"/v1/health/service/{service}", params
    if service and state:
        raise ValueError("Cannot specify service and state")
    return (f"/v1/health/checks/{service}" if service else f"/v1/health/state/{state or 'any'}"), {}


class Watched:
    """What a watch of type `kind` has seen, and what is new in an answer. Source: Consul's watch plan.

    `position`: index, or hash, of the last answer, for the next query; None before the first, and after a failure: the
    agent that answers then may count anew. `result`: what the handler gets.
    """

    def __init__(self, kind: str) -> None:
        self._kind = kind
        self.position: int | str | None = None
        self.result: Any = None

    def is_news(self, position: int | str, answer: Any) -> bool:
        """Take an answer; whether the handler is to be called. Raises `ValueError` for an answer that is none."""
        before = self.position
        if position == before:
            return False
        result = RESULTS.get(self._kind, lambda found: found)(answer)
        if self._kind == "event" and result and isinstance(before, int):
            result = _after(before, result)
        self.position = position
        if before is not None and result == self.result:
            return False
        self.result = result
        return True

    def failed(self) -> None:
        """Query from the start again."""
        self.position = None


def _after(index: int, events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The events behind the one with this index; all, if it is no longer there."""
    for place, event in enumerate(events, 1):
        if _event_index(event["ID"]) == index:
            return events[place:]
    return events


def _event_index(event_id: str) -> int:
    """The index of the answer whose last event has this UUID: its halves, combined by exclusive or."""
    both = int(event_id.replace("-", ""), 16)
    return both >> 64 ^ both & (1 << 64) - 1
