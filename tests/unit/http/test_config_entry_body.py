"""The body of `PUT /v1/config`: names, types and the texts of faults are those that a real 1.8.7 gave."""

from typing import Any

import pytest

from consulpy.connect.config_entries.normalize import normalized
from consulpy.connect.config_entries.validate import validate
from consulpy.errors import RPCError
from consulpy.gocompat.json_decode import GoError
from consulpy.http.api.config_entry_body import entry_of
from consulpy.structs.config_entry import ServiceDefaults, ServiceRouter, decode_entry
from consulpy.structs.config_entry_requests import EntryRequest

DEFAULTS = {"Kind": "service-defaults", "Name": "a"}
RESOLVER = {"Kind": "service-resolver", "Name": "a"}
ROUTER = {"Kind": "service-router", "Name": "a"}
GATEWAY = {"Kind": "terminating-gateway", "Name": "a"}


def unknown(*keys: str) -> str:
    lines = "".join(f'\t* invalid config key "{key}"\n' for key in keys)
    return f"{len(keys)} error{'s' if len(keys) > 1 else ''} occurred:\n{lines}\n"


def faults(*lines: str) -> str:
    return f"{len(lines)} error(s) decoding:\n\n" + "\n".join(f"* {line}" for line in lines)


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (DEFAULTS | {"kind": "x"}, unknown("kind")),
        (DEFAULTS | {"name": "b"}, unknown("name")),
        (DEFAULTS | {"Protocol": "tcp", "protocol": "http"}, unknown("protocol")),
        (DEFAULTS | {"mesh_gateway": {}, "MeshGateway": {}}, unknown("meshgateway")),
        (DEFAULTS | {"external_s_ni": "x"}, unknown("external_s_ni")),
        (DEFAULTS | {"create_index": 1}, unknown("create_index")),
        (
            DEFAULTS | {"Expose": {"Paths": [{"listener_port": 1, "ListenerPort": 2}]}},
            unknown("Expose.Paths[0].listenerport"),
        ),
        (GATEWAY | {"Services": [], "services": []}, unknown("services")),
        (GATEWAY | {"Services": [{"Name": "a", "c_a_file": "x"}]}, unknown("Services[0].c_a_file")),
        (
            RESOLVER | {"Failover": "x", "Redirect": 5, "Subsets": 7, "Foo": 1},
            faults(
                "'Failover' expected a map, got 'string'",
                "'Redirect' expected a map, got 'float64'",
                "'Subsets' expected a map, got 'float64'",
            ),
        ),
        (
            ROUTER | {"Routes": [5, {"Match": 6, "Destination": {"NumRetries": "x", "RequestTimeout": "y"}}]},
            faults(
                "'Routes[0]' expected a map, got 'float64'",
                "'Routes[1].Match' expected a map, got 'float64'",
                "cannot parse 'Routes[1].Destination.NumRetries' as uint: "
                'strconv.ParseUint: parsing "x": invalid syntax',
                "error decoding 'Routes[1].Destination.RequestTimeout': time: invalid duration \"y\"",
            ),
        ),
        (
            ROUTER | {"Routes": {"Destination": {"NumRetries": [1, 2]}}},
            faults(
                "'Routes[0].Destination.NumRetries' expected type 'uint32', got unconvertible type '[]interface {}'"
            ),
        ),
        (RESOLVER | {"Failover": [1]}, faults("'Failover' expected a map, got 'float64'")),
    ],
)
def test_faults_are_listed_as_consul_lists_them(body: dict[str, Any], text: str) -> None:
    with pytest.raises(GoError) as caught:
        entry_of(body)
    assert str(caught.value) == text


@pytest.mark.parametrize(
    ("body", "attribute", "value"),
    [
        (DEFAULTS | {"mesh_Gateway": {"MODE": "local"}}, "mesh_gateway.mode", "local"),
        (DEFAULTS | {"externalsni": "x"}, "external_sni", "x"),
        (DEFAULTS | {"Name": 1e20}, "name", "100000000000000000000"),
        (DEFAULTS | {"Name": 1e-7}, "name", "0.0000001"),
        (RESOLVER | {"Subsets": {"v1": None}}, "subsets.v1.filter", ""),
        (RESOLVER | {"Subsets": [{"v1": {}}, {"v2": {"only_passing": 1}}]}, "subsets.v2.only_passing", True),
    ],
)
def test_types_and_names_are_taken_loosely(body: dict[str, Any], attribute: str, value: Any) -> None:
    found: Any = entry_of(body)
    for part in attribute.split("."):
        found = found[part] if isinstance(found, dict) else getattr(found, part)
    assert found == value


def retries(number: Any, codes: Any = None) -> ServiceRouter:
    found: Any = entry_of(ROUTER | {"Routes": [{"Destination": {"NumRetries": number, "RetryOnStatusCodes": codes}}]})
    assert isinstance(found, ServiceRouter)
    return found


@pytest.mark.parametrize(("given", "stored"), [(-1, 4294967295), (2**40, 0), (1e30, 0), (1.9, 1), ("7", 7)])
def test_numbers_of_32_bits_lose_the_others(given: Any, stored: int) -> None:
    """As in Consul; a number that does not fit would end every real server that reads it in the log."""
    entry = retries(given, [given])
    assert entry.routes is not None
    destination = entry.routes[0].destination
    assert destination is not None
    assert (destination.num_retries, destination.retry_on_status_codes) == (stored, [stored])


@pytest.mark.parametrize("number", [-1, 2**32])
def test_a_number_that_real_servers_cannot_read_is_refused_however_it_comes(number: int) -> None:
    entry = retries(3, [500])
    entry.routes[0].destination.num_retries = number  # type: ignore[index,union-attr]
    with pytest.raises(RPCError, match=r"Routes\[0\].Destination.NumRetries must be a number from 0 to 4294967295"):
        validate(entry)
    entry = retries(3, [500])
    entry.routes[0].destination.retry_on_status_codes = [200, number]  # type: ignore[index,union-attr]
    with pytest.raises(RPCError, match=r"RetryOnStatusCodes\[1\] must be a number from 0 to 4294967295"):
        validate(entry)


def splitter(weight: Any) -> dict[str, Any]:
    return {"Kind": "service-splitter", "Name": "a", "Splits": [{"Weight": weight}]}


@pytest.mark.parametrize(
    ("body", "path", "parser", "given", "why"),
    [
        (splitter("1e400"), "Splits[0].Weight", "float: strconv.ParseFloat", "1e400", "value out of range"),
        (splitter(" 1"), "Splits[0].Weight", "float: strconv.ParseFloat", " 1", "invalid syntax"),
        (
            ROUTER | {"Routes": [{"Destination": {"NumRetries": "+5"}}]},
            *("Routes[0].Destination.NumRetries", "uint: strconv.ParseUint", "+5", "invalid syntax"),
        ),
        (
            ROUTER | {"Routes": [{"Destination": {"NumRetries": "4294967296"}}]},
            *("Routes[0].Destination.NumRetries", "uint: strconv.ParseUint", "4294967296", "value out of range"),
        ),
        (
            DEFAULTS | {"Expose": {"Paths": [{"ListenerPort": "9223372036854775808"}]}},
            *("Expose.Paths[0].ListenerPort", "int: strconv.ParseInt", "9223372036854775808", "value out of range"),
        ),
        (
            DEFAULTS | {"Expose": {"Checks": "tRUE"}},
            *("Expose.Checks", "bool: strconv.ParseBool", "tRUE", "invalid syntax"),
        ),
    ],
)
def test_a_text_that_is_no_number_of_the_type_is_refused_as_by_go(
    body: dict[str, Any], path: str, parser: str, given: str, why: str
) -> None:
    with pytest.raises(GoError) as caught:
        entry_of(body)
    assert str(caught.value) == faults(f"cannot parse '{path}' as {parser}: parsing \"{given}\": {why}")


@pytest.mark.parametrize(("given", "port"), [("0x10", 16), ("017", 15), ("0b11", 3), ("1_0", 10), ("-7", -7)])
def test_a_text_stands_for_a_whole_number_of_any_base(given: str, port: int) -> None:
    entry: Any = entry_of(DEFAULTS | {"Expose": {"Paths": [{"ListenerPort": given}]}})
    assert entry.expose.paths[0].listener_port == port


@pytest.mark.parametrize("name", ["createindex", "create_index", "MODIFYINDEX", "Modify_Index"])
def test_indexes_are_read_past_under_their_very_names_only(name: str) -> None:
    assert entry_of(DEFAULTS | {"CreateIndex": "x", "ModifyIndex": 7}).modify_index == 0
    with pytest.raises(GoError, match=f'invalid config key "{name}"'):
        entry_of(DEFAULTS | {name: 7})


def test_larger_numbers_are_refused_too() -> None:
    paths = {"Paths": [{"Path": "/a", "ListenerPort": 1e30}]}
    with pytest.raises(RPCError, match=r"Expose.Paths\[0\].ListenerPort must be a number from"):
        validate(entry_of(DEFAULTS | {"Expose": paths}))
    with pytest.raises(RPCError, match=r"Splits\[0\].Weight is too large a number"):
        validate(entry_of({"Kind": "service-splitter", "Name": "a", "Splits": [{"Weight": 1e300}]}))


def test_an_entry_has_the_kind_of_its_request_whatever_it_says_itself() -> None:
    """As in Consul. An entry in the log under a kind that is none could be read by no server."""
    entry = ServiceDefaults(kind="x", name="a")
    assert normalized(entry, "service-defaults").kind == "service-defaults"
    assert decode_entry("service-defaults", {b"Kind": b"x", b"Name": b"a"}).kind == "service-defaults"
    request = EntryRequest("dc1", op="upsert", entry=normalized(entry, "service-defaults"))
    assert EntryRequest.from_wire(request.to_wire()).entry.kind == "service-defaults"


@pytest.mark.parametrize("weight", [1e300, -1e39, float("inf"), float("nan")])
def test_a_weight_that_is_no_number_of_go_is_refused_in_words(weight: float) -> None:
    entry: Any = entry_of({"Kind": "service-splitter", "Name": "a", "Splits": [{"Weight": 1}]})
    entry.splits[0].weight = weight
    with pytest.raises(RPCError, match="the sum of all split weights must be 100"):
        validate(normalized(entry, "service-splitter"))
