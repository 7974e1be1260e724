"""Who is a server, what we gossip, who may join. Source: docs/wire/gossip.md 9.2, 9.3."""

from dataclasses import dataclass, field

import pytest

from consulpy.config.sections import AclSettings
from consulpy.errors import MergeRefused
from consulpy.memberlist.member import Member as Node
from consulpy.memberlist.member import State
from consulpy.rpc.merge import Check, check_lan_join, check_lan_merge, check_wan_merge, wan_merge_check
from consulpy.rpc.server_metadata import agent_tags, reap_after_s, server_of
from consulpy.serf.members import Member, Status
from consulpy.serf.membership import NAME_HOLD_S, Membership, NameHolders
from consulpy.serf.tags import encode_tags

SERVER = {
    "role": "consul",
    "dc": "dc1",
    "segment": "",
    "id": "one",
    "vsn": "2",
    "vsn_min": "2",
    "vsn_max": "3",
    "raft_vsn": "3",
    "build": "1.8.7:",
    "port": "8300",
    "wan_join_port": "8302",
    "acls": "0",
    "ft_fs": "1",
}
CLIENT = {"role": "node", "dc": "dc1", "segment": "", "id": "two", "build": "1.8.7:"}
TAKEN = (
    "Member '{}' at 127.33.0.9 (node ID '{}') has the name of a live member at {} (node ID '{}'): "
    "give one of them another node_name"
)


@dataclass
class Ports:
    server: int = 8300
    serf_wan: int = 8302


@dataclass
class Facts:
    datacenter: str = "dc1"
    node_id: str = "one"
    server: bool = True
    bootstrap: bool = False
    bootstrap_expect: int = 0
    ports: Ports = field(default_factory=Ports)
    uses_tls: bool = False
    acl: AclSettings = field(default_factory=AclSettings)
    advertise_reconnect_timeout_s: float = 0.0


def member(name: str, tags: dict[str, str], address: str = "127.33.0.9", status: Status = Status.ALIVE) -> Member:
    return Member(name, address, 8301, tags, status)


def node(of: Member) -> Node:
    return Node(of.name, of.address, of.port, encode_tags(of.tags), (1, 5, 2, 2, 5, 4), 1, State.ALIVE, 0.0)


def checking(*known: Member, now_s: float = NAME_HOLD_S) -> Check:
    """The check of "me" (node id "one", 127.33.0.1), to whom these members are known since second 0."""
    membership = Membership("me", 300.0, lambda _event: None)
    for each in known:
        membership.handle_node_join(node(each), 0.0, 0.0)
        if each.is_gone:
            membership.handle_node_leave(node(each), 0.0)
    return check_lan_merge("me", "one", "127.33.0.1", "dc1", known=lambda: NameHolders(membership, lambda: now_s))


def test_a_real_servers_tags_are_read() -> None:
    server = server_of(member("s1", SERVER | {"expect": "3", "use_tls": "1"}))
    assert server is not None
    assert (server.rpc_address, server.build, server.expect, server.wan_join_port) == (
        "127.33.0.9:8300",
        (1, 8, 7),
        3,
        8302,
    )
    assert server.takes_coordinates
    assert server.use_tls


@pytest.mark.parametrize(
    "change",
    [
        {"role": "node"},
        {"port": "x"},
        {"vsn": ""},
        {"build": "new"},
        {"ft_fs": "yes"},
        {"expect": "3.5"},
        {"sl_a": "b"},
        {"port": "70000"},
        {"port": "0"},
        {"port": "-1"},
        {"port": "+8300"},
        {"port": "8300 "},
        {"port": "8³"},
        {"port": "9" * 5000},
        {"vsn": "-2"},
        {"vsn": "9" * 30},
        {"expect": "-3"},
        {"raft_vsn": "x"},
        {"wan_join_port": "70000"},
        {"sl_a": "127.0.0.1:70000"},
    ],
)
def test_one_bad_value_makes_a_member_no_server(change: dict[str, str]) -> None:
    assert server_of(member("s1", SERVER | change)) is None


@pytest.mark.parametrize(
    ("tag", "seconds"),
    [("15m0s", 900.0), ("24h", 86400.0), ("", 7.0), ("soon", 7.0), ("0s", 7.0), ("-5m", 7.0), (None, 7.0)],
)
def test_a_member_is_forgotten_after_the_time_that_it_gossips(tag: str | None, seconds: float) -> None:
    """`advertise_reconnect_timeout` of Consul 1.9, tag rc_tm."""
    assert reap_after_s({} if tag is None else {"rc_tm": tag}, 7.0) == seconds


def test_a_client_gossips_its_own_time() -> None:
    tags = agent_tags(Facts(server=False, advertise_reconnect_timeout_s=900.0))
    assert tags["rc_tm"] == "15m0s"
    assert "rc_tm" not in agent_tags(Facts(server=False))


def test_a_server_without_a_wan_pool_is_a_server() -> None:
    """`ports.serf_wan = -1`: as -1 is no port, the leader took its own servers for none and registered no member."""
    tags = agent_tags(Facts(ports=Ports(serf_wan=-1)))
    assert "wan_join_port" not in tags
    assert server_of(member("s1", tags)) is not None


def test_our_tags_are_those_of_a_real_agent() -> None:
    assert agent_tags(Facts()) == SERVER
    assert agent_tags(Facts(), wan=True) == {key: value for key, value in SERVER.items() if key != "wan_join_port"}
    assert agent_tags(Facts(bootstrap_expect=1))["bootstrap"] == "1"
    assert agent_tags(Facts(bootstrap_expect=3))["expect"] == "3"
    client = agent_tags(Facts(server=False, node_id="two"))
    assert client == CLIENT | {"vsn": "2", "vsn_min": "2", "vsn_max": "3", "acls": "0"}


@pytest.mark.parametrize(
    ("members", "text"),
    [
        ([member("x", SERVER)], "Member 'x' has conflicting node ID 'one' with this agent's ID"),
        (
            [member("x", CLIENT), member("y", CLIENT)],
            "Member 'y' has conflicting node ID 'two' with member 'x'",
        ),
        ([member("x", CLIENT | {"dc": "dc9"})], "Member 'x' part of wrong datacenter 'dc9'"),
        ([member("x", CLIENT | {"segment": "a"})], "Member 'x' part of wrong segment 'a' (expected '')"),
        (
            [member("me", CLIENT)],
            TAKEN.format("me", "two", "127.33.0.1", "one"),
        ),
        (
            [member("c1", CLIENT | {"id": "three"})],
            TAKEN.format("c1", "three", "127.33.0.5", "two"),
        ),
    ],
)
def test_what_may_not_join_the_lan(members: list[Member], text: str) -> None:
    check = checking(member("c1", CLIENT, "127.33.0.5"))
    with pytest.raises(MergeRefused) as caught:
        check(members)
    assert str(caught.value) == text


def test_what_may_join_the_lan() -> None:
    """Plain Serf agents, ourselves, who left, a dead member's name under a new id, an old id at a new address."""
    check = checking(
        member("dead", CLIENT | {"id": "old"}, "127.33.0.5", Status.FAILED),
        member("moved", CLIENT | {"id": "same"}, "127.33.0.6"),
    )
    check(
        [
            member("plain", {}),
            member("me", SERVER, "127.33.0.1"),
            member("x", SERVER, status=Status.LEFT),
            member("dead", CLIENT | {"id": "new"}),
            member("moved", CLIENT | {"id": "same"}),
        ]
    )


def test_only_servers_join_the_wan() -> None:
    check_wan_merge([member("s1.dc1", SERVER), member("s1.dc2", SERVER | {"dc": "dc2"})])
    with pytest.raises(MergeRefused, match="Member 'c1' is not a server"):
        check_wan_merge([member("c1", CLIENT)])


@pytest.mark.parametrize(
    "thief",
    [
        member("ME", SERVER | {"id": "three"}),
        member("Me", {}),
        member("C1", CLIENT | {"id": "three"}),
        member("C1", CLIENT),
        member("C1", {}),
        member("x", CLIENT | {"id": "ONE"}),
        member("x", CLIENT | {"id": "TWO"}),
        member("x", SERVER | {"id": "two"}),
        member("c1", CLIENT | {"id": "Three"}),
    ],
    ids=lambda thief: f"{thief.name}-{thief.tags.get('id', '')}",
)
def test_a_live_members_name_or_id_is_not_taken_in_other_capitals(thief: Member) -> None:
    """Consul's catalog and DNS do not tell capitals apart: real agents give such a member the other one's entries."""
    with pytest.raises(MergeRefused, match=r"has the name of|has the node ID of|conflicting node ID"):
        checking(member("c1", CLIENT, "127.33.0.5"))([thief])


@pytest.mark.parametrize(
    "heir",
    [
        member("C1", CLIENT | {"id": "three"}),
        member("x", CLIENT),
        member("C1", CLIENT, "127.33.0.5"),
    ],
    ids=["the name of a dead member", "the id of a dead member", "the same agent, renamed"],
)
def test_a_dead_members_name_and_id_may_be_taken_over(heir: Member) -> None:
    status = Status.ALIVE if heir.address == "127.33.0.5" else Status.FAILED
    checking(member("c1", CLIENT, "127.33.0.5", status))([heir])


def test_the_wan_pool_has_one_member_of_a_name_in_whatever_capitals() -> None:
    check = wan_merge_check("s1.dc1", "one", "127.33.0.1")
    check([member("s1.dc1", SERVER, "127.33.0.1"), member("s2.dc1", SERVER | {"id": "other"})])
    with pytest.raises(MergeRefused, match="has the name of a live member"):
        check([member("S1.DC1", SERVER | {"id": "other"})])


def test_who_came_together_keep_their_names_and_no_join_is_refused_for_them() -> None:
    """Real agents let both in, and a new agent cannot know who was first; the leader's catalog knows."""
    both = [member("c1", CLIENT, "127.33.0.5"), member("C1", CLIENT | {"id": "three"})]
    checking()(both)
    checking(both[0], now_s=1.0)([both[1]])
    checking(both[1], now_s=1.0)([both[0]])
    checking(both[0])([*both, member("x", CLIENT | {"id": "x"})])
    checking()([member("ME", {}), member("y", CLIENT | {"id": "ONE"}), *both])


def test_a_wan_pool_is_not_joined_as_a_lan() -> None:
    tags = {"role": "consul", "dc": "dc1"}
    wan = Member("s.dc1", "10.0.0.1", 8302, tags, Status.ALIVE)
    with pytest.raises(MergeRefused, match="WAN pool") as caught:
        check_lan_join([wan])
    assert caught.value.cause == "wan-port"
    for other in (
        Member("s", "10.0.0.1", 8301, tags, Status.ALIVE),
        Member("s.dc1", "10.0.0.1", 8301, tags, Status.ALIVE),
        Member("s.dc1", "10.0.0.1", 9301, {**tags, "wan_join_port": "8302"}, Status.ALIVE),
    ):
        check_lan_join([other])
        check_lan_join([other, wan])
    check_lan_join([])
