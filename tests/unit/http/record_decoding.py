"""Record what real Consul says of request bodies with wrong types and unknown fields, into decoding.json.

    python -m tests.unit.http.record_decoding http://ADDRESS:8500

wants a single server. Every field of every body that the API decodes gets values of other types, every level an unknown
field. Only what Consul refuses while it decodes is kept: nothing of it depends on the server's state.
`test_decoding.py` replays it.
"""

import http.client
import json
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

RECORDED = Path(__file__).with_name("decoding.json")
VALUES: tuple[Any, ...] = (True, "x", [1], {"a": 1}, 1.5, -1)
NODE = {"Node": "n1", "Address": "10.0.0.1"}

_Body = Callable[[dict[str, Any]], Any]


def _in(*path: str | int, base: dict[str, Any] | None = None) -> _Body:
    """What puts fields where `path` leads: a name is a member, a number makes a list of one."""

    def build(fields: dict[str, Any]) -> Any:
        value: Any = fields
        for step in reversed(path):
            value = [value] if isinstance(step, int) else {step: value}
        return {**(base or {}), **value} if isinstance(value, dict) else value

    return build


SERVICE = "Kind ID Tags TaggedAddresses Meta Port Weights EnableTagOverride Proxy Connect"
CHECK = (
    "Name Status Notes ScriptArgs HTTP Header Interval Timeout TTL TLSSkipVerify SuccessBeforePassing OutputMaxSize"
    " ServiceID DeregisterCriticalServiceAfter"
)
PROXY = "DestinationServiceName LocalServicePort Config Upstreams MeshGateway Expose"
UPSTREAM = "DestinationType LocalBindPort Config MeshGateway"
PATH = "Path ListenerPort ParsedFromCheck"

#: (method, path, what makes the body, its fields)
BODIES: list[tuple[str, str, _Body, str]] = [
    ("PUT", "/v1/catalog/register", _in(base=NODE),
     "ID Node Address TaggedAddresses NodeMeta Service Check Checks SkipNodeUpdate CreateIndex Datacenter Token"),
    ("PUT", "/v1/catalog/register", _in("Service", base=NODE), SERVICE + " CreateIndex LocallyRegisteredAsSidecar"),
    ("PUT", "/v1/catalog/register", _in("Service", "Weights", base=NODE), "Passing Warning"),
    ("PUT", "/v1/catalog/register", _in("Service", "TaggedAddresses", "lan", base=NODE), "Address Port"),
    ("PUT", "/v1/catalog/register", _in("Service", "Connect", base=NODE), "Native SidecarService"),
    ("PUT", "/v1/catalog/register", _in("Service", "Proxy", base=NODE), PROXY),
    ("PUT", "/v1/catalog/register", _in("Service", "Proxy", "MeshGateway", base=NODE), "Mode"),
    ("PUT", "/v1/catalog/register", _in("Service", "Proxy", "Upstreams", 0, base=NODE), UPSTREAM),
    ("PUT", "/v1/catalog/register", _in("Service", "Proxy", "Expose", base=NODE), "Checks Paths"),
    ("PUT", "/v1/catalog/register", _in("Service", "Proxy", "Expose", "Paths", 0, base=NODE), PATH),
    ("PUT", "/v1/catalog/register", _in("Check", base=NODE), "Node CheckID Status ServiceTags Type Definition"),
    ("PUT", "/v1/catalog/register", _in("Checks", 0, base=NODE), "Node CheckID Status ServiceTags ModifyIndex"),
    ("PUT", "/v1/catalog/register", _in("Check", "Definition", base=NODE),
     "HTTP Header Interval TLSSkipVerify ScriptArgs OutputMaxSize TTL"),
    ("PUT", "/v1/catalog/deregister", _in(base={"Node": "none"}), "Node Address ServiceID CheckID Datacenter Token"),
    ("PUT", "/v1/agent/service/register", _in(base={"Name": "w"}), SERVICE + " Token Check Checks"),
    ("PUT", "/v1/agent/service/register", _in("Weights", base={"Name": "w"}), "Passing Warning"),
    ("PUT", "/v1/agent/service/register", _in("Check", base={"Name": "w"}), "CheckID " + CHECK),
    ("PUT", "/v1/agent/service/register", _in("Checks", 0, base={"Name": "w"}), "CheckID " + CHECK),
    ("PUT", "/v1/agent/service/register", _in("Connect", base={"Name": "w"}), "Native SidecarService"),
    ("PUT", "/v1/agent/service/register", _in("Connect", "SidecarService", base={"Name": "w"}), "Port Proxy Check"),
    ("PUT", "/v1/agent/service/register", _in("Proxy", base={"Name": "w"}), PROXY),
    ("PUT", "/v1/agent/service/register", _in("Proxy", "Upstreams", 0, base={"Name": "w"}), UPSTREAM),
    ("PUT", "/v1/agent/service/register", _in("Proxy", "Expose", "Paths", 0, base={"Name": "w"}), PATH),
    ("PUT", "/v1/agent/check/register", _in(base={"Name": "c"}), "ID Token " + CHECK),
    ("PUT", "/v1/agent/check/update/c", _in(base={"Status": "passing"}), "Status Output"),
    ("PUT", "/v1/session/create", _in(), "ID Name Node LockDelay Behavior TTL Checks NodeChecks ServiceChecks"),
    ("PUT", "/v1/session/create", _in("ServiceChecks", 0), "ID"),
    ("PUT", "/v1/txn", _in(0), "KV Node Service Check"),
    ("PUT", "/v1/txn", _in(0, "KV"), "Verb Key Value Flags Index Session"),
    ("PUT", "/v1/txn", _in(0, "Node"), "Verb Node"),
    ("PUT", "/v1/txn", _in(0, "Node", "Node"), "ID TaggedAddresses Meta CreateIndex"),
    ("PUT", "/v1/txn", _in(0, "Service"), "Verb Node Service"),
    ("PUT", "/v1/txn", _in(0, "Service", "Service"), SERVICE + " ContentHash"),
    ("PUT", "/v1/txn", _in(0, "Service", "Service", "Weights"), "Passing"),
    ("PUT", "/v1/txn", _in(0, "Service", "Service", "Proxy"), PROXY),
    ("PUT", "/v1/txn", _in(0, "Check"), "Verb Check"),
    ("PUT", "/v1/txn", _in(0, "Check", "Check"), "Status ServiceTags Definition Type"),
    ("POST", "/v1/query", _in(), "ID Name Session Token Template Service DNS CreateIndex"),
    ("POST", "/v1/query", _in("Service"), "Service Failover OnlyPassing IgnoreCheckIDs Near Tags NodeMeta Connect"),
    ("POST", "/v1/query", _in("Service", "Failover"), "NearestN Datacenters"),
    ("POST", "/v1/query", _in("Template"), "Type Regexp RemoveEmptyTags"),
    ("POST", "/v1/query", _in("DNS"), "TTL"),
    ("POST", "/v1/connect/intentions", _in(),
     "ID Description SourceNS SourceType Action DefaultAddr DefaultPort Meta Precedence CreatedAt Hash CreateIndex"),
    ("PUT", "/v1/operator/autopilot/configuration", _in(),
     "CleanupDeadServers LastContactThreshold MaxTrailingLogs MinQuorum RedundancyZoneTag ModifyIndex"),
    ("POST", "/v1/operator/keyring", _in(), "Key"),
    ("PUT", "/v1/operator/keyring", _in(), "Key"),
    ("DELETE", "/v1/operator/keyring", _in(), "Key"),
    ("PUT", "/v1/config", _in(), "Kind"),
    ("PUT", "/v1/config", _in(base={"Kind": "service-defaults", "Name": "w"}), "Name Protocol MeshGateway Expose Meta"),
    ("PUT", "/v1/config", _in("Expose", "Paths", 0, base={"Kind": "service-defaults", "Name": "w"}), PATH),
    ("PUT", "/v1/config", _in(base={"Kind": "service-resolver", "Name": "w"}), "Subsets Redirect ConnectTimeout"),
    ("PUT", "/v1/config", _in("Failover", "*", base={"Kind": "service-resolver", "Name": "w"}), "Datacenters"),
    ("PUT", "/v1/config", _in("Routes", 0, base={"Kind": "service-router", "Name": "w"}), "Match Destination"),
    ("PUT", "/v1/config", _in("Splits", 0, base={"Kind": "service-splitter", "Name": "w"}), "Weight Service"),
    ("PUT", "/v1/config", _in("Listeners", 0, base={"Kind": "ingress-gateway", "Name": "w"}), "Port Services"),
    ("PUT", "/v1/config", _in("Services", 0, base={"Kind": "terminating-gateway", "Name": "w"}), "Name SNI"),
    ("PUT", "/v1/config", _in(base={"Kind": "proxy-defaults", "Name": "global"}), "Config MeshGateway"),
    ("PUT", "/v1/connect/ca/configuration", _in(), "Provider Config State ForceWithoutCrossSigning ModifyIndex"),
    ("POST", "/v1/agent/connect/authorize", _in(base={"Target": "x"}), "Target ClientCertURI ClientCertSerial"),
    ("PUT", "/v1/coordinate/update", _in(base={"Node": "n"}), "Node Segment Coord Datacenter"),
    ("PUT", "/v1/coordinate/update", _in("Coord", base={"Node": "n"}), "Vec Error Adjustment Height"),
]  # fmt: skip


def cases() -> Iterator[tuple[str, str, Any]]:
    """(method, path, body) of every request."""
    seen = set()
    for method, path, build, names in BODIES:
        yield method, path, build({"Colour": 1})
        for name in names.split():
            for value in VALUES:
                yield method, path, build({name: value})
        if (method, path) not in seen:
            seen.add((method, path))
            for value in VALUES:
                yield method, path, value


def ask(place: str, method: str, path: str, body: Any, *, plain: bool = False) -> tuple[int, str]:
    """Status and text of an answer; 0 if the connection broke. `plain`: the body is sent as it is, not as JSON."""
    connection = http.client.HTTPConnection(place, timeout=20)
    try:
        connection.request(method, path, body if isinstance(body, str) and plain else json.dumps(body))
        response = connection.getresponse()
        return response.status, response.read().decode()
    except http.client.HTTPException:
        return 0, ""
    finally:
        connection.close()


#: How an answer begins that was given while the body was decoded.
DECODING = (
    "Request decode failed: ", "Failed to parse body: ", "Failed to decode request body: ", "Bad request: Request deco",
    "Bad request: Error parsing autopilot config: ",
)  # fmt: skip


def refused(answers: Iterable[tuple[str, str, Any, int, str]]) -> list[list[Any]]:
    """What was refused while the body was decoded."""
    return [list(each) for each in answers if each[3] >= 400 and each[4].startswith(DECODING)]


def main(url: str) -> None:
    place = urlsplit(url).netloc
    answers = [(method, path, body, *ask(place, method, path, body)) for method, path, body in cases()]
    lines = ",\n".join(json.dumps(each) for each in refused(answers))
    RECORDED.write_text(f"[\n{lines}\n]\n")


if __name__ == "__main__":
    main(sys.argv[1])
