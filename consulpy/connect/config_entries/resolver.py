"""Validation of service-resolver."""

import re
from collections.abc import Iterator
from typing import Final

from consulpy.gocompat.duration import format_duration_ns
from consulpy.gocompat.literals import quoted
from consulpy.structs.config_entry import Failover, Redirect, ServiceResolver

_SUBSET_MAX: Final = 63
_SUBSET: Final = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?")
_ANY: Final = "*"


def resolver_errors(entry: ServiceResolver) -> Iterator[str]:
    """The errors of a resolver, in the order in which Consul finds them."""
    subsets = entry.subsets or {}
    for name in subsets:
        if not name:
            yield "Subset defined with empty name"
        reason = _subset_error(name)
        if reason:
            yield f"Subset {quoted(name)} is invalid: {reason}"
    if entry.default_subset and entry.default_subset not in subsets:
        yield f"DefaultSubset {quoted(entry.default_subset)} is not a valid subset"
    if entry.redirect is not None:
        yield from _redirect_errors(entry, entry.redirect)
    for name, failover in (entry.failover or {}).items():
        yield from _failover_errors(entry, name, failover)
    if entry.connect_timeout < 0:
        yield f"Bad ConnectTimeout '{format_duration_ns(entry.connect_timeout)}', must be >= 0"


def _subset_error(name: str) -> str:
    if not 0 < len(name) <= _SUBSET_MAX:
        return f"must be non-empty and {_SUBSET_MAX} characters or fewer"
    if not _SUBSET.fullmatch(name):
        return (
            f"must be {_SUBSET_MAX} characters or fewer, begin or end with lower case alphanumeric characters, "
            "and contain lower case alphanumeric characters or '-' in between"
        )
    return ""


def _redirect_errors(entry: ServiceResolver, redirect: Redirect) -> Iterator[str]:
    if entry.failover:
        yield "Redirect and Failover cannot both be set"
    if redirect == Redirect():
        yield "Redirect is empty"
    if not redirect.service:
        for name, value in (("ServiceSubset", redirect.service_subset), ("Namespace", redirect.namespace)):
            if value:
                yield f"Redirect.{name} defined without Redirect.Service"
    elif redirect.service == entry.name and not _is_subset(entry, redirect.service_subset):
        yield f"Redirect.ServiceSubset {quoted(redirect.service_subset)} is not a valid subset of {quoted(entry.name)}"


def _failover_errors(entry: ServiceResolver, name: str, failover: Failover) -> Iterator[str]:
    where = f"Bad Failover[{quoted(name)}]"
    if name != _ANY and not (name and _is_subset(entry, name)):
        yield f"{where}: not a valid subset"
    if not (failover.service or failover.service_subset or failover.namespace or failover.datacenters):
        yield f"{where} one of Service, ServiceSubset, Namespace, or Datacenters is required"
    if failover.service in ("", entry.name) and not _is_subset(entry, failover.service_subset):
        named = quoted(failover.service_subset)
        yield f"{where}.ServiceSubset {named} is not a valid subset of {quoted(failover.service)}"
    if "" in (failover.datacenters or ()):
        yield f"{where}.Datacenters: found empty datacenter"


def _is_subset(entry: ServiceResolver, name: str) -> bool:
    """Whether a subset exists, or none is named."""
    return not name or name in (entry.subsets or {})
