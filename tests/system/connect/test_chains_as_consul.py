"""Random config entries on a real Consul and on our state store: the same are refused, the same chains are compiled."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from consulpy.state.store import Store
from tests.harness.config_entries import chain, delete, put
from tests.harness.random_entries import KINDS, Entries
from tests.peers.programs import Host, ask, eventually, hosts

pytestmark = [pytest.mark.peers]

ADDRESS = "127.86.1.1"
HTTP = f"{ADDRESS}:8500"
WRITES = 400
#: Query parameters of a chain, and the datacenter that they name.
VIEWS = (("", "dc1"), ("?compile-dc=dc2", "dc2"))
#: Overrides in the body of a request, and as arguments of our compiler.
OVERRIDES: tuple[tuple[dict[str, Any], dict[str, Any]], ...] = (
    ({}, {}),
    ({}, {}),
    ({"OverrideProtocol": "tcp"}, {"protocol": "tcp"}),
    ({"OverrideProtocol": "grpc"}, {"protocol": "grpc"}),
    ({"OverrideConnectTimeout": "3s"}, {"connect_timeout_ns": 3_000_000_000}),
    ({"OverrideMeshGateway": {"Mode": "remote"}}, {"mesh_gateway_mode": "remote"}),
)


@pytest.fixture
def consul(tmp_path: Path) -> Iterator[Host]:
    """A real Consul with Connect."""
    with hosts(tmp_path, None) as (made,):
        made.start("consul", "consul", "agent", "-dev", "-bind", ADDRESS, "-client", ADDRESS, "-log-level", "warn")
        eventually(lambda: ask(f"{HTTP}/v1/connect/ca/roots")["TrustDomain"], "a real Consul with a CA")
        yield made


def refusal(method: str, path: str, body: Any = None) -> str:
    try:
        ask(f"{HTTP}{path}", method, json.dumps(body).encode() if body is not None else None)
    except ValueError as error:
        return str(error).partition(": ")[2]
    return ""


def their_chain(name: str, query: str = "", body: Any = None) -> Any:
    try:
        method, data = ("POST", json.dumps(body).encode()) if body else ("GET", None)
        return ask(f"{HTTP}/v1/discovery-chain/{name}{query}", method, data)["Chain"]
    except ValueError as error:
        return str(error).partition(": ")[2]


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.usefixtures("consul")
def test_random_entries_have_the_same_fate(seed: int) -> None:
    """Source: the real Consul beside us. Where several services are wrong, an error may name any of them."""
    trust_domain = ask(f"{HTTP}/v1/connect/ca/roots")["TrustDomain"]
    entries, store, chains, refused, other_words = Entries(seed), Store(), 0, 0, 0
    for _ in range(WRITES):
        what: Any
        if entries.random.random() < 0.2:
            what = ("DELETE", entries.random.choice(KINDS), entries.name())
            ours, theirs = delete(store, *what[1:]), refusal("DELETE", f"/v1/config/{what[1]}/{what[2]}")
        else:
            what = entries.entry()
            ours, theirs = put(store, what), refusal("PUT", "/v1/config", what)
        assert bool(ours) == bool(theirs), (what, ours, theirs)
        refused += bool(ours)
        other_words += kind_of(ours) != kind_of(theirs)
        name, (query, datacenter), (body, overrides) = entries.name(), *map(entries.random.choice, (VIEWS, OVERRIDES))
        compiled = without_indexes(chain(store, name, trust_domain, datacenter, **overrides))
        real = without_indexes(their_chain(name, query, body))
        assert compiled == real or isinstance(compiled, str) == isinstance(real, str) is True, (name, what, body)
        chains += isinstance(compiled, dict)
    assert chains > WRITES / 2, "most chains compile"
    assert WRITES / 20 < refused < WRITES / 2, "some writes are refused"
    assert other_words <= refused / 4, "nearly always with the same words"


def kind_of(error: str) -> str:
    """An error without names: where several services are wrong, or several circles found, any may be named."""
    return re.sub(r'"[^"]*"|\[.*\]', "", error)


def without_indexes(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: without_indexes(each) for key, each in value.items() if not key.endswith("Index")}
    return [without_indexes(each) for each in value] if isinstance(value, list) else value
