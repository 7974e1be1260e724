"""Members with the tags of newer versions, made with real Serf: they join real Consul 1.8.7 and ours alike.

Tags as Consul 1.14 to 1.22 sets them (read): `ft_si`, `rc_tm`, `grpc_port`, `grpc_tls_port`, no `acls` on clients.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.peers.pair import Agent, agents
from tests.peers.programs import Program, ask, eventually, hosts

pytestmark = [pytest.mark.peers]

BLOCK = "127.31.7"
REAL, OURS = f"{BLOCK}.1", f"{BLOCK}.2"
COMMON = {"dc": "dc1", "vsn": "2", "vsn_min": "2", "vsn_max": "3"}
CLIENT = {
    **COMMON,
    "role": "node",
    "build": "1.22.1:40ffcd1e",
    "id": "aaaaaaaa-1111-2222-3333-444444444444",
    "rc_tm": "72h0m0s",
}
SERVER = {
    **COMMON,
    "role": "consul",
    "dc": "dc2",
    "build": "1.20.2:33e5727a",
    "id": "bbbbbbbb-1111-2222-3333-444444444444",
    "port": "8300",
    "raft_vsn": "3",
    "wan_join_port": "8302",
    "ft_fs": "1",
    "ft_si": "1",
    "grpc_port": "8502",
    "grpc_tls_port": "8503",
    "expect": "3",
}


@contextmanager
def member(folder: Path, name: str, address: str, tags: dict[str, str], join: str) -> Iterator[Program]:
    """A Serf agent with these tags that joins an agent's pool."""
    flags = [f"-tag={key}={value}" for key, value in tags.items()]
    command = ["serf", "agent", f"-node={name}", f"-bind={address}:8301", f"-rpc-addr={address}:7373", f"-join={join}"]
    program = Program([*command, *flags], folder / f"{name}.log", folder)
    try:
        yield program
    finally:
        program.kill()


def found(agent: Agent, name: str, query: str = "") -> dict[str, Any] | None:
    """The member of this name once it is alive, without what differs between any two."""
    for each in json.loads(agent.ask(f"/v1/agent/members{query}").body):
        if each["Name"] == name and each["Status"] == 1:
            del each["Addr"]
            return dict(each)
    return None


def is_registered(agent: Agent, name: str) -> bool:
    """Whether the leader has put the member into the catalog."""
    checks = json.loads(agent.ask(f"/v1/health/node/{name}").body)
    return [(each["CheckID"], each["Status"]) for each in checks] == [("serfHealth", "passing")]


@pytest.mark.parametrize(
    ("name", "tags", "port", "query"),
    [("newer", CLIENT, 8301, ""), ("s9.dc2", SERVER, 8302, "?wan=1")],
    ids=["a client of 1.22", "a server of 1.20 in the WAN pool"],
)
def test_they_are_members_of_real_consul_and_of_ours(
    tmp_path: Path, name: str, tags: dict[str, str], port: int, query: str
) -> None:
    with agents(tmp_path, real=REAL, ours=OURS) as pair:
        seen = []
        for number, agent in enumerate(pair):
            with member(tmp_path, name, f"{BLOCK}.{10 + number}", tags, f"{agent.address}:{port}"):
                if not query:
                    eventually(lambda agent=agent: is_registered(agent, name), f"{name} in the catalog")
                seen.append(eventually(lambda agent=agent: found(agent, name, query), f"{name} at {agent.address}"))
        assert seen[0] == seen[1]
        assert seen[1]["Tags"] == tags


def test_a_failed_member_is_forgotten_after_the_time_that_it_gossips(tmp_path: Path) -> None:
    """`advertise_reconnect_timeout` since 1.9; reaped every 15 s. A member without the tag stays for three days."""
    ours, quick, slow = (f"{BLOCK}.{number}" for number in (4, 5, 6))
    tags = {name: value for name, value in CLIENT.items() if name != "rc_tm"}
    with hosts(tmp_path, None) as (host,):
        host.start("agent", "consulpy", "agent", "-dev", "-bind", ours, "-client", ours, "-node", "a")
        eventually(lambda: ask(f"{ours}:8500/v1/status/leader"), "it leads")
        with (
            member(tmp_path, "quick", quick, tags | {"rc_tm": "1s"}, ours),
            member(tmp_path, "slow", slow, tags | {"id": "cccccccc-1111-2222-3333-444444444444"}, ours),
        ):
            eventually(lambda: len(ask(f"{ours}:8500/v1/agent/members")) == 3, "both have joined")
        eventually(
            lambda: [each["Name"] for each in ask(f"{ours}:8500/v1/agent/members")] == ["a", "slow"], "one is gone"
        )
        eventually(lambda: ask(f"{ours}:8500/v1/agent/members")[1]["Status"] == 4, "the other has failed")
