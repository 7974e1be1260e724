"""Definitions of files in `DebugConfig`: all fields, as real Consul 1.8.7 shows them for the same file."""

import json
from typing import Any

from consulpy.agent.debug_config import debug_config
from consulpy.config.flags import read_flags
from consulpy.config.load import read
from tests.fakes.config import FakeHost

NO_TIME = dict.fromkeys(("DeregisterCriticalServiceAfter", "Interval", "TTL", "Timeout"), "0s")
TEXTS = "AliasNode AliasService Body DockerContainerID GRPC HTTP Method Name Notes Shell Status TCP"
CHECK: dict[str, Any] = {
    **NO_TIME,
    **dict.fromkeys(TEXTS.split(), ""),
    "FailuresBeforeCritical": 0,
    "GRPCUseTLS": False,
    "Header": {},
    "OutputMaxSize": 4096,
    "ScriptArgs": [],
    "SuccessBeforePassing": 0,
    "TLSSkipVerify": False,
}
OF_SERVICE = {**CHECK, "CheckID": "", "ProxyGRPC": "", "ProxyHTTP": ""}
ALONE = {**CHECK, "EnterpriseMeta": {}, "ID": "", "ServiceID": "", "Token": "hidden"}
SERVICE: dict[str, Any] = {
    "Address": "",
    "Check": {**OF_SERVICE, "OutputMaxSize": 0},
    "Checks": [],
    "Connect": None,
    "EnableTagOverride": False,
    "EnterpriseMeta": {},
    "ID": "",
    "Kind": "",
    "Meta": {},
    "Port": 0,
    "Proxy": None,
    "TaggedAddresses": {},
    "Tags": [],
    "Token": "hidden",
    "Weights": {"Passing": 1, "Warning": 1},
}
PROXY = {
    "Config": {},
    "DestinationServiceID": "",
    "DestinationServiceName": "",
    "LocalServiceAddress": "",
    "Expose": {"Checks": False, "Paths": []},
    "LocalServicePort": 0,
    "MeshGateway": {"Mode": ""},
    "Upstreams": [],
}
UPSTREAM = {
    "Config": {},
    "Datacenter": "",
    "DestinationName": "",
    "DestinationNamespace": "",
    "LocalBindPort": 0,
    "DestinationType": "service",
    "IngressHosts": [],
    "LocalBindAddress": "",
    "MeshGateway": {"Mode": ""},
}


def shown(part: str, definition: dict[str, Any]) -> Any:
    (found,) = debug_config(read(read_flags(["-dev", "-hcl", json.dumps({part: [definition]})]), FakeHost()))[
        part.capitalize()
    ]
    assert list(found) == sorted(found)
    return found


def test_a_check_that_stands_alone() -> None:
    given = {
        "id": "t",
        "name": "n",
        "ttl": "5m",
        "notes": "no",
        "token": "tt",
        "deregister_critical_service_after": "2h",
    }
    assert shown("checks", given) == {
        **ALONE,
        "ID": "t",
        "Name": "n",
        "TTL": "5m0s",
        "Notes": "no",
        "DeregisterCriticalServiceAfter": "2h0m0s",
    }


def test_a_service_and_its_checks() -> None:
    given = {"name": "w", "port": 80, "token": "t", "check": {"id": "c", "ttl": "10m"}, "checks": [{"ttl": "1s"}]}
    first, last = {**OF_SERVICE, "TTL": "1s"}, {**OF_SERVICE, "CheckID": "c", "TTL": "10m0s"}
    assert shown("services", given) == {**SERVICE, "Name": "w", "Port": 80, "Checks": [first, last]}


def test_a_service_in_the_mesh() -> None:
    given = {"name": "w", "connect": {"native": True}}
    assert shown("services", given)["Connect"] == {"Native": True, "SidecarService": None}
    upstream = {"destination_name": "u", "local_bind_port": 4}
    given = {"name": "w", "connect": {"sidecar_service": {"port": 5, "proxy": {"upstreams": [upstream]}}}}
    proxy = {**PROXY, "Upstreams": [{**UPSTREAM, "DestinationName": "u", "LocalBindPort": 4}]}
    sidecar = {**SERVICE, "Name": "", "Port": 5, "Proxy": proxy}
    assert shown("services", given)["Connect"] == {"Native": False, "SidecarService": sidecar}


def test_a_proxy() -> None:
    paths = [{"path": "/a", "local_path_port": 1, "listener_port": 2}]
    proxy = {"destination_service_name": "d", "expose": {"paths": paths}, "mesh_gateway": {"mode": "local"}}
    path = {"ListenerPort": 2, "LocalPathPort": 1, "ParsedFromCheck": False, "Path": "/a", "Protocol": ""}
    found = shown("services", {"name": "p", "kind": "connect-proxy", "port": 9, "proxy": proxy})["Proxy"]
    expected = {**PROXY, "DestinationServiceName": "d", "MeshGateway": {"Mode": "local"}}
    assert found == {**expected, "Expose": {"Checks": False, "Paths": [path]}}
