"""`consulpy acl token ...`."""

import functools
from dataclasses import replace
from typing import Any

from consulpy.cli import acl_show
from consulpy.cli.acl_common import (
    IDENTITIES,
    POLICIES,
    ROLES,
    SHOWS,
    TEMPLATED,
    TEMPLATED_CHANGES,
    USES_SERVERS,
    changed_templated_policies,
    merged,
    node_identities,
    policy_links,
    role_links,
    saying,
    service_identities,
    templated_policies,
    text_flag,
    token_id,
)
from consulpy.cli.command import Invocation, command, group
from consulpy.cli.format import FORMAT
from consulpy.errors import ConfigError
from consulpy.gocompat.duration import format_duration, parse_duration
from consulpy.gocompat.flag import Flag, switch

group(
    "acl token",
    "Manage Consul's ACL tokens",
    """
Create, read, update, clone, list and delete tokens. For example:

    $ consulpy acl token create -description "An example" -policy-id 06acc965
    $ consulpy acl token list
    $ consulpy acl token update -id 986193 -description "WonderToken"
    $ consulpy acl token read -id 986193
    $ consulpy acl token delete -id 986193
""",
)

_ACCESSOR = text_flag("accessor-id", "The Accessor ID of the token, or a unique prefix of it (since Consul 1.15)")
_ID = text_flag(
    "id", "The Accessor ID of the token. It may be specified as a unique ID prefix, but not one of several tokens"
)


def _show(given: Invocation, token: dict[str, Any]) -> int:
    return acl_show.show(given, token, functools.partial(acl_show.token, meta=given.values.get("meta", False)))


@command(
    "acl token create",
    "Create an ACL token",
    usage="acl token create [options]",
    about="""
Policies and roles are linked by name, or by an id or a unique prefix of one:

    $ consulpy acl token create -description "Replication token" \\
          -policy-id b52fc3de-5 -policy-name "acl-replication" \\
          -role-id c630d4ef-6 -role-name "db-updater" \\
          -service-identity "web" -service-identity "db:east,west"
""",
    flags=[
        *SHOWS,
        *POLICIES,
        *ROLES,
        *IDENTITIES,
        *TEMPLATED,
        text_flag("accessor", "Create the token with this Accessor ID. A UUID; if not given one is made."),
        text_flag("secret", "Create the token with this Secret ID. A UUID; if not given one is made."),
        text_flag("description", "A description of the token"),
        Flag("local", "Create this as a datacenter local token", switch, default=False),
        Flag("expires-ttl", "Duration of time this token should be valid for", parse_duration, default=0.0),
    ],
    **USES_SERVERS,
)
def create(given: Invocation) -> int:
    """Write a token and show it."""
    values = given.values
    if not any(values[flag.name] for flag in (*POLICIES, *ROLES, *IDENTITIES, TEMPLATED[0], TEMPLATED[2])):
        raise ConfigError(
            "Cannot create a token without specifying -policy-name, -policy-id, -role-name, -role-id, "
            "-service-identity, or -node-identity at least once"
        )
    token = {
        "Description": values["description"],
        "Local": values["local"],
        "AccessorID": values["accessor"],
        "SecretID": values["secret"],
        "ServiceIdentities": service_identities(given),
        "NodeIdentities": node_identities(given),
        "Policies": policy_links(given),
        "Roles": role_links(given),
    }
    if templated := templated_policies(given):
        token["TemplatedPolicies"] = templated
    if values["expires-ttl"]:
        token["ExpirationTTL"] = format_duration(values["expires-ttl"])
    with saying("Failed to create new token"):
        return _show(given, given.client.put("/v1/acl/token", {"dc": given.query["dc"]}, token))


@command(
    "acl token read",
    "Read an ACL token",
    usage="acl token read [options] -id TOKENID",
    about="""
Shows a token, or the one that the command uses.

    $ consulpy acl token read -id 4be56c77-82
    $ consulpy acl token read -self
""",
    flags=[*SHOWS, _ID, _ACCESSOR, Flag("self", "Read the token that this command uses", switch, default=False)],
    **USES_SERVERS,
)
def read(given: Invocation) -> int:
    """One token."""
    if given.values["self"]:
        with saying("Error reading token"):
            return _show(given, given.client.get("/v1/acl/token/self", given.query))
    accessor = token_id(given, _needed(given))
    with saying(f'Error reading token "{accessor}"'):
        return _show(given, given.client.get(f"/v1/acl/token/{accessor}", given.query))


def _needed(given: Invocation, text: str = "Must specify the -id parameter") -> str:
    found = given.values["id"] or given.values["accessor-id"]
    if not found:
        raise ConfigError(text)
    return str(found)


@command(
    "acl token list",
    "List ACL tokens",
    usage="acl token list [options]",
    about="""
Lists all tokens, without their secrets.
""",
    flags=[*SHOWS],
    **USES_SERVERS,
)
def list_all(given: Invocation) -> int:
    """All tokens."""
    with saying("Failed to retrieve the token list"):
        found = given.client.get("/v1/acl/tokens", given.query) or []
    return acl_show.show(given, found, functools.partial(acl_show.token, meta=given.values["meta"]))


@command(
    "acl token clone",
    "Clone an ACL token",
    usage="acl token clone [options]",
    about="""
Makes another token with the same rights.

    $ consulpy acl token clone -id abcd -description "replication"
""",
    flags=[FORMAT, _ID, _ACCESSOR, text_flag("description", "A description of the new cloned token")],
    **USES_SERVERS,
)
def clone(given: Invocation) -> int:
    """The new token."""
    accessor = token_id(given, _needed(given, "Cannot update a token without specifying the -id parameter"))
    with saying("Error cloning token"):
        found = given.client.put(
            f"/v1/acl/token/{accessor}/clone", {"dc": given.query["dc"]}, {"Description": given.values["description"]}
        )
    return _show(given, found)


#: Flags of what a token is linked with.
_LINKS = (*POLICIES, *ROLES, *IDENTITIES)


def _appended(given: Invocation) -> dict[str, list[dict[str, Any]]]:
    """Values of the `-append-` flags of newer versions, by field."""
    values = {flag.name: given.values[f"append-{flag.name}"] for flag in _LINKS}
    named = Invocation(given.values | values, given.arguments)
    return {
        "Policies": policy_links(named),
        "Roles": role_links(named),
        "ServiceIdentities": service_identities(named),
        "NodeIdentities": node_identities(named),
    }


def _merge(what: str) -> Flag:
    return Flag(f"merge-{what}", f"Merge the new {what} with the existing ones", switch, default=False)


@command(
    "acl token update",
    "Update an ACL token",
    usage="acl token update [options]",
    about="""
Writes a token again. What is not merged is replaced by what the flags say, also
by nothing.

    $ consulpy acl token update -id abcd -description "x" -merge-policies
    $ consulpy acl token update -id abcd -policy-name "a" -role-name "b"
""",
    flags=[
        *SHOWS,
        *POLICIES,
        *ROLES,
        *IDENTITIES,
        *TEMPLATED,
        *TEMPLATED_CHANGES,
        *(replace(flag, name=f"append-{flag.name}", doc=f"{flag.doc}; added to those of the token") for flag in _LINKS),
        _ID,
        _ACCESSOR,
        text_flag("description", "A description of the token"),
        *map(_merge, ("policies", "roles", "service-identities", "node-identities")),
        Flag("upgrade-legacy", "Add new policies to a legacy token, replacing its rules", switch, default=False),
    ],
    **USES_SERVERS,
)
def update(given: Invocation) -> int:
    """The token as it is then."""
    values = given.values
    accessor = token_id(given, _needed(given, "Cannot update a token without specifying the -id parameter"))
    with saying("Error when retrieving current token"):
        token = given.client.get(f"/v1/acl/token/{accessor}", given.query)
    if values["upgrade-legacy"]:
        if not token.get("Rules"):
            raise ConfigError("Can't use -upgrade-legacy on a non-legacy token")
        token["Rules"] = ""
    if values["description"]:
        token["Description"] = values["description"]
    added = _appended(given)
    is_newer = bool(values["accessor-id"]) or any(added.values())  # it keeps what no flag names
    for field, flag, links in (
        ("Policies", "merge-policies", policy_links),
        ("Roles", "merge-roles", role_links),
        ("ServiceIdentities", "merge-service-identities", service_identities),
        ("NodeIdentities", "merge-node-identities", node_identities),
    ):
        new = links(given)
        if new and added[field]:
            raise ConfigError(f"Cannot combine flags of {field} with their append- variants")
        keeps = values[flag] or added[field] or (is_newer and not new)
        token[field] = merged(token.get(field), new + added[field]) if keeps else new
    changed = changed_templated_policies(given, token.get("TemplatedPolicies"))
    if changed is not None:
        token["TemplatedPolicies"] = changed
    elif templated := templated_policies(given):
        token["TemplatedPolicies"] = templated
    with saying(f"Failed to update token {accessor}"):
        return _show(given, given.client.put(f"/v1/acl/token/{accessor}", {"dc": given.query["dc"]}, token))


@command(
    "acl token delete",
    "Delete an ACL token",
    usage="acl token delete [options] -id TOKENID",
    about="""
Deletes a token by its Accessor ID, or a unique prefix of it.

    $ consulpy acl token delete -id b6b85
""",
    flags=[_ID, _ACCESSOR],
    **USES_SERVERS,
)
def delete(given: Invocation) -> int:
    """Remove it."""
    accessor = token_id(given, _needed(given))
    with saying(f'Error deleting token "{accessor}"'):
        given.client.delete(f"/v1/acl/token/{accessor}", {"dc": given.query["dc"]})
    given.out(f'Token "{accessor}" deleted successfully')
    return 0
