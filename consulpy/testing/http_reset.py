"""An agent as new over its HTTP API: for agents of tests that are processes of their own, real Consul among them."""

from typing import Any, Final
from urllib.parse import quote

from consulpy.testing.operations import Operations, RequestFailed

#: Kinds of config entries, those that refer to others first.
_KINDS: Final = (
    "ingress-gateway", "terminating-gateway", "service-router", "service-splitter", "service-resolver",
    "service-defaults", "proxy-defaults",
)  # fmt: skip
#: Where access control keeps what tests make; what is built in stays.
_ACL: Final = (
    ("tokens", "token", "AccessorID"),
    ("roles", "role", "ID"),
    ("policies", "policy", "ID"),
    ("auth-methods", "auth-method", "Name"),
)
_BUILT_IN: Final = ("00000000-0000-0000-0000-000000000001", "00000000-0000-0000-0000-000000000002")
#: What the descriptions of tokens begin with that an agent makes itself: a test's requests may need them.
_OF_THE_AGENT: Final = ("Bootstrap", "Master Token", "Initial Management Token")


async def reset_over_http(operations: Operations) -> None:
    """Remove everything that clients have written. Raises `RequestFailed`, `TimeoutError`."""
    await operations.delete_all_keys()  # before the sessions: keys that a session held could not be locked for a while
    for session in await operations.get("/v1/session/list") or ():
        await operations.call("PUT", f"/v1/session/destroy/{session['ID']}")
    for query in await operations.get("/v1/query") or ():
        await operations.call("DELETE", f"/v1/query/{query['ID']}")
    await operations.call("PUT", "/v1/agent/maintenance?enable=false")
    for service_id in await operations.get("/v1/agent/services"):
        await operations.deregister(service_id)
    for check_id in await operations.get("/v1/agent/checks"):
        await operations.call("PUT", f"/v1/agent/check/deregister/{quote(check_id, safe='')}")
    await _empty_catalog(operations)
    await _remove_config_entries(operations)
    for intention in await operations.get("/v1/connect/intentions") or ():
        await operations.call("DELETE", f"/v1/connect/intentions/{intention['ID']}")
    await _remove_acl(operations)
    operations.keys.clear()
    operations.services.clear()


async def _empty_catalog(operations: Operations) -> None:
    """Remove foreign nodes, and what is foreign on nodes of members."""
    members = await operations.members()
    for node in await operations.get("/v1/catalog/nodes") or ():
        name = node["Node"]
        if name not in members:
            await operations.call("PUT", "/v1/catalog/deregister", {"Node": name})
            continue
        found = await operations.get(f"/v1/catalog/node/{quote(name, safe='')}") or {}
        for service_id in found.get("Services") or ():
            if service_id != "consul":
                await operations.call("PUT", "/v1/catalog/deregister", {"Node": name, "ServiceID": service_id})
        for check in await operations.get(f"/v1/health/node/{quote(name, safe='')}") or ():
            if check["CheckID"] != "serfHealth":
                await operations.call("PUT", "/v1/catalog/deregister", {"Node": name, "CheckID": check["CheckID"]})


async def _remove_config_entries(operations: Operations) -> None:
    for kind in _KINDS:
        try:
            entries: Any = await operations.get(f"/v1/config/{kind}")
        except RequestFailed:
            continue  # a kind that this version does not know
        for entry in entries or ():
            await operations.call("DELETE", f"/v1/config/{kind}/{quote(entry['Name'], safe='')}")


async def _remove_acl(operations: Operations) -> None:
    for plural, singular, key in _ACL:
        try:
            found = await operations.get(f"/v1/acl/{plural}")
        except RequestFailed:
            return  # access control is off, or not this client's
        for each in found or ():
            if each[key] not in _BUILT_IN and not each.get("Description", "").startswith(_OF_THE_AGENT):
                await operations.call("DELETE", f"/v1/acl/{singular}/{quote(each[key], safe='')}")
