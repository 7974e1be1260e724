"""A real server and one of ours, both with access control and the same management token."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import consul

from tests.peers.programs import eventually, hosts

MASTER = "cf000000-0000-0000-0000-0000000000aa"
ADDRESSES = {"consulpy": "127.78.3.1", "consul": "127.78.3.2"}
SETTINGS = {
    "performance": {"raft_multiplier": 1},
    "acl": {"enabled": True, "default_policy": "deny", "tokens": {"master": MASTER, "agent": MASTER}},
}


@contextmanager
def servers_with_acls(directory: Path) -> Iterator[dict[str, str]]:
    """A server of each program; host:port of its HTTP by the program's name."""
    with hosts(directory, None) as (host,):
        for program, address in ADDRESSES.items():
            place = ["-node", "server", "-bind", address, "-client", address, "-data-dir", program]
            rest = ["-server", "-bootstrap-expect", "1", "-hcl", json.dumps(SETTINGS)]
            host.start(program, program, "agent", *place, *rest)
        for address in ADDRESSES.values():
            eventually(lambda address=address: _takes_its_master(address), "it takes its master token")
        yield {program: f"{address}:8500" for program, address in ADDRESSES.items()}


def _takes_its_master(address: str) -> bool:
    """Whether a server has done what a leader does first."""
    try:
        return bool(consul.Consul(host=address, token=MASTER).acl.token.read_self()["SecretID"] == MASTER)
    except consul.ConsulException:
        return False
