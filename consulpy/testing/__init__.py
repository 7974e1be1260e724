"""A whole Consul in a test: in its own process, ready in milliseconds. docs/testing.md.

    with run_agent() as consul: ...
    async with agent() as consul: ...
    with Cluster(servers=1, clients=3) as cluster: ...

The pytest plugin is `consulpy.testing.pytest_plugin`; whole clusters in virtual time are in `simulation`.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from consulpy.testing.agent_cluster import Cluster
    from consulpy.testing.consul import Consul, run_agent
    from consulpy.testing.coroutines import AsyncConsul, agent

__all__ = ["AsyncConsul", "Cluster", "Consul", "agent", "run_agent"]

_PLACES = {
    "Cluster": "agent_cluster",
    "Consul": "consul",
    "run_agent": "consul",
    "AsyncConsul": "coroutines",
    "agent": "coroutines",
}


def __getattr__(name: str) -> Any:
    """Each name is imported when it is used: a test run that uses none of them imports nothing."""
    place = _PLACES.get(name)
    if place is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{place}"), name)
