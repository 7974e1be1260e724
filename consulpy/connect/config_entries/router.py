"""Validation of service-router."""

from collections.abc import Iterator

from consulpy.gocompat.literals import quoted
from consulpy.structs.config_entry import RouteHttp, ServiceRouter


def router_errors(entry: ServiceRouter) -> Iterator[str]:
    """The errors of all routes, in the order in which Consul finds them."""
    for number, route in enumerate(entry.routes or ()):
        http = (route.match.http if route.match is not None else None) or RouteHttp()
        yield from _match_errors(http, f"Route[{number}]")
        destination = route.destination
        can_rewrite = http.path_exact or http.path_prefix
        if destination is not None and destination.prefix_rewrite and not can_rewrite:
            yield (
                f"Route[{number}] cannot make use of PrefixRewrite without configuring either PathExact or PathPrefix"
            )


def _match_errors(http: RouteHttp, route: str) -> Iterator[str]:
    for name, path in (("PathExact", http.path_exact), ("PathPrefix", http.path_prefix)):
        if path and not path.startswith("/"):
            yield f"{route} {name} doesn't start with '/': {quoted(path)}"
    if sum(map(bool, (http.path_exact, http.path_prefix, http.path_regex))) > 1:
        yield f"{route} should only contain at most one of PathExact, PathPrefix, or PathRegex"
    for number, header in enumerate(http.header or ()):
        if not header.name:
            yield f"{route} Header[{number}] missing required Name field"
        if sum(map(bool, (header.present, header.exact, header.prefix, header.suffix, header.regex))) != 1:
            yield f"{route} Header[{number}] should only contain one of Present, Exact, Prefix, Suffix, or Regex"
    for number, parameter in enumerate(http.query_param or ()):
        if not parameter.name:
            yield f"{route} QueryParam[{number}] missing required Name field"
        if sum(map(bool, (parameter.present, parameter.exact, parameter.regex))) != 1:
            yield f"{route} QueryParam[{number}] should only contain one of Present, Exact, or Regex"
    seen: set[str] = set()
    for method in http.methods or ():
        if method in seen:
            yield f"{route} Methods contains {quoted(method)} more than once"
        seen.add(method)
