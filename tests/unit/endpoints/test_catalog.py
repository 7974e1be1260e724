"""Catalog, health and internals by their RPC methods: what is refused and how it is told, what is filled in, and
which rows an answer has in which order (docs/wire/rpc.md 6 and 10; texts seen on real Consul 1.8.7)."""

from typing import Any

import pytest

from consulpy.errors import RPCError
from tests.fakes.endpoints import Server

NO_DESTINATION = "Proxy.DestinationServiceName must be non-empty for Connect proxy services"
PROXY = {"Kind": "connect-proxy", "Service": "p", "Proxy": {"DestinationServiceName": "web"}}


@pytest.fixture
def server() -> Server:
    return Server()


def ids(rows: Any) -> list[str]:
    return [row.service_id for row in rows or ()]


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ({}, "Must provide node"),
        ({"Node": "a"}, "Must provide address if SkipNodeUpdate is not set"),
        ({"ID": "abc"}, "Bad node ID: uuid string is wrong length"),
        ({"ID": "x" * 36}, "Bad node ID: uuid is improperly formatted"),
        ({"ID": "cf000000-0000-0000-0000-0000000000cg"}, "Bad node ID: encoding/hex: invalid byte: U+0067 'g'"),
        ({"Service": {"ID": "x"}}, "Must provide service name with ID"),
        ({"Service": {}}, "failed inserting service: failed inserting service: object missing primary index"),
        ({"Service": {"Service": "s", "Address": "0.0.0.0"}}, "Invalid service address"),
        ({"Service": {"Service": "s", "Address": "::"}}, "Invalid service address"),
        ({"Service": PROXY}, "1 error occurred:\n\t* Port must be set for a Connect proxy\n\n"),
        (
            {"Service": {"Service": "s", "Kind": "connect-proxy"}},
            f"2 errors occurred:\n\t* {NO_DESTINATION}\n\t* Port must be set for a Connect proxy\n\n",
        ),
        (
            {"Service": {**PROXY, "Port": 1, "Connect": {"Native": True}}},
            "1 error occurred:\n\t* A Proxy cannot also be Connect Native, only typical services\n\n",
        ),
        (
            {"Service": {"Service": "s", "Kind": "mesh-gateway"}},
            "1 error occurred:\n\t* Port must be non-zero for a mesh-gateway\n\n",
        ),
        (
            {"Check": {"Status": "passing"}},
            'failed inserting check: failed inserting check: object missing primary index on node "a"',
        ),
        ({"Check": {"Name": "c", "Node": "b"}}, 'check node "b" does not match node "a"'),
        ({"Check": {"Name": "c", "Node": "A"}}, 'check node "A" does not match node "a"'),
        (
            {"Check": {"Name": "c", "ServiceID": "none"}},
            'failed inserting check: Missing service registration on node "a"',
        ),
    ],
)
def test_a_registration_is_refused_in_consuls_words(server: Server, body: dict[str, Any], text: str) -> None:
    named = body if "Node" in body or not body else {"Node": "a", "Address": "1.1.1.1", **body}
    assert server.answer("Catalog.Register", {"Datacenter": "dc1", **named}) == text
    assert server.call("Catalog.ListNodes").nodes is None


@pytest.mark.parametrize(
    ("method", "text"),
    [
        ("Catalog.Deregister", "Must provide node"),
        ("Catalog.ServiceNodes", "Must provide service name"),
        ("Catalog.NodeServices", "Must provide node"),
        ("Catalog.NodeServiceList", "Must provide node"),
        ("Health.ServiceNodes", "Must provide service name"),
    ],
)
def test_a_question_about_nothing_is_refused(server: Server, method: str, text: str) -> None:
    with pytest.raises(RPCError) as refused:
        server.call(method, {"Datacenter": "dc1"})
    assert str(refused.value) == text


def test_what_a_registration_leaves_out_is_filled_in(server: Server) -> None:
    server.register(Node="a", Address="1.1.1.1", Service={"Service": "web", "Tags": ["t"]})
    server.register(Node="a", Address="1.1.1.1", Check={"Name": "alive", "ServiceID": "web"})
    (row,) = server.call("Health.ServiceNodes", {"ServiceName": "web"}).nodes
    assert (row.service.id, row.service.weights.passing, row.service.weights.warning) == ("web", 1, 1)
    (check,) = row.checks
    assert (check.check_id, check.node, check.status) == ("alive", "a", "critical")
    assert (check.service_name, check.service_tags) == ("web", ["t"])


@pytest.mark.parametrize(
    ("definition", "kind"),
    [
        ({"TCP": "1.1.1.1:1", "Interval": 10**10}, "tcp"),
        ({"TCP": "1.1.1.1:1"}, ""),
        ({"HTTP": "http://x", "Interval": 10**10}, "http"),
        ({"GRPC": "x:1", "Interval": 10**10}, "grpc"),
        ({"TTL": 10**10}, "ttl"),
        ({"AliasNode": "b"}, "alias"),
        ({"AliasService": "b"}, "alias"),
        ({"ScriptArgs": ["a"], "Interval": 10**10}, "script"),
        ({"ScriptArgs": ["a"], "DockerContainerID": "a", "Interval": 10**10}, "docker"),
        # several at once, as a real agent reads them (all 385 combinations of up to four fields were compared)
        ({"ScriptArgs": ["a"]}, "script"),
        ({"ScriptArgs": ["a"], "DockerContainerID": "a"}, "script"),
        ({"GRPC": "x:1", "HTTP": "http://x", "TTL": 1, "Interval": 10**10}, "grpc"),
        ({"HTTP": "http://x", "TTL": 1, "AliasNode": "b", "Interval": 10**10}, "http"),
        ({"HTTP": "http://x", "TTL": 1, "AliasNode": "b"}, "ttl"),
        ({"TTL": 1, "TCP": "1.1.1.1:1", "Interval": 10**10}, "ttl"),
        ({"TCP": "1.1.1.1:1", "AliasNode": "b", "ScriptArgs": ["a"], "Interval": 10**10}, "tcp"),
        ({"AliasNode": "b", "ScriptArgs": ["a"], "DockerContainerID": "a", "Interval": 10**10}, "alias"),
    ],
)
def test_the_type_of_a_check_follows_from_its_definition(server: Server, definition: Any, kind: str) -> None:
    server.register(Node="a", Address="1.1.1.1", Check={"Name": "c", "Definition": definition})
    (check,) = server.call("Health.NodeChecks", {"Node": "a"}).health_checks
    assert check.type == kind


def test_of_two_checks_with_one_id_the_single_one_wins(server: Server) -> None:
    """`Check` is appended to `Checks` (seen)."""
    server.register(
        Node="a",
        Address="1.1.1.1",
        Check={"Name": "m", "Status": "passing"},
        Checks=[{"Name": "m", "Status": "warning"}],
    )
    (check,) = server.call("Health.NodeChecks", {"Node": "A"}).health_checks
    assert check.status == "passing"


def test_what_is_submitted_may_be_changed_afterwards(server: Server) -> None:
    """An agent's own records go in by reference; the state has its own."""
    from consulpy.rpc.methods import METHODS
    from consulpy.structs.requests import RegisterRequest
    from consulpy.structs.service import NodeService

    tags = ["t"]
    request = RegisterRequest(node="a", address="1.1.1.1", service=NodeService(service="web", tags=tags))
    METHODS["Catalog.Register"].handler(server, request)
    tags.append("sneaked in")
    assert request.service is not None
    assert request.service.id == ""
    assert server.call("Catalog.ListServices").services == {"web": ["t"]}


def web_on_three_nodes(server: Server) -> None:
    for node, rack, tags in (("b", "r1", ["V1", "main"]), ("a", "r1", ["v1"]), ("c", "r2", None)):
        server.register(
            Node=node,
            Address=f"10.0.0.{ord(node)}",
            NodeMeta={"rack": rack, "os": "x"},
            Service={
                "ID": f"web-{node}",
                "Service": "web",
                "Tags": tags,
                "Port": ord(node),
                "Address": f"10.1.{ord(node)}.1",
            },
        )


@pytest.mark.parametrize(
    ("request_", "found"),
    [
        ({"ServiceName": "WEB"}, ["web-a", "web-b", "web-c"]),
        ({"ServiceName": "web", "TagFilter": True, "ServiceTags": ["v1"]}, ["web-a", "web-b"]),
        ({"ServiceName": "web", "TagFilter": True, "ServiceTags": ["v1", "MAIN"]}, ["web-b"]),
        ({"ServiceName": "web", "TagFilter": True, "ServiceTag": "main"}, ["web-b"]),
        ({"ServiceName": "web", "TagFilter": False, "ServiceTags": [""]}, ["web-a", "web-b", "web-c"]),
        ({"ServiceName": "web", "TagFilter": True, "ServiceTags": [""]}, []),
        ({"ServiceName": "web", "NodeMetaFilters": {"rack": "r1", "os": "x"}}, ["web-a", "web-b"]),
        ({"ServiceName": "web", "NodeMetaFilters": {"rack": "r9"}}, []),
        ({"ServiceAddress": "10.1.99.1"}, ["web-c"]),
        ({"ServiceName": "web", "Filter": "ServicePort == 97"}, ["web-a"]),
        ({"ServiceName": "web", "Connect": True}, []),
    ],
)
def test_which_instances_an_answer_has(server: Server, request_: dict[str, Any], found: list[str]) -> None:
    web_on_three_nodes(server)
    reply = server.call("Catalog.ServiceNodes", request_)
    assert ids(reply.service_nodes) == found
    if not found:
        assert reply.service_nodes is None, "nil, as Consul writes it"
    if "ServiceName" in request_ and "Filter" not in request_:
        rows = server.call("Health.ServiceNodes", request_).nodes or []
        assert [row.service.id for row in rows] == found


def test_tags_that_were_never_given_are_empty_in_the_catalog_and_nil_in_health(server: Server) -> None:
    web_on_three_nodes(server)
    assert server.call("Catalog.ServiceNodes", {"ServiceName": "web"}).service_nodes[2].service_tags == []
    assert server.call("Health.ServiceNodes", {"ServiceName": "web"}).nodes[2].service.tags is None


def test_a_filter_that_leaves_nothing_gives_an_empty_list(server: Server) -> None:
    web_on_three_nodes(server)
    assert server.call("Catalog.ListNodes", {"Filter": "Node == nope"}).nodes == []


@pytest.mark.parametrize(
    ("method", "request_"),
    [
        ("Catalog.ListNodes", {}),
        ("Catalog.ServiceNodes", {"ServiceName": "none"}),
        ("Catalog.NodeServices", {"Node": "none"}),
        ("Catalog.NodeServiceList", {"Node": "none"}),
        ("Health.ServiceNodes", {"ServiceName": "none"}),
        ("Health.NodeChecks", {"Node": "none"}),
        ("Health.ServiceChecks", {"ServiceName": "none"}),
        ("Health.ChecksInState", {"State": "any"}),
        ("Internal.NodeDump", {}),
        ("Internal.ServiceDump", {}),
    ],
)
def test_a_bad_filter_is_told_even_if_there_is_nothing_to_filter(
    server: Server, method: str, request_: dict[str, Any]
) -> None:
    with pytest.raises(RPCError) as refused:
        server.call(method, {**request_, "Filter": "Nope == 1"})
    assert str(refused.value) == 'Failed to create boolean expression evaluator: Selector "Nope" is not valid'


def test_services_of_a_node_may_be_filtered(server: Server) -> None:
    server.register(Node="a", Address="1.1.1.1", Service={"Service": "web"})
    server.register(Node="a", Address="1.1.1.1", Service={"Service": "db"})
    request = {"Node": "a", "Filter": "Service == db"}
    assert list(server.call("Catalog.NodeServices", request).node_services.services) == ["db"]
    assert [each.id for each in server.call("Catalog.NodeServiceList", request).node_services.services] == ["db"]


def test_services_by_metadata_of_their_nodes(server: Server) -> None:
    web_on_three_nodes(server)
    reply = server.call("Catalog.ListServices", {"NodeMetaFilters": {"rack": "r2"}})
    assert reply.services == {"web": []}
    assert server.call("Catalog.ListServices", {"NodeMetaFilters": {"rack": "r9"}}).services == {}


def test_health_shows_the_checks_of_the_node_before_those_of_the_instance(server: Server) -> None:
    server.register(
        Node="a",
        Address="1.1.1.1",
        Service={"Service": "web"},
        Checks=[{"Name": "a-of-web", "ServiceID": "web"}, {"Name": "z-of-node"}, {"Name": "y-of-node"}],
    )
    server.register(Node="a", Address="1.1.1.1", Service={"Service": "db"}, Check={"Name": "d", "ServiceID": "db"})
    (row,) = server.call("Health.ServiceNodes", {"ServiceName": "web"}).nodes
    assert [check.check_id for check in row.checks] == ["y-of-node", "z-of-node", "a-of-web"]


def test_near_puts_the_nearest_first_and_nodes_without_coordinates_last(server: Server) -> None:
    web_on_three_nodes(server)
    server.register(Node="d", Address="10.0.0.4", Service={"Service": "web"})
    from consulpy.state.commands import CoordinateBatchUpdate
    from consulpy.structs.coordinate import Coord, Coordinate

    places = {"a": 9.0, "b": 1.0, "c": 5.0}
    updates = [Coordinate(node=node, coord=Coord(vec=[x, *[0.0] * 7])) for node, x in places.items()]
    server.submit(CoordinateBatchUpdate(updates))

    def order(near: str) -> str:
        request = {"ServiceName": "web", "Source": {"Datacenter": "dc1", "Node": near}}
        catalog = [row.node for row in server.call("Catalog.ServiceNodes", request).service_nodes]
        health = [row.node.node for row in server.call("Health.ServiceNodes", request).nodes]
        nodes = [node.node for node in server.call("Catalog.ListNodes", {"Source": request["Source"]}).nodes]
        assert catalog == health == nodes
        return "".join(catalog)

    assert order("b") == "bcad"
    assert order("A") == "acbd"
    assert order("d") == "abcd", "who has no coordinate cannot ask for an order"
    assert order("nobody") == "abcd"
    assert order("") == "abcd"


def test_services_by_a_filter_of_a_newer_agent(server: Server) -> None:
    """Consul 1.14; real servers of 1.8.7 skip it, and answer with all services."""
    for node, service, tags in (("a", "web", ["blue"]), ("b", "web", ["green"]), ("c", "db", ["green"])):
        body = {"Node": node, "Address": "10.0.0.1", "Service": {"Service": service, "Tags": tags}}
        server.call("Catalog.Register", body)
    found = server.call("Catalog.ListServices", {"Filter": '"green" in ServiceTags'})
    assert found.services == {"db": ["green"], "web": ["green"]}
    assert server.call("Catalog.ListServices", {"Filter": 'Node == "z"'}).services == {}
    assert found.meta.index == server.call("Catalog.ListServices").meta.index
    with pytest.raises(RPCError, match="Failed to create boolean expression evaluator"):
        server.call("Catalog.ListServices", {"Filter": "nonsense =="})
