"""Commands of newer versions and of Consul Enterprise that are not served, each with the reason.

Names of commands: Consul's documentation of 1.9 to 2.1.
"""

from collections.abc import Sequence
from typing import Final

_PEERING: Final = "cluster peering is not supported; services of other datacenters are reached over the WAN pool"
_ENTERPRISE: Final = "a feature of Consul Enterprise"
_ENVOY: Final = "Envoy is not supported: no agent here speaks its xDS protocol"

#: The first words of a command -> the reason.
_REASONS: Final = {
    ("troubleshoot",): f"{_ENVOY}; `consulpy doctor` and `consulpy why` examine agents and members",
    ("peering",): _PEERING,
    ("services", "export"): _PEERING,
    ("services", "exported-services"): _PEERING,
    ("services", "imported-services"): _PEERING,
    ("connect", "redirect-traffic"): f"{_ENVOY}, and no traffic is redirected",
    ("resource",): "the resource API of Consul 1.16 is not supported",
    ("hcp",): "HashiCorp's cloud is not supported",
    ("operator", "feature"): "there are no feature gates: all that is supported is on",
    ("operator", "area"): _ENTERPRISE,
    ("operator", "utilization"): _ENTERPRISE,
    ("partition",): _ENTERPRISE,
    ("namespace",): _ENTERPRISE,
    ("license",): _ENTERPRISE,
    ("assistant",): "there is no assistant",
}


def reason(words: Sequence[str]) -> str:
    """Why a command line is not served: "consulpy peering: ..."; "" if that is not known."""
    for size in (2, 1):
        found = _REASONS.get(tuple(words[:size]))
        if found is not None:
            return f"consulpy {' '.join(words[:size])}: {found}"
    return ""
