"""The HTTP API's endpoints as methods; arguments and results are the API's decoded JSON."""

import json
from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from typing import Any, Final, cast
from urllib.parse import quote

from consulpy.client.connection import Answer, AnswerError, ClientError, Connection, Waiting, Watch, answer_of
from consulpy.client.settings import ClientSettings
from consulpy.codec.printable import printable
from consulpy.codec.strict_json import parse

Json = dict[str, Any]

#: Timeout of saving and restoring snapshots, in seconds.
_SNAPSHOT_TIMEOUT_S: Final = 600.0


class Client:
    """Client of one agent. Every method raises `NoAgent`, `AnswerError` or `ClientError`.

    `waiting()`: a context that is entered while a response is awaited; `watch`: while its head is.
    """

    def __init__(self, settings: ClientSettings, waiting: Waiting = nullcontext, watch: Watch = nullcontext) -> None:
        self._connection = Connection(settings, waiting, watch)
        self.settings = settings

    # -- the agent -------------------------------------------------------------------------------------------------
    def self_report(self) -> Json:
        """Configuration, member and statistics of the agent."""
        return cast(Json, self.get("/v1/agent/self"))

    def members(self, wan: bool = False, segment: str = "", expression: str = "") -> list[Json]:
        """The members that the agent knows, and for which the filter `expression` holds."""
        parameters = {"wan": "1" if wan else None, "segment": segment or None, "filter": expression or None}
        return self._list("/v1/agent/members", parameters)

    def join(self, address: str, wan: bool = False) -> None:
        """Join a pool through `address`."""
        self.put(f"/v1/agent/join/{_part(address)}", {"wan": "1" if wan else None})

    def leave(self) -> None:
        """Have the agent leave the pools and end."""
        self.put("/v1/agent/leave")

    def force_leave(self, name: str, prune: bool = False, wan: bool = False) -> None:
        """Mark a failed member as left. `prune`: remove it from the member list. `wan`: in the WAN pool only."""
        self.put(f"/v1/agent/force-leave/{_part(name)}", {"prune": "1" if prune else None, "wan": "1" if wan else None})

    def reload(self) -> None:
        """Have the agent read its configuration again."""
        self.put("/v1/agent/reload")

    def timeline(self, name: str, timeout_s: float = 4.5) -> Json:
        """The events of a member (`Events`), and the verdict on its state, which comes within 3 seconds."""
        answer = self._connection.request("GET", f"/v1/agent/timeline/{_part(name)}", timeout_s=timeout_s)
        return cast(Json, _decoded(answer))

    def doctor(self, target: str, timeout_s: float) -> list[Json]:
        """The agent's own findings; with a target those about a join to it. Wait for `timeout_s` seconds at most."""
        path = f"/v1/agent/doctor/{_part(target)}" if target else "/v1/agent/doctor"
        answer = self._connection.request("GET", path, timeout_s=timeout_s)
        return cast(list[Json], _decoded(answer)["findings"])

    def monitor(self, level: str, as_json: bool = False) -> Iterator[str]:
        """The agent's log lines as they arrive, until the connection ends."""
        params = {"loglevel": level, "logjson": "true" if as_json else None}
        connection, response = self._connection.open("GET", "/v1/agent/monitor", params)
        try:
            if response.status != 200:
                raise _error(answer_of(response, response.read()))
            if connection.sock is not None:
                connection.sock.settimeout(None)
            for line in response:
                yield line.decode(errors="replace").rstrip("\n")
        finally:
            connection.close()

    def profile(self, path: str, params: Mapping[str, Any] | None, timeout_s: float) -> bytes:
        """A profile of the agent; lasts as long as `params` say."""
        answer = self._connection.request("GET", path, params, timeout_s=timeout_s)
        if answer.status != 200:
            raise _error(answer)
        return answer.body

    def checks(self) -> dict[str, Json]:
        """The agent's own checks by id."""
        return cast(dict[str, Json], self.get("/v1/agent/checks") or {})

    def register_service(self, definition: Mapping[str, Any]) -> None:
        """Register a service with this agent."""
        self.put("/v1/agent/service/register", body=definition)

    def deregister_service(self, service_id: str) -> None:
        """Deregister a service from this agent."""
        self.put(f"/v1/agent/service/deregister/{_part(service_id)}")

    def maintenance(self, enable: bool, reason: str = "", service_id: str = "") -> None:
        """Set maintenance mode of the node, or of one service."""
        path = f"/v1/agent/service/maintenance/{_part(service_id)}" if service_id else "/v1/agent/maintenance"
        self.put(path, {"enable": "true" if enable else "false", "reason": reason if enable else None})

    # -- the cluster -----------------------------------------------------------------------------------------------
    def datacenters(self) -> list[str]:
        """Names of all datacenters, the nearest first."""
        return cast(list[str], self.get("/v1/catalog/datacenters") or [])

    def nodes(self, **params: Any) -> list[Json]:
        """Nodes of the catalog."""
        return self._list("/v1/catalog/nodes", params)

    def service_nodes(self, service: str, **params: Any) -> list[Json]:
        """Instances of a service, with their nodes."""
        return self._list(f"/v1/catalog/service/{_part(service)}", params)

    def services(self, **params: Any) -> dict[str, list[str]]:
        """Tags by name of service."""
        return cast(dict[str, list[str]], self.get("/v1/catalog/services", params) or {})

    def node_services(self, node: str, **params: Any) -> Json | None:
        """A node with its services; None if it does not exist."""
        return cast(Json | None, self.get(f"/v1/catalog/node/{_part(node)}", params))

    def coordinates(self) -> list[Json]:
        """Network coordinates of the nodes of this datacenter."""
        return self._list("/v1/coordinate/nodes")

    def wan_coordinates(self) -> list[Json]:
        """Network coordinates of the servers, by datacenter."""
        return self._list("/v1/coordinate/datacenters")

    def fire_event(self, name: str, payload: bytes = b"", **filters: Any) -> str:
        """Fire a user event; returns its id."""
        answer = self.put(f"/v1/event/fire/{_part(name)}", filters, raw_body=payload or None)
        return str(answer["ID"])

    def keyring(self, method: str, key: str = "", relay_factor: int = 0, local_only: bool = False) -> list[Json]:
        """List (GET), install (POST), use (PUT) or remove (DELETE) a gossip key."""
        params = {"relay-factor": relay_factor or None, "local-only": "true" if local_only else None}
        body = None if method == "GET" else {"Key": key}
        return cast(list[Json], self._request(method, "/v1/operator/keyring", params, body) or [])

    def snapshot(self, **params: Any) -> tuple[int, bytes]:
        """The state of the servers as an archive, and its index."""
        answer = self._connection.request("GET", "/v1/snapshot", params, timeout_s=_SNAPSHOT_TIMEOUT_S)
        if answer.status != 200:
            raise _error(answer)
        return answer.index, answer.body

    def restore_snapshot(self, data: bytes, **params: Any) -> None:
        """Replace the state of the servers by that of an archive."""
        answer = self._connection.request("PUT", "/v1/snapshot", params, data, timeout_s=_SNAPSHOT_TIMEOUT_S)
        if answer.status != 200:
            raise _error(answer)

    def watch(self, path: str, params: Mapping[str, Any], index: int, wait_s: float = 300.0) -> tuple[int, Any]:
        """One blocking query: (new index, result). Index 0: returns at once. A missing key: None."""
        query = {**params, "index": index or None, "wait": f"{wait_s:g}s" if index else None}
        answer = self._connection.request("GET", path, query, timeout_s=wait_s * 17 / 16 + 10)
        if answer.status == 404 and path.startswith("/v1/kv/"):
            return answer.index, None
        return answer.index, _decoded(answer)

    # -- requests --------------------------------------------------------------------------------------------------
    def get(self, path: str, params: Mapping[str, Any] | None = None) -> Any:
        """The decoded response of a GET."""
        return self._request("GET", path, params)

    def find(self, path: str, params: Mapping[str, Any] | None = None) -> Any:
        """The decoded response of a GET; None if there is no such record (404)."""
        try:
            return self.get(path, params)
        except AnswerError as error:
            if error.status != 404:
                raise
            return None

    def get_text(self, path: str, params: Mapping[str, Any] | None = None) -> str:
        """GET, a text that is no JSON."""
        answer = self._connection.request("GET", path, params)
        if answer.status != 200:
            raise _error(answer)
        return answer.body.decode(errors="replace")

    def put(
        self,
        path: str,
        params: Mapping[str, Any] | None = None,
        body: Mapping[str, Any] | None = None,
        raw_body: bytes | None = None,
    ) -> Any:
        """The decoded response of a PUT."""
        return self._request("PUT", path, params, body, raw_body)

    def post(self, path: str, params: Mapping[str, Any] | None, body: Any) -> Any:
        """The decoded response of a POST."""
        return self._request("POST", path, params, body)

    def delete(self, path: str, params: Mapping[str, Any] | None = None) -> Any:
        """The decoded response of a DELETE."""
        return self._request("DELETE", path, params)

    def _list(self, path: str, params: Mapping[str, Any] | None = None) -> list[Json]:
        return cast(list[Json], self.get(path, params) or [])

    def _request(
        self,
        method: str,
        path: str,
        params: Mapping[str, Any] | None = None,
        body: Any = None,
        raw_body: bytes | None = None,
    ) -> Any:
        sent = raw_body if body is None else json.dumps(body).encode()
        return _decoded(self._connection.request(method, path, params, sent))


def key_path(key: str) -> str:
    """The URL path of a key or key prefix. Raises `ClientError` for a key that no path can name.

    Agents clean paths as Go's ServeMux does: empty parts, `.` and `..` do not reach the key-value store.
    """
    parts = key.split("/")
    if "" in parts[:-1] or "." in parts or ".." in parts:
        raise ClientError(f"the path of a request cannot name the key {key!r}: it has an empty part, . or ..")
    return f"/v1/kv/{quote(key, safe='/:', errors='surrogateescape')}"


def _part(text: str) -> str:
    return quote(text, safe=":", errors="surrogateescape")


def _error(answer: Answer) -> AnswerError:
    denied = answer.headers.get("x-consulpy-denied", "")
    return AnswerError(
        answer.status,
        answer.body.decode(errors="replace"),
        f"The token lacks a right: {printable(denied)}" if denied else "",
    )


def _decoded(answer: Answer) -> Any:
    if answer.status != 200:
        raise _error(answer)
    if not answer.body.strip():
        return None
    try:
        return parse(answer.body)
    except ValueError:
        raise ClientError(f"expected JSON from the agent, not {answer.body[:80]!r}") from None
