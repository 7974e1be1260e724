"""`consulpy watch`: the latest result once, or a program that is run with each new one."""

import json
import os
import subprocess
import time
from typing import Any, Final
from urllib.parse import quote

from consulpy.cli.main import say
from consulpy.cli.registry import Given, Mistake, command
from consulpy.client import ClientError
from consulpy.config.goflags import Flag, switch

#: Types that only a program's own watches have, in real Consul too.
_NOT_HERE: Final = ("connect_roots", "connect_leaf", "agent_service")
#: The flags that each type reads; others are refused.
_READS: Final[dict[str, tuple[str, ...]]] = {
    "key": ("key",),
    "keyprefix": ("prefix",),
    "services": (),
    "nodes": (),
    "service": ("service", "tag", "passingonly"),
    "checks": ("service", "state"),
    "event": ("name",),
}
#: Pauses after failures while a child waits for changes, in seconds: 5, 20, 45, ... as Consul's.
_FIRST_RETRY_S: Final = 5.0
_LONGEST_RETRY_S: Final = 180.0
_TRUE: Final = ("1", "t", "T", "true", "True", "TRUE")
#: The fields of a key, in the order of the real program.
_ENTRY: Final = ("Key", "CreateIndex", "ModifyIndex", "LockIndex", "Flags", "Value", "Session")
_STRING: Final = {"default": "", "placeholder": "string"}


@command(
    "watch",
    "Watch for changes in the cluster",
    usage="watch [options] [child...]",
    about="""
Watches for changes in a given data view. If a child process
is specified, it will be invoked with the latest results on changes. Otherwise,
the latest values are dumped to stdout and the watch terminates.

Providing the watch type is required, and other parameters may be required
or supported depending on the watch type.
""",
    flags=[
        Flag("key", "Specifies the key to watch. Only for 'key' type.", **_STRING),  # type: ignore[arg-type]
        Flag("name", "Specifies an event name to watch. Only for 'event' type.", **_STRING),  # type: ignore[arg-type]
        Flag(
            "passingonly",
            "Specifies if only hosts passing all checks are displayed. Optional for 'service' type, must be one of "
            "`[true|false]`. Defaults false.",
            default="",
            placeholder="[true|false]",
        ),
        Flag("prefix", "Specifies the key prefix to watch. Only for 'keyprefix' type.", **_STRING),  # type: ignore[arg-type]
        Flag(
            "service",
            "Specifies the service to watch. Required for 'service' type, optional for 'checks' type.",
            **_STRING,  # type: ignore[arg-type]
        ),
        Flag(
            "shell",
            "Use a shell to run the command (can set a custom shell via the SHELL environment variable).",
            switch,
            default=True,
        ),
        Flag("state", "Specifies the states to watch. Optional for 'checks' type.", **_STRING),  # type: ignore[arg-type]
        Flag(
            "tag",
            "Specifies the service tag(s) to filter on. Optional for 'service' type. May be specified multiple times",
            many=True,
        ),
        Flag(
            "type",
            "Specifies the watch type. One of key, keyprefix, services, nodes, service, checks, or event.",
            **_STRING,  # type: ignore[arg-type]
        ),
    ],
    asks_agent=True,
    asks_servers=True,
    stop_at_argument=True,
)
def watch(given: Given) -> int:
    """Ask once, or again and again."""
    if not given.values["type"]:
        raise Mistake("Watch type must be specified")
    try:
        path, params = _question(given.values)
    except ValueError as error:
        given.err(str(error))
        return 1
    params |= given.query
    index, before, failures = 0, None, 0
    while True:
        try:
            found_index, result = given.client.watch(path, params, index)
        except ClientError as error:
            say(error, "Error querying agent")
            if not given.arguments:
                return 1
            failures += 1
            time.sleep(min(_FIRST_RETRY_S * failures**2, _LONGEST_RETRY_S))
            continue
        failures, result = 0, _shown(given.values["type"], result)
        if not given.arguments:
            given.out(json.dumps(result, indent=4))
            return 0
        if result != before or index == 0:
            _run(given, found_index, result)
        before = result
        index = found_index if found_index >= index else 0  # an index that goes back means: begin anew


def _question(values: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """Path and parameters. Raises `ValueError` with Consul's text."""
    kind = values["type"]
    if kind in _NOT_HERE:
        raise ValueError(f"Type {kind} is not supported in the CLI tool")
    if kind not in _READS:
        raise ValueError(f"Unsupported watch type: {kind}")
    path, params = _OF_KEYS[kind](values) if kind in _OF_KEYS else _of_catalog(kind, values)
    others = [name for name in ("key", "name", "prefix", "service", "state", "tag") if name not in _READS[kind]]
    unused = [name for name in (*others, "passingonly") if values[name] and name not in _READS[kind]]
    if unused:
        raise ValueError(f"Invalid parameters: [{' '.join(unused)}]")
    return path, params


def _key(values: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    if not values["key"]:
        raise ValueError("Must specify a single key to watch")
    return f"/v1/kv/{quote(values['key'], safe='/:')}", {}


def _prefix(values: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    if not values["prefix"]:
        raise ValueError("Must specify a single prefix to watch")
    return f"/v1/kv/{quote(values['prefix'], safe='/:')}", {"recurse": ""}


_OF_KEYS: Final = {"key": _key, "keyprefix": _prefix}


def _of_catalog(kind: str, values: dict[str, Any]) -> tuple[str, dict[str, Any]]:
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


def _shown(kind: str, result: Any) -> Any:
    """As real Consul hands it on: one key as such, and no session as an empty text."""
    if kind not in _OF_KEYS or result is None:
        return result
    entries = [{name: entry.get(name, "") for name in _ENTRY} for entry in result]
    return entries[0] if kind == "key" else entries


def _run(given: Given, index: int, result: Any) -> None:
    """Run the child with the result on its standard input, and wait for it."""
    child: list[str] = given.arguments
    if given.values["shell"]:
        child = [os.environ.get("SHELL", "/bin/sh"), "-c", " ".join(given.arguments)]
    environment = {**os.environ, "CONSUL_INDEX": str(index)}
    try:
        subprocess.run(child, input=json.dumps(result).encode(), env=environment, check=False)
    except OSError as error:
        given.err(f"Error executing handler: {error}")
