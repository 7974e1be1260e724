"""Record what real Consul says of parameters that it refuses, and of paths whose last part is missing.

    python -m tests.unit.http.record_parameters http://ADDRESS:8500

wants a fresh single server without Connect. Every endpoint is asked with every bad value of every parameter; what does
not depend on the server's state is written into parameters.json: status and text -> requests. `test_parameters.py`
replays it.
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

from tests.unit.http.record_decoding import ask

RECORDED = Path(__file__).with_name("parameters.json")

READS = [
    "/v1/kv/k",
    "/v1/kv/",
    "/v1/catalog/datacenters",
    "/v1/catalog/nodes",
    "/v1/catalog/services",
    "/v1/catalog/service/s",
    "/v1/catalog/service/",
    "/v1/catalog/connect/s",
    "/v1/catalog/connect/",
    "/v1/catalog/node/n",
    "/v1/catalog/node/",
    "/v1/catalog/node-services/n",
    "/v1/catalog/node-services/",
    "/v1/catalog/gateway-services/g",
    "/v1/catalog/gateway-services/",
    "/v1/health/node/n",
    "/v1/health/node/",
    "/v1/health/checks/s",
    "/v1/health/checks/",
    "/v1/health/state/any",
    "/v1/health/state/",
    "/v1/health/service/s",
    "/v1/health/service/",
    "/v1/health/connect/s",
    "/v1/health/connect/",
    "/v1/health/ingress/s",
    "/v1/health/ingress/",
    "/v1/agent/services",
    "/v1/agent/service/w",
    "/v1/agent/service/",
    "/v1/agent/checks",
    "/v1/agent/members",
    "/v1/agent/health/service/id/w",
    "/v1/agent/health/service/id/",
    "/v1/agent/health/service/name/w",
    "/v1/agent/health/service/name/",
    "/v1/session/list",
    "/v1/session/info/x",
    "/v1/session/info/",
    "/v1/session/node/n",
    "/v1/session/node/",
    "/v1/query",
    "/v1/query/x",
    "/v1/query/x/execute",
    "/v1/query/x/explain",
    "/v1/query/",
    "/v1/query/execute",
    "/v1/event/list",
    "/v1/coordinate/nodes",
    "/v1/coordinate/node/n",
    "/v1/coordinate/node/",
    "/v1/operator/raft/configuration",
    "/v1/operator/autopilot/configuration",
    "/v1/operator/keyring",
    "/v1/connect/intentions",
    "/v1/connect/intentions/",
    "/v1/connect/intentions/x",
    "/v1/connect/intentions/match",
    "/v1/connect/intentions/check",
    "/v1/connect/ca/roots",
    "/v1/agent/connect/ca/leaf/w",
    "/v1/config/service-defaults",
    "/v1/config/service-defaults/w",
    "/v1/config/service-defaults/",
    "/v1/config/bogus",
    "/v1/discovery-chain/w",
    "/v1/discovery-chain/",
    "/v1/internal/ui/nodes",
    "/v1/internal/ui/node/n",
    "/v1/internal/ui/node/",
    "/v1/internal/ui/services",
    "/v1/internal/ui/gateway-services-nodes/",
    "/v1/internal/federation-states",
    "/v1/internal/federation-state/",
    "/v1/agent/monitor?loglevel=bogus",
]
QUERIES = [
    "x",
    "wait=x",
    "wait=5",
    "wait=1e3s",
    "index=x",
    "index=-1",
    "index=1.5",
    "index=99999999999999999999",
    "index=%2B1",
    "index=x&wait=x",
    "stale&consistent",
    "stale=&consistent=",
    "cached&consistent",
    "max_stale=x",
    "max_stale=5",
    "max_stale=5s&consistent",
    "passing=x",
    "passing=yes",
    "ns=x",
    "filter=((",
    "wan=1&segment=x",
    "segment=x",
    "hash=x&wait=x",
    "format=prometheus",
    "limit=x",
    "limit=1.5",
    "connect=x",
    "by=bogus&name=w",
    "by=source&name=",
    "by=destination&name=a/b/c",
    "source=a",
    "source=a/b/c&destination=b",
    "relay-factor=x",
    "relay-factor=6",
    "relay-factor=-1",
    "relay-factor=1.0",
    "dc=bogus",
    "dc=bogus&index=x",
    "keys&recurse",
    "%",
    "a=%zz",
    "a=%",
]
NUMBERS = ("x", "-1", "1.5", "99999999999999999999", "0x1", "%2B1")

#: (method, path, body, queries)
WRITES: list[tuple[str, str, str, list[str]]] = [
    ("PUT", "/v1/kv/k", "v", [f"{name}={number}" for name in ("cas", "flags") for number in NUMBERS]),
    ("PUT", "/v1/kv/k", "v", ["acquire=x&release=x", "cas=0&acquire=x", "cas=0&release=x", "acquire=x", "acquire="]),
    ("PUT", "/v1/kv/", "v", ["x"]),
    ("DELETE", "/v1/kv/none", "", [f"cas={number}" for number in NUMBERS]),
    ("DELETE", "/v1/kv/none", "", ["recurse&cas=0", "recurse=false&cas=1"]),
    ("DELETE", "/v1/kv/", "", ["x"]),
    ("PUT", "/v1/config", '{"Kind": "service-defaults", "Name": "w"}', [f"cas={number}" for number in NUMBERS]),
    ("PUT", "/v1/config", '{"Kind": "service-defaults"}', ["x", "cas="]),
    ("PUT", "/v1/config", "null", ["x"]),
    ("DELETE", "/v1/config/bogus/x", "", ["x"]),
    ("DELETE", "/v1/config/service-defaults", "", ["x"]),
    ("DELETE", "/v1/config/service-defaults/none", "", ["ns=x"]),
    ("PUT", "/v1/operator/autopilot/configuration", "{}", [f"cas={number}" for number in NUMBERS]),
    ("DELETE", "/v1/operator/raft/peer", "", ["x", "id=x&address=y"]),
    ("POST", "/v1/operator/keyring", "", ["relay-factor=x"]),
    ("POST", "/v1/operator/keyring", "{}", ["relay-factor=x", "relay-factor=6"]),
    ("PUT", "/v1/session/destroy/", "", ["x", "ns=x"]),
    ("PUT", "/v1/session/renew/", "", ["x", "wait=x"]),
    ("PUT", "/v1/event/fire/", "", ["x"]),
    ("PUT", "/v1/event/fire/e", "", ["node=(", "service=(", "tag=x", "service=x&tag=("]),
    ("PUT", "/v1/agent/check/pass/none", "", ["x"]),
    ("PUT", "/v1/agent/check/update/none", '{"Status": "bogus"}', ["x"]),
    ("PUT", "/v1/agent/check/update/none", "", ["x"]),
    ("PUT", "/v1/agent/service/maintenance/", "", ["x", "enable=true"]),
    ("PUT", "/v1/agent/service/maintenance/none", "", ["x", "enable=", "enable=x"]),
    ("PUT", "/v1/agent/maintenance", "", ["x", "enable=", "enable=x"]),
    ("PUT", "/v1/agent/service/deregister", "", ["x"]),
    ("GET", "/v1/agent/service/maintenance", "", ["x"]),
    ("PUT", "/v1/agent/check/pass", "", ["x"]),
    ("PUT", "/v1/query/x", "", ["x"]),
    ("PUT", "/v1/query/x", "{}", ["x"]),
    ("PUT", "/v1/query/execute", "{}", ["x"]),
    ("DELETE", "/v1/query/", "", ["x"]),
    ("DELETE", "/v1/query", "", ["x", "%"]),
    ("PUT", "/v1/connect/intentions/x", "", ["x"]),
    ("PUT", "/v1/connect/intentions/x", "{}", ["x"]),
    ("POST", "/v1/connect/intentions", "", ["x"]),
    ("POST", "/v1/agent/connect/authorize", "{}", ["x", "ns=x"]),
    ("POST", "/v1/discovery-chain/w", "[]", ["x", "index=x"]),
    ("PUT", "/v1/txn", "", ["x", "wait=x"]),
    ("PUT", "/v1/txn", "[]", ["wait=x", "stale&consistent"]),
    ("PUT", "/v1/catalog/register", "{}", ["x"]),
    ("PUT", "/v1/catalog/register", "null", ["x", "ns=x"]),
    ("PUT", "/v1/catalog/deregister", "null", ["x"]),
    ("PUT", "/v1/agent/service/register", "null", ["x"]),
    ("PUT", "/v1/agent/check/register", "null", ["x"]),
]


def requests() -> Iterator[tuple[str, str, str]]:
    """(method, target, body) of everything that is asked."""
    for path in READS:
        for query in QUERIES:
            yield "GET", f"{path}{'&' if '?' in path else '?'}{query}", ""
    for method, path, body, queries in WRITES:
        for query in queries:
            yield method, f"{path}?{query}", body


def main(url: str) -> None:
    place = urlsplit(url).netloc
    found: dict[str, list[str]] = {}
    for method, target, body in requests():
        status, text = ask(place, method, target, body, plain=True)
        if status >= 300:
            found.setdefault(f"{status} {text}", []).append(f"{method} {target} {body}".strip())
    RECORDED.write_text(json.dumps(found, indent=0) + "\n")


if __name__ == "__main__":
    main(sys.argv[1])
