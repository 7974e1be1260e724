"""Durable writes: PUTs per second at 1, 16 and 64 connections, of new values under 64 names."""

from pathlib import Path

import load_generators
from processes import Running
from report import Row, Sample
from task import Settings, Task, task

CONNECTIONS = (1, 16, 64)
#: Row -> path and body in Lua, where `n` counts and `at` is n % 64; target at 1 connection, and at more.
PUTS = {
    "agent/service/register": (
        '"/v1/agent/service/register"',
        """'{"Name": "written-' .. at .. '", "Port": ' .. (1 + n % 60000) .. '}'""",
        (">= 2", ">= 2"),
    ),
    "catalog/register, a node": (
        '"/v1/catalog/register"',
        """'{"Node": "written-' .. at .. '", "Address": "10.7.0.1", "NodeMeta": {"n": "' .. n .. '"}}'""",
        (">= 2", ">= 2"),
    ),
    "catalog/register, a service and its check": (
        '"/v1/catalog/register"',
        """'{"Node": "written-' .. at .. '", "Address": "10.7.0.1", "NodeMeta": {"external-node": "true"}, "Service": '
        .. '{"ID": "web1", "Service": "web", "Tags": ["primary", "v1"], "Address": "10.7.0.1", "Meta": '
        .. '{"version": "4.0"}, "Port": ' .. (1 + n % 60000) .. '}, "Check": {"Node": "written-' .. at .. '", '
        .. '"CheckID": "service:web1", "Name": "answers", "Notes": "seen from outside", "Status": "passing", '
        .. '"ServiceID": "web1", "Output": "' .. n .. '"}}'""",
        (">= 2", ">= 2"),
    ),
    "kv": ('"/v1/kv/written/" .. at', "'value ' .. n", ("", ">= 1.0")),
}
SCRIPT = """local n = 0
request = function()
  n = n + 1
  local at = n % 64
  return wrk.format("PUT", {path}, {{["Content-Type"] = "application/json"}}, {body})
end
"""


def tasks(settings: Settings, directory: Path, label: str) -> list[Task]:
    found = []
    for name, (path, body, targets) in PUTS.items():
        script = directory / f"{name.replace('/', '-').replace(' ', '-')}.lua"
        script.write_text(SCRIPT.format(path=path, body=body))
        for connections in CONNECTIONS:
            target = targets[connections > 1]
            found.append(
                _task(settings, f"PUT {name}, {connections} connections, {label}", script, connections, target)
            )
    return found


def _task(settings: Settings, name: str, script: Path, connections: int, target: str) -> Task:
    def measure(agent: Running) -> Sample:
        return load_generators.http(agent, "/", settings.seconds, connections, "-s", str(script))

    return task(Row(name, "writes/s", target), measure)
