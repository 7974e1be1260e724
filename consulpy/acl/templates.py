"""Built-in templates of policies (Consul 1.17): rights of a service, a node, DNS, Nomad or a gateway.

Source: documentation of templated policies, Consul 1.17 to 1.22. `mesh` means nothing here.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

_NAME: Final = "{{.Name}}"
_NAME_SCHEMA: Final = json.dumps(
    {
        "type": "object",
        "properties": {"name": {"type": "string", "$ref": "#/definitions/min-length-one"}},
        "required": ["name"],
        "definitions": {"min-length-one": {"type": "string", "minLength": 1}},
    },
    indent=1,
)


@dataclass(frozen=True, slots=True)
class Template:
    """A template. `text`: rules with the variable `Name`."""

    name: str
    description: str
    text: str

    @property
    def has_name(self) -> bool:
        """Whether it has the variable `Name`, which must be given."""
        return _NAME in self.text

    @property
    def schema(self) -> str:
        """JSON schema of the variables; empty for a template without any."""
        return _NAME_SCHEMA if self.has_name else ""

    def rules(self, name: str) -> str:
        """The rules for a name, which has been checked: it stands in quotes there."""
        return self.text.replace(_NAME, name)

    def to_json(self) -> dict[str, str]:
        """As the HTTP API shows it."""
        return {
            "TemplateName": self.name,
            "Schema": self.schema,
            "Template": self.text,
            "Description": self.description,
        }


def _rules(*rules: tuple[str, str, str]) -> str:
    return "".join(f'\n{word} "{name}" {{\n\tpolicy = "{level}"\n}}' for word, name, level in rules)


_NODES: Final = ("node_prefix", "", "read")
_SERVICES: Final = ("service_prefix", "", "read")
_ALL: Final = (
    Template(
        "builtin/service",
        "Register a service and its sidecar proxy, and find all others.",
        _rules(("service", _NAME, "write"), ("service", f"{_NAME}-sidecar-proxy", "write"), _SERVICES, _NODES),
    ),
    Template("builtin/node", "Register a node, and find all services.", _rules(("node", _NAME, "write"), _SERVICES)),
    Template("builtin/dns", "Answer DNS queries.", _rules(_NODES, _SERVICES, ("query_prefix", "", "read"))),
    Template(
        "builtin/nomad-server",
        "Rights of a Nomad server.",
        '\nacl = "write"' + _rules(("agent_prefix", "", "read"), _NODES, ("service_prefix", "", "write")),
    ),
    Template(
        "builtin/nomad-client",
        "Rights of a Nomad client.",
        _rules(("agent_prefix", "", "read"), _NODES, ("service_prefix", "", "write"), ("key_prefix", "", "read")),
    ),
    Template(
        "builtin/api-gateway",
        "Rights of an API gateway.",
        '\nmesh = "read"' + _rules(_NODES, _SERVICES, ("service", _NAME, "write")),
    ),
)
TEMPLATES: Final[Mapping[str, Template]] = {each.name: each for each in _ALL}
