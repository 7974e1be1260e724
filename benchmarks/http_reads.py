"""HTTP reads: requests a second, with keep-alive and without."""

import load_generators
from processes import Running
from report import Row, Sample
from task import Settings, Task, task

CLOSE = ("-H", "Connection: close")


def tasks(settings: Settings, label: str, nodes: int) -> list[Task]:
    """The rows for a catalog of `nodes` nodes."""
    large = nodes >= 100
    rows = [
        ("status/leader", "/v1/status/leader", ">= 1.3"),
        ("agent/members", "/v1/agent/members", ">= 1.3"),
        ("kv, one key", "/v1/kv/benchmark", ">= 1.3"),
        ("catalog/nodes", "/v1/catalog/nodes", ">= 5" if nodes >= 1000 else ">= 1.8"),
        ("catalog/service, 3 instances", "/v1/catalog/service/three", ">= 1.8"),
        ("health/service?passing, 3 instances", "/v1/health/service/three?passing", ">= 1.8"),
    ]
    if large:
        rows += [
            ("catalog/service, 100 instances", "/v1/catalog/service/hundred", ">= 5"),
            ("health/service?passing, 100 instances", "/v1/health/service/hundred?passing", ">= 5"),
        ]
    found = [_task(settings, f"GET {name}, {label}", path, target) for name, path, target in rows]
    closing = rows[:1] if large else [rows[0], rows[2], rows[4]]
    found += [
        _task(settings, f"GET {name}, no keep-alive, {label}", path, ">= 1.0", *CLOSE) for name, path, _ in closing
    ]
    return found


def _task(settings: Settings, name: str, path: str, target: str, *flags: str) -> Task:
    def measure(agent: Running) -> Sample:
        return load_generators.http(agent, path, settings.seconds, 16, *flags)

    return task(Row(name, "requests/s", target), measure)
