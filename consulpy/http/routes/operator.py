"""/v1/operator/keyring: the gossip keys of all pools."""

from typing import TYPE_CHECKING, Any

from consulpy.errors import BadRequest
from consulpy.http.routing import Answer, Request, route
from consulpy.local.godecode import GoError, loads

if TYPE_CHECKING:
    from consulpy.http.context import LocalAgent

_OPERATIONS = {"GET": "list", "POST": "install", "PUT": "use", "DELETE": "remove"}


async def _keyring(agent: "LocalAgent", request: Request) -> Answer:
    relay_text = request.query.get("relay-factor") or "0"
    if not relay_text.isdecimal() or int(relay_text) > 5:
        raise BadRequest(f"Invalid relay-factor: must be in range: [0, 5], not {relay_text}")
    operation, key = _OPERATIONS[request.method], ""
    if operation != "list":
        try:
            body: Any = loads(request.body)
        except GoError as error:
            raise BadRequest(f"Request decode failed: {error}") from None
        key = str(body.get("Key", "")) if isinstance(body, dict) else ""
    found = await agent.keyring(operation, key, int(relay_text))
    return Answer(found) if operation == "list" else Answer()


for _method in _OPERATIONS:
    route(_method, "/v1/operator/keyring")(_keyring)
