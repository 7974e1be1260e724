"""Fixtures of the scenarios."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.peers.programs import Host, hosts


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    with hosts(tmp_path, None) as (only,):
        yield only
