"""Record what real Consul says of requests with two faults, and of values that it quotes, into several_faults.json.

    python -m tests.unit.http.record_several_faults http://ADDRESS:8500

wants a fresh single server without Connect. `test_several_faults.py` replays it.
"""

import json
import sys
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, urlsplit

from tests.unit.http.record_decoding import ask

RECORDED: Final = Path(__file__).with_name("several_faults.json")

_BAD_META: Final = {"a b": "c"}
_PROXY: Final = {"Kind": "connect-proxy", "Service": "x"}
#: (method, path, a sound body, bodies' faulty parts, of which each two come together)
PARTS: Final[list[tuple[str, str, dict[str, Any], list[dict[str, Any]]]]] = [
    (
        "PUT", "/v1/agent/service/register", {"Name": "w"},
        [
            {"Weights": {"Passing": -1}}, {"Meta": _BAD_META}, {"Kind": "connect-proxy", "Port": 0, "Proxy": {}},
            {"Check": {"HTTP": "http://a"}}, {"Check": {"TTL": "10s", "Status": "X"}}, {"Address": "0.0.0.0"},
            {"Checks": [{"TTL": "10s", "Status": "X"}, {"HTTP": "a"}]}, {"Check": {"Args": ["a"], "Interval": "10s"}},
            {"Connect": {"SidecarService": {"Check": {"HTTP": "x"}}}}, {"Name": ""},
        ],
    ),
    (
        "PUT", "/v1/agent/check/register", {"Name": "c"},
        [
            {"HTTP": "a"}, {"TTL": "10s", "Status": "X"}, {"TTL": "10s", "ServiceID": "zz"}, {"ServiceID": "zz"},
            {"Args": ["true"], "Interval": "10s"}, {"Name": ""}, {"TTL": "1s", "Interval": "1s"},
        ],
    ),
    (
        "PUT", "/v1/catalog/register", {"Node": "nn", "Address": "1.1.1.1"},
        [
            {"Node": ""}, {"Address": ""}, {"ID": "x"}, {"Service": {"ID": "x"}}, {"Service": {**_PROXY}},
            {"Service": {**_PROXY, "Service": "", "ID": "x"}}, {"Service": {"Service": "x", "Meta": _BAD_META}},
            {"Service": {"Service": "x", "Address": "0.0.0.0"}}, {"Service": {**_PROXY, "Address": "0.0.0.0"}},
            {"Check": {"Node": "zz", "Name": "x"}}, {"Check": {"Name": "x", "ServiceID": "zz"}}, {"Check": {}},
            {"Service": {}}, {"Service": {"Kind": "mesh-gateway", "Service": "x"}},
        ],
    ),
    (
        "PUT", "/v1/session/create", {},
        [
            {"NodeChecks": ["zz"]}, {"Checks": ["zz"]}, {"TTL": "1s"}, {"TTL": "25h"}, {"Behavior": "x"},
            {"Node": "zz"}, {"LockDelay": "61s"},
        ],
    ),
    (
        "POST", "/v1/query", {"Name": "q", "Service": {"Service": "a"}},
        [
            {"Name": ""}, {"Service": {}}, {"DNS": {"TTL": "x"}}, {"DNS": {"TTL": "-1s"}}, {"Template": {"Type": "x"}},
            {"Service": {"Service": "a", "Failover": {"NearestN": -1}}}, {"Session": "x"},
            {"Template": {"Type": "name_prefix_match", "Regexp": "("}},
        ],
    ),
]  # fmt: skip

#: A text that Go's %q escapes.
ODD: Final = 'a"b\\é'
QUOTED: Final[list[tuple[str, str, Any]]] = [
    ("PUT", "/v1/agent/service/maintenance/{}?enable=true", ""),
    ("PUT", "/v1/agent/maintenance?enable={}", ""),
    ("PUT", "/v1/agent/service/maintenance/x?enable={}", ""),
    ("PUT", "/v1/kv/a?cas={}", "x"),
    ("PUT", "/v1/kv/a?flags={}", "x"),
    ("DELETE", "/v1/kv/a?cas={}", ""),
    ("PUT", "/v1/config?cas={}", {"Kind": "service-defaults", "Name": "a"}),
    ("PUT", "/v1/operator/autopilot/configuration?cas={}", {}),
    ("GET", "/v1/query/x/execute?limit={}", ""),
    ("DELETE", "/v1/operator/raft/peer?id={}", ""),
    ("DELETE", "/v1/operator/raft/peer?address={}", ""),
    ("PUT", "/v1/catalog/register", {"Node": "n1", "Address": "a", "Check": {"Node": ODD, "Name": "x"}}),
    ("PUT", "/v1/agent/check/register", {"Name": "c", "TTL": "10s", "ServiceID": ODD}),
    ("POST", "/v1/connect/intentions",
     {"SourceName": "a", "DestinationName": "b", "Action": "allow", "Meta": {ODD: "x" * 600}}),
    ("POST", "/v1/connect/intentions",
     {"SourceName": "a", "DestinationName": "b", "Action": "allow", "Meta": {ODD * 30: "x"}}),
    ("PUT", "/v1/txn", [{"KV": {"Verb": ODD, "Key": "a"}}]),
    ("PUT", "/v1/txn", [{"KV": {"Verb": "get", "Key": ODD}}]),
    ("PUT", "/v1/txn", [{"KV": {"Verb": "cas", "Key": ODD, "Index": 7}}]),
    ("PUT", "/v1/txn", [{"KV": {"Verb": "check-session", "Key": ODD, "Session": ODD}}]),
    ("PUT", "/v1/txn", [{"Node": {"Verb": "get", "Node": {"Node": ODD}}}]),
    ("PUT", "/v1/txn", [{"Service": {"Verb": "get", "Node": ODD, "Service": {"ID": ODD, "Service": ODD}}}]),
    ("PUT", "/v1/txn", [{"Service": {"Verb": "set", "Node": ODD, "Service": {}}}]),
    ("PUT", "/v1/txn", [{"Check": {"Verb": "get", "Check": {"Node": ODD, "CheckID": ODD}}}]),
]  # fmt: skip


def requests() -> Iterator[tuple[str, str, Any]]:
    """(method, target, body) of everything that is asked."""
    for method, path, base, parts in PARTS:
        for one, other in combinations(parts, 2):
            yield method, path, {**base, **one, **other}
    for method, target, body in QUOTED:
        yield method, target.format(quote(ODD)), body


def main(url: str) -> None:
    """Record."""
    place = urlsplit(url).netloc
    answers = [[*each, *ask(place, *each, plain=True)] for each in requests()]
    lines = ",\n".join(json.dumps(each) for each in answers if each[3] >= 400)
    RECORDED.write_text(f"[\n{lines}\n]\n")


if __name__ == "__main__":
    main(sys.argv[1])
