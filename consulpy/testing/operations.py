"""Operations of a test on an agent: coroutines over one way to send requests, in process or over HTTP."""

import json
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, Final, Protocol, TypedDict, Unpack
from urllib.parse import quote

from consulpy.client.api import key_path

#: From a registration to its place in the catalog, in seconds at most.
CATALOG_WITHIN_S: Final = 30.0
#: Interval of looking at the catalog, in seconds.
POLL_S: Final = 0.002
#: How long a check of `register` keeps its status without an update: longer than any test.
_CHECK_TTL: Final = "24h"
STATUSES: Final = ("passing", "warning", "critical")
_STATES: Final = {0: "none", 1: "alive", 2: "leaving", 3: "left", 4: "failed"}


class Answer(Protocol):
    """An HTTP response."""

    @property
    def status(self) -> int:
        """The status code."""

    @property
    def headers(self) -> Any:
        """Its headers; names in any case."""

    @property
    def body(self) -> bytes:
        """Its body."""

    def json(self) -> Any:
        """Its body as JSON."""


class ServiceSettings(TypedDict, total=False):
    """The settings of a service to register, all optional. `id`: the name if it is missing.

    `check`: "passing", "warning" or "critical" adds a check of that status.
    """

    id: str | None
    port: int
    address: str
    tags: Iterable[str]
    meta: Mapping[str, str] | None
    check: str | None


#: Sends a request: method, path with query, body.
Send = Callable[[str, str, bytes], Awaitable[Answer]]


class RequestFailed(RuntimeError):
    """The agent refused a request. `status`: of the response."""

    def __init__(self, method: str, path: str, status: int, text: str) -> None:
        super().__init__(f"{method} {path}: {status} {text}")
        self.status = status


class Operations:
    """Operations on one agent. `pause(seconds)`: waits; `seconds()`: a monotonic clock.

    `sync()`: has the agent bring the catalog up to date without waiting for its timer, where that can be asked for.
    `keys`, `services`: what was written through this object, for agents that are not the test's own.
    """

    def __init__(
        self,
        send: Send,
        pause: Callable[[float], Awaitable[Any]],
        seconds: Callable[[], float],
        sync: Callable[[], object] = lambda: None,
    ) -> None:
        self._send = send
        self._sync = sync
        self._pause = pause
        self._seconds = seconds
        self.keys: dict[str, None] = {}
        self.services: dict[str, None] = {}
        #: Whether others use the agent too.
        self.is_shared = False

    async def call(self, method: str, path: str, body: Any = None, *, missing: bool = False) -> Answer | None:
        """Send a request; None for 404 if `missing`. Raises `RequestFailed`."""
        data = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        answer = await self._send(method, path, data)
        if missing and answer.status == 404:
            return None
        if answer.status >= 400:
            raise RequestFailed(method, path, answer.status, answer.body.decode("utf-8", "replace").strip())
        return answer

    async def get(self, path: str) -> Any:
        """The JSON of a GET."""
        answer = await self.call("GET", path)
        assert answer is not None
        return answer.json()

    # -- services

    async def register(self, name: str, **service: Unpack[ServiceSettings]) -> None:
        """Register a service, with a check of that status; it is in the catalog then. Raises `ValueError`, and
        `TypeError` for a setting that there is none of.
        """
        unknown = service.keys() - ServiceSettings.__optional_keys__
        if unknown:
            raise TypeError(f"register() got an unexpected keyword argument {min(unknown)!r}")
        check, tags, meta = service.get("check"), service.get("tags", ()), dict(service.get("meta") or {})
        port, address, service_id = service.get("port", 0), service.get("address", ""), service.get("id") or name
        if check is not None and check not in STATUSES:
            raise ValueError(f"check: expected one of {', '.join(STATUSES)}, not {check!r}")
        if isinstance(tags, str):
            raise ValueError(f"tags: expected a list of texts, not {tags!r}")
        tags = list(tags)
        definition: dict[str, Any] = {
            "ID": service_id, "Name": name, "Port": port, "Address": address, "Tags": tags, "Meta": meta,
        }  # fmt: skip
        if check is not None:
            definition["Check"] = {"TTL": _CHECK_TTL, "Status": check}
        await self.call("PUT", "/v1/agent/service/register?replace-existing-checks=true", definition)
        if check is not None:
            path = f"/v1/agent/check/update/{quote(f'service:{service_id}', safe=':')}"
            await self.call("PUT", path, {"Status": check})  # a check that was there keeps its status otherwise
        self.services[service_id] = None
        wanted = (port, address, sorted(tags), meta, check)
        await self._until(lambda found: found == wanted, name, service_id, "is not in the catalog")

    async def deregister(self, service_id: str) -> None:
        """Remove a service; it is not in the catalog then. KeyError for an id that this agent does not have."""
        services = await self.get("/v1/agent/services")
        if service_id not in services:
            raise KeyError(service_id)
        await self.call("PUT", f"/v1/agent/service/deregister/{quote(service_id, safe=':')}")
        self.services.pop(service_id, None)
        await self._until(
            lambda found: found is None, services[service_id]["Service"], service_id, "is still in the catalog"
        )

    async def _until(self, condition: Callable[[Any], bool], name: str, service_id: str, what: str) -> None:
        self._sync()
        node = (await self.get("/v1/agent/self"))["Config"]["NodeName"]
        until_s = self._seconds() + CATALOG_WITHIN_S
        pause_s = POLL_S
        while not condition(await self._in_catalog(name, node, service_id)):
            if self._seconds() > until_s:
                raise TimeoutError(f"service {service_id!r} {what} after {CATALOG_WITHIN_S:g} s")
            await self._pause(pause_s)
            pause_s = min(2 * pause_s, 0.1)

    async def _in_catalog(self, name: str, node: str, service_id: str) -> Any:
        """Port, address, tags, meta and the status of its check, as the catalog has them; None: it has no such."""
        answer = await self.call("GET", f"/v1/health/service/{quote(name, safe=':')}", missing=True)
        for entry in (answer.json() if answer is not None else None) or ():
            service = entry["Service"]
            if entry["Node"]["Node"] == node and service["ID"] == service_id:
                own = [check["Status"] for check in entry["Checks"] if check["CheckID"] == f"service:{service_id}"]
                tags, meta = sorted(service["Tags"] or ()), service["Meta"] or {}
                return service["Port"], service["Address"], tags, meta, own[0] if own else None
        return None

    async def catalog(self) -> dict[str, list[str]]:
        """The tags of each service in the catalog."""
        return {name: list(tags or ()) for name, tags in (await self.get("/v1/catalog/services")).items()}

    async def members(self) -> dict[str, str]:
        """The state of each member: alive, leaving, left or failed."""
        return {each["Name"]: _STATES.get(each["Status"], "none") for each in await self.get("/v1/agent/members")}

    # -- keys

    async def read_key(self, key: str) -> bytes:
        """The value of a key. KeyError if it is not there."""
        answer = await self.call("GET", f"{key_path(_checked(key))}?raw", missing=True)
        if answer is None:
            raise KeyError(key)
        return answer.body

    async def write_key(self, key: str, value: bytes | str) -> None:
        """Write a key; a text is written as UTF-8. Raises `TypeError`, and `ValueError` for an empty key."""
        if not isinstance(key, str) or not isinstance(value, bytes | bytearray | memoryview | str):
            raise TypeError(f"expected a text as key and bytes or a text as value, not {key!r} and {value!r}")
        if not key:
            raise ValueError("key: expected a text that is not empty")
        data = value.encode() if isinstance(value, str) else bytes(value)
        await self.call("PUT", key_path(key), data)
        self.keys[key] = None

    async def delete_key(self, key: str) -> None:
        """Remove a key. KeyError if it is not there."""
        await self.read_key(key)
        await self.call("DELETE", key_path(key))
        self.keys.pop(key, None)

    async def list_keys(self) -> list[str]:
        """All keys, in order."""
        answer = await self.call("GET", "/v1/kv/?keys", missing=True)
        return list(answer.json() or ()) if answer is not None else []

    async def delete_all_keys(self) -> None:
        """Remove all keys; of an agent that is not the test's own those that were written through this object."""
        if self.is_shared:
            await self._delete_own_keys()
        else:
            await self.call("DELETE", "/v1/kv/?recurse")
            self.keys.clear()

    async def _delete_own_keys(self) -> None:
        for key in list(self.keys):
            await self.call("DELETE", key_path(key))
        self.keys.clear()

    async def remove_own(self) -> None:
        """Remove the keys and services that were written through this object, and nothing else."""
        await self._delete_own_keys()
        for service_id in list(self.services):
            try:
                await self.deregister(service_id)
            except KeyError:
                self.services.pop(service_id, None)


def _checked(key: str) -> str:
    if not isinstance(key, str) or not key:
        raise KeyError(key)
    return key
