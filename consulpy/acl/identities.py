"""The rules that service and node identities stand for. Source: docs/wire/acl.md section 1; seen with 1.8.7."""

from consulpy.acl.levels import READ, WRITE
from consulpy.acl.rules import Rule, Rules

#: A service may discover other services and their nodes.
_DISCOVERY = (Rule("service", "", True, READ), Rule("node", "", True, READ))


def service_identity(name: str) -> Rules:
    """Register the service and its sidecar proxy, find all others."""
    own = (Rule("service", name, False, WRITE), Rule("service", f"{name}-sidecar-proxy", False, WRITE))
    return Rules((*own, *_DISCOVERY))


def node_identity(name: str) -> Rules:
    """Register the node, find all services."""
    return Rules((Rule("node", name, False, WRITE), Rule("service", "", True, READ)))


def agent_master(node: str) -> Rules:
    """The rights of an agent's own emergency token: on this agent alone, and to see all nodes."""
    return Rules((Rule("agent", node, False, WRITE), Rule("node", "", True, READ)))
