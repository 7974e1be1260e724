"""`?merge-central-config` on reads of instances (Consul 1.13): proxies and gateways with their central defaults.

Our servers and newer ones merge them, and end a blocking query when a config entry changes. Beside servers of 1.8.7 the
agent fetches the defaults: there a blocking query ends when instances change, with the defaults of that moment.
"""

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from consulpy.connect.central_merge import configured_name, merged, upstream_ids
from consulpy.http.api.params import apply_to_read, consistency
from consulpy.http.api.routing import Request
from consulpy.structs.config_entry_requests import ServiceConfigReply, ServiceConfigRequest
from consulpy.structs.options import QueryMeta
from consulpy.structs.requests import Read
from consulpy.structs.service import CheckServiceNode, NodeService, ServiceNode

if TYPE_CHECKING:
    from consulpy.http.api.agent import AgentInterface

_PARAMETER: Final = "merge-central-config"


def wants_central_config(request: Request) -> bool:
    """Whether the request has the parameter."""
    return _PARAMETER in request.query


class CentralMerge:
    """Merges central defaults into the rows of one response. Errors: `RPCError` of the servers."""

    def __init__(self, agent: "AgentInterface", request: Request, meta: QueryMeta) -> None:
        self._agent = agent
        self._request = request
        self._known: dict[tuple[str, ...], ServiceConfigReply] = {}
        #: Whether they were asked for, and the servers did not say that they merged them.
        self.is_needed = wants_central_config(request) and not meta.has_central_config

    async def check_service_nodes(self, rows: Sequence[CheckServiceNode]) -> Sequence[CheckServiceNode]:
        """Instances with nodes and checks."""
        return [dataclasses.replace(row, service=await self._merged(row.service)) for row in rows]

    async def services(self, rows: Sequence[NodeService]) -> Sequence[NodeService]:
        """Instances of a node."""
        return [await self._merged(row) or row for row in rows]

    async def service_nodes(self, rows: Sequence[ServiceNode]) -> Sequence[ServiceNode]:
        """Instances with their nodes, in one row."""
        found = []
        for row in rows:
            service = NodeService(kind=row.service_kind, service=row.service_name, proxy=row.service_proxy)
            with_defaults = await self._merged(service)
            found.append(dataclasses.replace(row, service_proxy=(with_defaults or service).proxy))
        return found

    async def _merged(self, service: NodeService | None) -> NodeService | None:
        name = configured_name(service) if service is not None else ""
        if service is None or not name:
            return service
        upstreams = upstream_ids(service)
        key = (name, *(each.id for each in upstreams))
        if key not in self._known:
            datacenter = apply_to_read(self._agent, self._request, Read()).datacenter
            options = consistency(self._request)
            body = ServiceConfigRequest(
                datacenter=datacenter, name=name, upstream_ids=upstreams or None, options=options
            )
            self._known[key] = await self._agent.caller.call("ConfigEntry.ResolveServiceConfig", body)
        return merged(service, self._known[key])
