"""Records: what is written is read again, in the full form of the wire and in the sparse one of our own files."""

import dataclasses
import gc
import typing
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consulpy.codec.msgpack import pack, unpack
from consulpy.codec.record import Record
from consulpy.errors import WireError
from consulpy.gocompat.time import ZERO_TIME, from_wire, go_time
from consulpy.http.api import routes
from consulpy.rpc.methods import load_all
from consulpy.structs.check import CheckDefinition, HealthCheck
from consulpy.structs.requests import NodeRequest, RegisterRequest
from consulpy.structs.service import NodeService, Weights
from tests.harness.effort import cases

routes.load_all()  # all records are known then
load_all()

SCALARS: dict[Any, st.SearchStrategy[Any]] = {
    str: st.sampled_from(["", "web", "h\u00f6he", "\udcff"]),
    bytes: st.sampled_from([b"", b"\xff\x00"]),
    bool: st.booleans(),
    int: st.sampled_from([0, 1, -1, 2**63 - 1]),
    float: st.sampled_from([0.0, -1.5]),
    Any: st.sampled_from([0, 5]),
}
TIMES = st.sampled_from([ZERO_TIME, go_time(1.5)])


def classes(cls: type[Record] = Record) -> Iterator[type[Record]]:
    """All records that have the common form, and that come again as they went."""
    for each in cls.__subclasses__():
        if dataclasses.is_dataclass(each) and each.to_wire is Record.to_wire and of(each) is not None:
            yield each
        yield from classes(each)


def of(kind: Any, depth: int = 0) -> st.SearchStrategy[Any] | None:
    """Values of a field's type; None if it is no common one."""
    arguments = [each for each in typing.get_args(kind) if each is not type(None)]
    origin = typing.get_origin(kind)
    if kind in SCALARS:
        return SCALARS[kind]
    if origin is list and (item := of(arguments[0], depth)) is not None:
        return st.lists(item, max_size=2)
    if origin is dict and (item := of(arguments[1], depth)) is not None:
        return st.dictionaries(SCALARS[str], item, max_size=2)
    if isinstance(kind, type) and issubclass(kind, Record):
        return of_record(kind, depth + 1)
    if len(arguments) == 1 and origin not in (list, dict) and (item := of(arguments[0], depth)) is not None:
        return st.none() | item
    return None


def of_record(cls: Any, depth: int) -> st.SearchStrategy[Any] | None:
    if depth > 6 or cls.to_wire is not Record.to_wire or cls.from_wire.__func__ is not Record.from_wire.__func__:
        return None
    hints = typing.get_type_hints(cls)
    fields = {
        field.name: TIMES if field.metadata.get("decode") is from_wire else of(hints[field.name], depth)
        for field in dataclasses.fields(cls)
    }
    if None in fields.values():
        return None
    return st.builds(cls, **typing.cast(Any, fields))


gc.collect()  # `dataclass(slots=True)` leaves the class without slots behind
CLASSES = sorted(set(classes()), key=lambda cls: f"{cls.__module__}.{cls.__qualname__}")


def test_most_records_are_tried() -> None:
    assert len(CLASSES) > 60
    assert {RegisterRequest, NodeService, NodeRequest, HealthCheck} <= set(CLASSES)


@settings(max_examples=cases(600), deadline=None)
@given(st.sampled_from(CLASSES).flatmap(of))
def test_what_is_written_is_read_again(record: Record) -> None:
    cls = type(record)
    assert cls.from_wire(unpack(pack(record.to_wire()))) == record
    assert cls.from_wire(unpack(pack(record.to_sparse()))) == record
    assert list(record.to_wire()) == sorted(record.to_wire(), key=str.encode)
    copy = record.copied()
    assert copy == record
    assert copy is not record


def without_zeros(value: Any) -> Any:
    """A wire form without what Go takes for granted: the zero value of a field that is missing."""
    if isinstance(value, list):
        return [without_zeros(each) for each in value]
    if not isinstance(value, dict):
        return value
    left = {key: without_zeros(each) for key, each in value.items()}
    return {key: each for key, each in left.items() if each and each != ZERO_TIME}


@settings(max_examples=cases(600), deadline=None)
@given(st.sampled_from(CLASSES).flatmap(of))
def test_what_consul_reads_of_the_sparse_form_is_the_record(record: Record) -> None:
    """A server that was alone wrote it in its log, and replicates it to those that join later."""
    assert without_zeros(record.to_sparse()) == without_zeros(record.to_wire())


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
def test_nothing_is_left_of_a_new_record_but_what_is_not_zero_in_consul(cls: type[Record]) -> None:
    assert without_zeros(cls().to_sparse()) == without_zeros(cls().to_wire())
    assert not any(value in ("", 0, None, []) for value in cls().to_sparse().values())


def test_sparse_is_what_is_not_zero_in_consul() -> None:
    check = HealthCheck(node="n1", definition=CheckDefinition(ttl=5))
    service = NodeService(id="web", tags=[], weights=Weights(passing=1, warning=0))
    assert RegisterRequest(node="n1", service=service, checks=[check]).to_sparse() == {
        "Node": "n1",
        "Service": {"ID": "web", "Tags": [], "Weights": {"Passing": 1, "Warning": 0}},
        "Checks": [{"Node": "n1", "Definition": {"TTL": 5}}],
    }


def test_a_copy_shares_what_is_inside() -> None:
    service = NodeService(tags=["a"])
    copy = service.copied()
    copy.port = 80
    assert (service.port, copy.tags) == (0, ["a"])
    assert copy.tags is service.tags


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        ({b"Node": 5}, "RegisterRequest.Node: text was expected, not int"),
        (
            {b"Service": {b"Port": b"80"}},
            "RegisterRequest.Service: NodeService.Port: an integer was expected, not bytes",
        ),
        ({b"Service": {b"Tags": [b"a", 5]}}, "RegisterRequest.Service: NodeService.Tags: text was expected, not int"),
        ({b"NodeMeta": {b"a": 5}}, "RegisterRequest.NodeMeta: text was expected, not int"),
        ({b"NodeMeta": [1]}, "RegisterRequest.NodeMeta: a map was expected, not list"),
        (5, "RegisterRequest: a map was expected, not int"),
    ],
)
def test_an_error_names_the_field(raw: Any, text: str) -> None:
    with pytest.raises(WireError, match=f"^{text}$"):
        RegisterRequest.from_wire(raw)


def test_maps_come_in_order() -> None:
    """Go sends them in an order of chance and shows them sorted; values without a type too."""
    raw = unpack(pack({"Meta": {"b": "1", "a": None, "": "3"}, "Proxy": {"Config": {"d": {"y": 1, "x": 2}, "c": 3}}}))
    service = NodeService.from_wire(raw)
    assert service.meta is not None
    assert list(service.meta.items()) == [("", "3"), ("a", ""), ("b", "1")]
    shown = service.to_json()["Proxy"]["Config"]
    assert (list(shown), list(shown["d"])) == (["c", "d"], ["x", "y"])


def test_a_struct_may_come_as_an_array_in_declared_order() -> None:
    assert Weights.from_wire([3, 2]) == Weights(passing=3, warning=2)
    assert Weights.from_wire([3]) == Weights(passing=3, warning=1)
    assert Weights.from_wire(None) == Weights()
