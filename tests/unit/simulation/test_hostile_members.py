"""Members with hostile names and tags: nobody takes another one's place in the catalog, and no line is forged."""

from random import Random

from hypothesis import example, given, settings
from hypothesis import strategies as st

from consulpy.agent.process.logs import log_line
from consulpy.leader.reconcile import Leader as Who
from consulpy.leader.reconcile import has_others_node, reconcile
from consulpy.memberlist.config import MemberlistConfig
from consulpy.memberlist.messages import Alive
from consulpy.rpc.merge import NoMembers, check_lan_merge
from consulpy.rpc.server_metadata import agent_tags, server_of
from consulpy.serf.config import SerfConfig
from consulpy.serf.events import Event, MemberEvent
from consulpy.serf.machine import Serf
from consulpy.serf.membership import NAME_HOLD_S, NameHolders
from consulpy.serf.tags import encode_tags
from consulpy.state.store import Store
from consulpy.testing.simulation.clock import HeapClock
from consulpy.testing.simulation.network import Network
from tests.harness.effort import cases
from tests.unit.rpc.test_server_metadata import Facts

VSN = (1, 5, 2, 2, 5, 4)
OWN_ID = "710b9fca-d8a9-06b9-4f46-938e1b2d3a63"
NAMES = [
    "server",
    "SERVER",
    "Server",
    "server ",
    "server\n",
    "ser\u202ever",
    "s\x1b[2Jx",
    "web",
    "WEB",
    "x: y",
    "not-alive: a",
]
VALUES = [
    "consul",
    "node",
    "dc1",
    "DC1",
    "0",
    "70000",
    "-1",
    "8300",
    "9" * 400,
    "",
    "x",
    OWN_ID,
    OWN_ID.upper(),
    "\n",
    "1.8.7:",
]
KEYS = ["role", "dc", "id", "port", "vsn", "build", "expect", "segment", "sl_a", "ft_x", "raft_vsn", "wan_join_port"]
SANE = agent_tags(Facts(bootstrap=True, node_id=OWN_ID))
names = st.sampled_from(NAMES) | st.text(min_size=1, max_size=20)
tags = st.dictionaries(
    st.sampled_from(KEYS) | st.text(max_size=5), st.sampled_from(VALUES) | st.text(max_size=8), max_size=8
)


class Server:
    """A leader's Serf, catalog and log."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.store = Store()
        clock = HeapClock()
        address = ("10.0.0.1", 8301)
        host = Network(clock, 1).host(address)
        made: list[Serf] = []
        check = check_lan_merge(
            "server",
            OWN_ID,
            address[0],
            "dc1",
            known=lambda: NameHolders(made[0].membership, clock.seconds) if made else NoMembers(),
        )
        self.serf = Serf(
            SerfConfig.consul(tags=SANE),
            MemberlistConfig.lan(name="server", advertise=address),
            clock,
            Random(1),
            host,
            self.hear,
            check_merge=check,
            check_alive=lambda member: check([member]),
            log=self.log,
        )
        made.append(self.serf)
        host.attach(self.serf.memberlist)
        self.serf.start()
        clock.advance(NAME_HOLD_S)

    def log(self, _level: str, text: str) -> None:
        event = {"log_time": 0.0, "log_namespace": "consulpy.serf", "log_format": "{text}", "text": text}
        self.lines.append(log_line(event))

    def hear(self, event: Event) -> None:
        for member in event.members if isinstance(event, MemberEvent) else ():
            if not has_others_node(self.store, self.serf.members, member.name, member.tags.get("id", "")):
                for command in reconcile(self.store, Who("dc1", "server"), member):
                    command.apply(self.store, self.store.index + 1)


@settings(max_examples=cases(300), deadline=None)
@given(st.lists(st.tuples(names, tags, st.booleans()), max_size=6))
@example([("SERVER", {"id": "x"}, True)])
@example([("SERVER", {}, False), ("server\n2026 [INFO] agent: x", {"port": "70000"}, True)])
@example([("web", {"id": OWN_ID.upper()}, True)])
def test_nobody_takes_the_servers_place(forged: list[tuple[str, dict[str, str], bool]]) -> None:
    server = Server()
    for number, (name, changes, is_sane) in enumerate(forged):
        try:
            meta = encode_tags((SANE | {"id": ""} if is_sane else {}) | changes)
        except Exception:  # more than fits
            meta = b"\xff"
        alive = Alive(number + 2, name, f"10.6.6.{number + 2}", 8301, meta, VSN)
        server.serf.memberlist.packet_received(alive.encode(), ("10.6.6.6", 8301))
    catalog = server.store.catalog
    node = catalog.nodes_table.get("server")
    assert node is not None
    assert (node.node, node.address) == ("server", "10.0.0.1")
    assert [row.node for row in catalog.nodes_table.by("id", OWN_ID)] == ["server"]
    for member in server.serf.members.values():
        info = server_of(member)
        assert info is None or 0 < info.port < 65536
    assert all(line.isprintable() for line in server.lines)
