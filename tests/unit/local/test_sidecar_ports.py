"""Ports of sidecars. Source: `ports.sidecar_min_port` and `sidecar_max_port` of Consul 1.8.7."""

import pytest

from consulpy.errors import BadRequest
from consulpy.local.sidecar import complete
from consulpy.structs.definition import ServiceDefinition
from consulpy.structs.service import NodeService


def port(ports: range, given: int = 0, **services: int) -> int:
    sidecar = ServiceDefinition(NodeService(port=given))
    wanted = ServiceDefinition(NodeService(service="web", port=1), sidecar=sidecar)
    taken = {name: NodeService(id=name, service=name, port=number) for name, number in services.items()}
    return complete(wanted, taken, ports).service.port


def test_the_lowest_free_port_is_taken_and_kept() -> None:
    assert port(range(30000, 30003)) == 30000
    assert port(range(30000, 30003), a=30000, b=30002) == 30001
    assert port(range(30000, 30003), **{"web-sidecar-proxy": 30002}) == 30002


def test_a_port_that_is_none_is_replaced_as_in_consul() -> None:
    assert port(range(30000, 30003), given=-1) == 30000
    assert port(range(30000, 30003), given=70) == 70


def test_without_a_free_port_or_a_range_it_is_refused() -> None:
    with pytest.raises(BadRequest, match=r"none left in the configured range \[30000, 30001\]"):
        port(range(30000, 30002), a=30000, b=30001)
    with pytest.raises(BadRequest, match="auto-assignment disabled in config"):
        port(range(0))
