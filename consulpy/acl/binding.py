"""Binding rules: which of them match an identity, and the names that they give (docs/wire/acl.md section 13)."""

import re
from collections.abc import Mapping
from typing import Final

from consulpy.codec.lazy_dataclass import dataclass
from consulpy.codec.record import Record, go

#: What a rule may bind to.
BIND_TYPES: Final = ("service", "node", "role", "templated-policy")
#: Those that servers of 1.8.7 do not know (Consul 1.17).
NEWER_BIND_TYPES: Final = ("templated-policy",)
_PART: Final = re.compile(r"\$\$\{|\$\{([^}]*)\}|\$\{")
_VARIABLE: Final = re.compile(r"\s*([A-Za-z_][\w.\-]*)\s*")


class BadBindName(ValueError):
    """A name that cannot be computed."""


@dataclass(slots=True)
class JwtIdentity(Record):
    """The verified identity of a JWT's bearer, in the fields of selectors."""

    values: dict[str, str] = go("value", default_factory=dict)
    lists: dict[str, list[str]] = go("list", default_factory=dict)

    def variables(self) -> dict[str, str]:
        """Variables of `BindName` templates."""
        return {f"value.{name}": value for name, value in self.values.items()}


@dataclass(slots=True)
class ServiceAccount(Record):
    """A service account of Kubernetes."""

    namespace: str = go("namespace", default="")
    name: str = go("name", default="")
    uid: str = go("uid", default="")


@dataclass(slots=True)
class KubernetesIdentity(Record):
    """The verified identity of a Kubernetes service account, in the fields of selectors."""

    serviceaccount: ServiceAccount = go("serviceaccount", default_factory=ServiceAccount)

    def variables(self) -> dict[str, str]:
        """Variables of `BindName` templates."""
        account = self.serviceaccount
        return {
            "serviceaccount.namespace": account.namespace,
            "serviceaccount.name": account.name,
            "serviceaccount.uid": account.uid,
        }


AuthIdentity = JwtIdentity | KubernetesIdentity


def bind_name(template: str, bind_type: str, variables: Mapping[str, str]) -> str:
    """The name that a rule gives: `${value.team}-web`. Raises `BadBindName` for a variable that there is not."""

    def replaced(match: re.Match[str]) -> str:
        if match[0] == "$${":
            return "${"
        variable = _VARIABLE.fullmatch(match[1] or "")
        if variable is None or variable[1] not in variables:
            raise BadBindName(f"unknown variable accessed: {(match[1] or '').strip()}")
        return variables[variable[1]]

    name = _PART.sub(replaced, template)
    return name.lower() if bind_type in ("service", "node", "templated-policy") else name
