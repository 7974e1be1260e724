"""Shared parts of the commands `consulpy acl`: flags, names and prefixes of ids, values from files."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from consulpy.cli.command import Invocation
from consulpy.cli.format import FORMAT
from consulpy.client import ClientError
from consulpy.errors import ConfigError
from consulpy.gocompat.flag import Flag, switch

Json = dict[str, Any]

USES_SERVERS: Final[dict[str, Any]] = {"uses_agent": True, "uses_servers": True}
ANONYMOUS_ID: Final = "00000000-0000-0000-0000-000000000002"
MANAGEMENT_ID: Final = "00000000-0000-0000-0000-000000000001"
_ID_LENGTH: Final = 36

_NO_RULES: Final = "Token is not a legacy token with rules"

META: Final = Flag(
    "meta",
    "Indicates that metadata such as the content hash and Raft indices should be shown for each entry",
    switch,
    default=False,
)
NO_MERGE: Final = Flag(
    "no-merge",
    "Do not merge the current information with what is provided to the command. Instead overwrite all fields.",
    switch,
    default=False,
)
SHOWS: Final = (FORMAT, META)
POLICIES: Final = (
    Flag("policy-id", "ID of a policy to use (or a unique prefix of it). May be specified multiple times", many=True),
    Flag("policy-name", "Name of a policy to use. May be specified multiple times", many=True),
)
ROLES: Final = (
    Flag("role-id", "ID of a role to use (or a unique prefix of it). May be specified multiple times", many=True),
    Flag("role-name", "Name of a role to use. May be specified multiple times", many=True),
)
IDENTITIES: Final = (
    Flag(
        "service-identity",
        "Name of a service identity to use. May be specified multiple times. Format is the SERVICENAME or "
        "SERVICENAME:DATACENTER1,DATACENTER2,...",
        many=True,
    ),
    Flag(
        "node-identity",
        "Name of a node identity to use. May be specified multiple times. Format is NODENAME:DATACENTER",
        many=True,
    ),
)


TEMPLATED: Final = (
    Flag(
        "templated-policy",
        "Name of a templated policy to use, with -var (since Consul 1.17). Format is NAME",
        default="",
        placeholder="string",
    ),
    Flag("var", "A variable of the templated policy, as name:value. May be specified multiple times", many=True),
    Flag(
        "templated-policy-file",
        "Path to a file with names and variables of templated policies, in HCL or JSON: blocks TemplatedPolicies NAME. "
        "Use instead of -templated-policy and -var",
        default="",
        placeholder="string",
    ),
)


_CHANGES: Final = {"append": "added to those that are there", "replace": "in the place of those that are there"}
#: Of updates in newer versions, whose `-var` is that of `TEMPLATED`.
TEMPLATED_CHANGES: Final = tuple(
    replace(flag, name=f"{change}-{flag.name}", doc=f"{flag.doc}; {effect}")
    for change, effect in _CHANGES.items()
    for flag in TEMPLATED
    if flag.name != "var"
)


def text_flag(name: str, doc: str) -> Flag:
    """A flag that holds a text; not given it is empty."""
    return Flag(name, doc, default="", placeholder="string")


@contextmanager
def saying(what: str) -> Iterator[None]:
    """Prefix a request's error with what it was for, and add the right that the token lacked. Raises `ConfigError`."""
    try:
        yield
    except ClientError as error:
        hint = getattr(error, "hint", "")
        raise ConfigError(f"{what}: {error}" + (f"\n{hint}" if hint else "")) from None


def required(given: Invocation, name: str) -> str:
    """The value of a flag that must be given. Raises `ConfigError`."""
    if not given.values[name]:
        raise ConfigError(f"Must specify the -{name} parameter")
    return str(given.values[name])


def read_record(given: Invocation, path: str, failed: str, missing: str) -> Json:
    """The record at this path. `failed`: the beginning of errors; `missing`: the error if there is none.

    Raises `ConfigError`.
    """
    with saying(failed):
        found: Json | None = given.client.find(path, given.query)
    if found is None:
        raise ConfigError(missing)
    return found


def value_of(text: str, what: str = "data") -> str:
    """A text as it is, of a file (`@file`) or the standard input (`-`). `what`: it is, for the `ConfigError`."""
    try:
        if text == "-":
            return sys.stdin.read()
        if text.startswith("@"):
            return Path(text[1:]).read_text(errors="replace")
    except OSError as error:
        raise ConfigError(
            f"Error loading {what}: Failed to read file: open {error.filename}: {str(error.strerror).lower()}"
        ) from None
    return text


def part(text: str) -> str:
    """A name or an id as a part of a path."""
    return quote(text, safe="", errors="surrogateescape")


def _by_prefix(given: Invocation, prefix: str, path: str, field: str, kind: str, what: str = "") -> str:
    if len(prefix) == _ID_LENGTH:
        return prefix
    what = what or f"Error determining {'binding rule' if kind == 'rule' else kind} ID"
    with saying(what):
        found = [row[field] for row in given.client.get(path, given.query) or [] if row[field].startswith(prefix)]
    if not found:
        raise ConfigError(f"{what}: No such {kind} ID with prefix: {prefix}")
    if len(found) > 1:
        raise ConfigError(f"{what}: Partial {kind} ID is not unique")
    return str(found[0])


def token_id(given: Invocation, text: str, what: str = "") -> str:
    """The accessor of a token by its beginning. `what`: the beginning of errors."""
    if text == "anonymous":
        return ANONYMOUS_ID
    return _by_prefix(given, text, "/v1/acl/tokens", "AccessorID", "token", what)


def legacy_token(given: Invocation, text: str, what: str = "", *, is_secret: bool) -> dict[str, Any]:
    """A token with legacy rules, by the beginning of its accessor or by its secret. `what`: the beginning of errors."""
    name = text if is_secret else token_id(given, text, what)
    with saying(f"{what}: Error reading token" if what else "Error reading token"):
        if is_secret:
            found: dict[str, Any] = given.client.get("/v1/acl/token/self", {**given.query, "token": name})
        else:
            found = given.client.get(f"/v1/acl/token/{part(name)}", given.query)
    if not found.get("Rules"):
        raise ConfigError(f"{what}: {_NO_RULES}" if what else _NO_RULES)
    return found


def policy_id(given: Invocation, text: str, what: str = "") -> str:
    """The id of a policy by its beginning. `what`: the beginning of errors."""
    if text == "global-management":
        return MANAGEMENT_ID
    return _by_prefix(given, text, "/v1/acl/policies", "ID", "policy", what)


def policy_id_by_name(given: Invocation, name: str) -> str:
    """The id of a policy by its name."""
    return _by_name(given, name, "/v1/acl/policies", "policy")


def role_id(given: Invocation, text: str, what: str = "") -> str:
    """The id of a role by its beginning. `what`: the beginning of errors."""
    return _by_prefix(given, text, "/v1/acl/roles", "ID", "role", what)


def role_id_by_name(given: Invocation, name: str) -> str:
    """The id of a role by its name."""
    return _by_name(given, name, "/v1/acl/roles", "role")


def _by_name(given: Invocation, name: str, path: str, kind: str) -> str:
    with saying(f"Error determining {kind} ID"):
        for row in given.client.get(path, given.query) or []:
            if row["Name"] == name:
                return str(row["ID"])
    raise ConfigError(f"Error determining {kind} ID: No such {kind} with name {name}")


def rule_id(given: Invocation, text: str) -> str:
    """The id of a binding rule by its beginning."""
    return _by_prefix(given, text, "/v1/acl/binding-rules", "ID", "rule")


def policy_links(given: Invocation) -> list[Json]:
    """The policies of the flags, by name and by id."""
    values = given.values
    by_name: list[Json] = [{"Name": name} for name in values["policy-name"]]
    return by_name + [{"ID": policy_id(given, text, "Error resolving policy ID ")} for text in values["policy-id"]]


def role_links(given: Invocation) -> list[Json]:
    """The roles of the flags, by name and by id."""
    values = given.values
    by_name: list[Json] = [{"Name": name} for name in values["role-name"]]
    return by_name + [{"ID": role_id(given, text, "Error resolving role ID ")} for text in values["role-id"]]


def service_identities(given: Invocation) -> list[Json]:
    """`NAME` or `NAME:DC,DC`. Raises `ConfigError`."""
    found = []
    for text in given.values["service-identity"]:
        name, colon, datacenters = text.partition(":")
        if ":" in datacenters or (colon and not all(datacenters.split(","))):
            raise ConfigError(f'Malformed -service-identity argument: "{text}"')
        found.append({"ServiceName": name} | ({"Datacenters": datacenters.split(",")} if colon else {}))
    return found


def node_identities(given: Invocation) -> list[Json]:
    """`NAME:DC`. Raises `ConfigError`."""
    found = []
    for text in given.values["node-identity"]:
        name, _, datacenter = text.partition(":")
        if not name or not datacenter or ":" in datacenter:
            raise ConfigError(f'Malformed -node-identity argument: "{text}"')
        found.append({"NodeName": name, "Datacenter": datacenter})
    return found


def templated_policies(given: Invocation) -> list[Json]:
    """The templated policy of the flags, with its variables. Raises `ConfigError`."""
    values = given.values
    if not values["templated-policy"] and values["var"]:
        raise ConfigError("Cannot specify variables without specifying -templated-policy")
    if values["templated-policy"] and values["templated-policy-file"]:
        raise ConfigError("Cannot combine the use of templated-policy flag with templated-policy-file")
    if values["templated-policy-file"]:
        return templates_in(values["templated-policy-file"])
    if not values["templated-policy"]:
        return []
    link: Json = {"TemplateName": values["templated-policy"]}
    variables = template_variables(values["var"])
    return [link | ({"TemplateVariables": variables} if variables else {})]


def changed_templated_policies(given: Invocation, old: list[Json] | None) -> list[Json] | None:
    """A record's templated policies after the flags of `TEMPLATED_CHANGES`; None without any. Raises `ConfigError`."""
    values = given.values
    found: dict[str, list[Json]] = {}
    for change in _CHANGES:
        names = ("templated-policy", "templated-policy-file")
        of_change = {name: values[f"{change}-{name}"] for name in names}
        if any(of_change.values()):
            found[change] = templated_policies(Invocation(values | of_change, given.arguments))
    is_given = values["templated-policy"] or values["templated-policy-file"]
    if len(found) + bool(is_given) > 1:
        raise ConfigError("Cannot combine the flags of templated policies with their append- and replace- variants")
    return merged(old, found["append"]) if "append" in found else found.get("replace")


def templates_in(path: str) -> list[Json]:
    """The templated policies of a file. Raises `ConfigError`."""
    from consulpy.config.disk import parse

    raw: Any = parse(path, value_of(f"@{path}"), "hcl").tree
    found: list[Json] = []
    for field, blocks in raw.items() if isinstance(raw, dict) else ():
        if field.lower() != "templatedpolicies":
            raise ConfigError(f"{path}: unknown block {field}; expected TemplatedPolicies")
        for name, variables in _named_blocks(blocks):
            links = [each for each in _many(variables) if isinstance(each, dict)] or [{}]
            for each in links:
                known = {key.lower(): value for key, value in each.items()}
                if known.keys() - {"name"}:
                    raise ConfigError(f"{path}: {name}: a template has no variable but Name")
                found.append({"TemplateName": name} | ({"TemplateVariables": {"name": known["name"]}} if known else {}))
    if not found:
        raise ConfigError(f"{path}: there is no block TemplatedPolicies")
    return found


def _many(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _named_blocks(blocks: Any) -> Iterator[tuple[str, Any]]:
    for block in _many(blocks):
        yield from block.items() if isinstance(block, dict) else ()


def template_variables(texts: list[str]) -> Json:
    """`name:value`, of which there is only the name. Raises `ConfigError`."""
    variables: Json = {}
    for text in texts:
        name, colon, value = text.partition(":")
        if not colon or name.lower() != "name":
            raise ConfigError(f'Malformed -var argument: "{text}"; expected name:VALUE')
        variables["name"] = value
    return variables


def merged(old: list[Json] | None, new: list[Json]) -> list[Json]:
    """Existing links together with new ones."""
    kept = list(old or [])
    for link in new:
        if not any(all(each.get(field) == value for field, value in link.items()) for each in kept):
            kept.append(link)
    return kept
