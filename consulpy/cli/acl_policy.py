"""`consulpy acl policy ...`."""

import functools
from typing import Any

from consulpy.cli import acl_show
from consulpy.cli.acl_common import (
    NO_MERGE,
    SHOWS,
    USES_SERVERS,
    legacy_token,
    part,
    policy_id,
    policy_id_by_name,
    saying,
    text_flag,
    value_of,
)
from consulpy.cli.command import Invocation, command, group
from consulpy.errors import ConfigError
from consulpy.gocompat.flag import Flag, switch

group(
    "acl policy",
    "Manage Consul's ACL policies",
    """
Create, read, update, list and delete policies. For example:

    $ consulpy acl policy create -name "new-policy" -valid-datacenter "dc1" -rules @rules.hcl
    $ consulpy acl policy list
    $ consulpy acl policy read -name "new-policy"
    $ consulpy acl policy delete -name "new-policy"
""",
)

_ID = text_flag("id", "The ID of the policy. It may be specified as a unique ID prefix")
_NAME = text_flag("name", "The name of the policy.")
_DESCRIPTION = text_flag("description", "A description of the policy")
_RULES = text_flag(
    "rules",
    "The policy rules. May be prefixed with '@' to indicate that the value is a file path to load the rules from. '-' "
    "may also be given to indicate that the rules are available on stdin",
)
_DATACENTERS = Flag(
    "valid-datacenter",
    "Datacenter that the policy should be valid within. This flag may be specified multiple times",
    many=True,
)


def _show(given: Invocation, policy: dict[str, Any]) -> int:
    return acl_show.show(
        given, {"Datacenters": None, **policy}, functools.partial(acl_show.policy, meta=given.values["meta"])
    )


def _named(given: Invocation) -> str:
    """The id of the policy that -id or -name means. Raises `ConfigError`."""
    if given.values["id"]:
        return policy_id(given, given.values["id"])
    if given.values["name"]:
        return policy_id_by_name(given, given.values["name"])
    raise ConfigError("Must specify either the -id or -name parameters")


@command(
    "acl policy create",
    "Create an ACL policy",
    usage="acl policy create -name NAME [options]",
    about="""
The values of -rules and -from-token may be read from stdin (-) or from a file
(@FILE).

    $ consulpy acl policy create -name "new-policy" -description "An example" \\
          -valid-datacenter "dc1" -rules @rules.hcl
    $ consulpy acl policy create -name "old" -from-token c1e34113
""",
    flags=[
        *SHOWS,
        _NAME,
        _DESCRIPTION,
        _RULES,
        _DATACENTERS,
        text_flag("from-token", "The legacy token to retrieve the rules for when creating this policy."),
        Flag("token-secret", "The token of -from-token is a SecretID and not an AccessorID", switch, default=False),
    ],
    **USES_SERVERS,
)
def create(given: Invocation) -> int:
    """Write a policy and show it."""
    values = given.values
    if not values["name"]:
        raise ConfigError("Missing require '-name' flag")
    if values["from-token"] and values["rules"]:
        raise ConfigError("Error loading rules: Cannot specify both -rules and -from-token")
    policy = {
        "Name": values["name"],
        "Description": values["description"],
        "Datacenters": values["valid-datacenter"] or None,
        "Rules": _rules_of_token(given) if values["from-token"] else value_of(values["rules"], "rules"),
    }
    with saying("Failed to create new policy"):
        return _show(given, given.client.put("/v1/acl/policy", {"dc": given.query["dc"]}, policy))


def _rules_of_token(given: Invocation) -> str:
    text = value_of(given.values["from-token"], "rules").strip()
    token = legacy_token(given, text, "Error loading rules", is_secret=given.values["token-secret"])
    with saying("Error loading rules: Error reading token"):
        found: str = given.client.get_text(f"/v1/acl/rules/translate/{token['AccessorID']}", given.query)
    return found


@command(
    "acl policy read",
    "Read an ACL policy",
    usage="acl policy read [options]",
    about="""
Shows a policy and its rules.

    $ consulpy acl policy read -id fdabbcb5-9de5-4b1a-961f-77214ae88cba
    $ consulpy acl policy read -name my-policy
""",
    flags=[*SHOWS, _ID, _NAME],
    **USES_SERVERS,
)
def read(given: Invocation) -> int:
    """One policy."""
    found = _named(given)
    with saying(f'Error reading policy "{found}"'):
        return _show(given, given.client.get(f"/v1/acl/policy/{part(found)}", given.query))


@command(
    "acl policy list",
    "List ACL policies",
    usage="acl policy list [options]",
    about="""
Lists all policies, without their rules.
""",
    flags=[*SHOWS],
    **USES_SERVERS,
)
def list_all(given: Invocation) -> int:
    """All policies."""
    with saying("Failed to retrieve the policy list"):
        found = given.client.get("/v1/acl/policies", given.query) or []
    return acl_show.show(given, found, functools.partial(acl_show.policy_entry, meta=given.values["meta"]))


@command(
    "acl policy update",
    "Update an ACL policy",
    usage="acl policy update [options]",
    about="""
Changes what the flags say; with -no-merge everything else is emptied.

    $ consulpy acl policy update -id abcd -name "better-name"
    $ consulpy acl policy update -id abcd -no-merge -name "other" -rules @rules.hcl
""",
    flags=[*SHOWS, _ID, _NAME, _DESCRIPTION, _RULES, _DATACENTERS, NO_MERGE],
    **USES_SERVERS,
)
def update(given: Invocation) -> int:
    """The policy as it is then."""
    values = given.values
    found = _named(given)
    rules = value_of(values["rules"], "rules")
    policy: dict[str, Any] = {
        "ID": found,
        "Name": values["name"],
        "Description": values["description"],
        "Datacenters": values["valid-datacenter"] or None,
        "Rules": rules,
    }
    if not values["no-merge"]:
        with saying("Error when retrieving current policy"):
            old = given.client.get(f"/v1/acl/policy/{part(found)}", given.query)
        policy = old | {field: value for field, value in policy.items() if value}
    with saying(f'Error updating policy "{found}"'):
        return _show(given, given.client.put(f"/v1/acl/policy/{part(found)}", {"dc": given.query["dc"]}, policy))


@command(
    "acl policy delete",
    "Delete an ACL policy",
    usage="acl policy delete [options] -id POLICY",
    about="""
Deletes a policy by its id, a unique prefix of it, or its name.

    $ consulpy acl policy delete -id b6b85
    $ consulpy acl policy delete -name "my-policy"
""",
    flags=[_ID, _NAME],
    **USES_SERVERS,
)
def delete(given: Invocation) -> int:
    """Remove it."""
    found = _named(given)
    with saying(f'Error deleting policy "{found}"'):
        given.client.delete(f"/v1/acl/policy/{part(found)}", {"dc": given.query["dc"]})
    given.out(f'Policy "{found}" deleted successfully')
    return 0
