"""All rows of the table, in groups with a common setup."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import access
import blocking_queries
import dns
import gossip
import gossip_under_load
import http_reads
import http_writes
import large_membership
import page
import proxy
import quorum
import simulator
import startup_and_idle
from processes import Running, fill, server
from task import Group, Settings

SMALL = 10


def groups(settings: Settings, directory: Path) -> list[Group]:
    """The groups in the order of the table. `directory`: for input of the load generators."""
    large, services = settings.nodes, settings.services
    small_label, large_label = f"{SMALL} nodes", f"{large} nodes"

    @contextmanager
    def small(program: str, place: Path) -> Iterator[Running]:
        with _filled(program, place, SMALL, 0, {"three": 3}) as agent:
            yield agent

    @contextmanager
    def full(program: str, place: Path) -> Iterator[Running]:
        with _filled(program, place, large, services, {"three": 3, "hundred": 100}) as agent:
            yield agent

    return [
        Group("start-up and rest", startup_and_idle.setup, startup_and_idle.tasks(settings)),
        Group(
            small_label,
            small,
            [
                *dns.tasks(settings, directory, small_label, SMALL),
                *http_reads.tasks(settings, small_label, SMALL),
                *http_writes.tasks(settings, directory, small_label),
            ],
        ),
        Group(
            large_label,
            full,
            [
                startup_and_idle.full_memory(large, services),
                *dns.tasks(settings, directory, large_label, large),
                *http_reads.tasks(settings, large_label, large),
                *http_writes.tasks(settings, directory, large_label),
            ],
        ),
        # each has agents of its own: later tasks would reuse memory that earlier ones have freed
        *(Group(each.rows[0].name, full, [each]) for each in blocking_queries.tasks(settings)),
        Group("quorum", quorum.setup, quorum.tasks(settings, directory)),
        Group("quorum's life", quorum.setup, quorum.life_tasks()),
        *access.groups(settings, directory),
        *proxy.groups(settings),
        Group("gossip", startup_and_idle.setup, gossip.tasks(settings)),
        Group("strain", startup_and_idle.setup, gossip_under_load.tasks(settings)),
        *page.groups(settings),
        Group("members", startup_and_idle.setup, large_membership.tasks(settings)),
        Group("simulator", startup_and_idle.setup, simulator.tasks(settings)),
    ]


@contextmanager
def _filled(program: str, place: Path, nodes: int, services: int, named: dict[str, int]) -> Iterator[Running]:
    agent = server(program, place)
    try:
        fill(agent, nodes, services, named)
        agent.put("/v1/kv/benchmark", b"a value of some thirty bytes")
        agent.wait_idle()
        yield agent
    finally:
        agent.close()
