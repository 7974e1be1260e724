"""Binding rules: which of them match an identity, and the names that they give (docs/wire/acl.md section 13)."""

from collections.abc import Mapping
from typing import Final

from consulpy.codec.lazy_dataclass import dataclass
from consulpy.codec.record import Record, go
from consulpy.filter.hil import HilError, Template

#: What a rule may bind to.
BIND_TYPES: Final = ("service", "node", "role", "templated-policy")
#: Those that servers of 1.8.7 do not know (Consul 1.17).
NEWER_BIND_TYPES: Final = ("templated-policy",)


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
    """The name that a rule gives: `${value.team}-web`. Raises `BadBindName`.

    Values are lowered for what has names in lower case only; the rule's own text is not.
    """
    if bind_type in ("service", "node", "templated-policy"):
        variables = {name: value.lower() for name, value in variables.items()}
    try:
        return Template(template).evaluate(variables, {})
    except HilError as error:
        raise BadBindName(str(error)) from None
