"""The targets of a chain: sets of instances, by id `[SUBSET.]SERVICE.NAMESPACE.DATACENTER`."""

from consulpy.connect.discovery_chain.request import ChainQuery
from consulpy.structs.discovery_chain import ChainTarget


class Targets:
    """All targets of one compilation, each made once."""

    def __init__(self, query: ChainQuery) -> None:
        self._query = query
        self._by_id: dict[str, ChainTarget] = {}

    def get(self, service: str, subset: str = "", namespace: str = "", datacenter: str = "") -> ChainTarget:
        """The target of a service; namespace and datacenter are those of the chain unless given."""
        namespace, datacenter = namespace or self._query.namespace, datacenter or self._query.datacenter
        parts = [service, namespace, datacenter]
        target_id = ".".join([subset, *parts] if subset else parts)
        found = self._by_id.get(target_id)
        if found is None:
            name = f"{target_id}.internal.{self._query.trust_domain}"
            found = self._by_id[target_id] = ChainTarget(
                id=target_id,
                service=service,
                service_subset=subset,
                namespace=namespace,
                datacenter=datacenter,
                sni=name,
                name=name,
            )
        return found

    def rewritten(
        self, target: ChainTarget, service: str = "", subset: str = "", namespace: str = "", datacenter: str = ""
    ) -> ChainTarget:
        """`target` with the parts that are given; another service begins without a subset."""
        same_service = not service or service == target.service
        return self.get(
            service or target.service,
            subset or (target.service_subset if same_service else ""),
            namespace or target.namespace,
            datacenter or target.datacenter,
        )
