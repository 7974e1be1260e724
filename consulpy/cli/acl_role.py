"""`consulpy acl role ...`."""

import functools
from typing import Any

from consulpy.cli import acl_show
from consulpy.cli.acl_common import (
    IDENTITIES,
    NO_MERGE,
    POLICIES,
    SHOWS,
    TEMPLATED,
    TEMPLATED_CHANGES,
    USES_SERVERS,
    changed_templated_policies,
    merged,
    node_identities,
    part,
    policy_links,
    read_record,
    role_id,
    role_id_by_name,
    saying,
    service_identities,
    templated_policies,
    text_flag,
)
from consulpy.cli.command import Invocation, command, group
from consulpy.errors import ConfigError

group(
    "acl role",
    "Manage Consul's ACL roles",
    """
Create, read, update, list and delete roles. For example:

    $ consulpy acl role create -name "new-role" -service-identity "web"
    $ consulpy acl role list
    $ consulpy acl role read -name "new-role"
    $ consulpy acl role delete -name "new-role"
""",
)

_ID = text_flag("id", "The ID of the role. It may be specified as a unique ID prefix")
_NAME = text_flag("name", "The name of the role.")
_DESCRIPTION = text_flag("description", "A description of the role")


def _show(given: Invocation, role: dict[str, Any]) -> int:
    return acl_show.show(given, role, functools.partial(acl_show.role, meta=given.values["meta"]))


@command(
    "acl role create",
    "Create an ACL role",
    usage="acl role create -name NAME [options]",
    about="""
    $ consulpy acl role create -name "new-role" -description "An example" \\
          -policy-id b52fc3de-5 -policy-name "acl-replication" \\
          -service-identity "web" -service-identity "db:east,west"
""",
    flags=[*SHOWS, _NAME, _DESCRIPTION, *POLICIES, *IDENTITIES, *TEMPLATED],
    **USES_SERVERS,
)
def create(given: Invocation) -> int:
    """Write a role and show it."""
    values = given.values
    if not values["name"]:
        raise ConfigError("Missing require '-name' flag")
    if not any(values[flag.name] for flag in (*POLICIES, *IDENTITIES, TEMPLATED[0], TEMPLATED[2])):
        raise ConfigError(
            "Cannot create a role without specifying -policy-name, -policy-id, -service-identity, or -node-identity at "
            "least once"
        )
    role = {
        "Name": values["name"],
        "Description": values["description"],
        "Policies": policy_links(given),
        "ServiceIdentities": service_identities(given),
        "NodeIdentities": node_identities(given),
    }
    if templated := templated_policies(given):
        role["TemplatedPolicies"] = templated
    with saying("Failed to create new role"):
        return _show(given, given.client.put("/v1/acl/role", {"dc": given.query["dc"]}, role))


@command(
    "acl role read",
    "Read an ACL role",
    usage="acl role read [options] ROLE",
    about="""
    $ consulpy acl role read -id fdabbcb5-9de5-4b1a-961f-77214ae88cba
    $ consulpy acl role read -name my-role
""",
    flags=[*SHOWS, _ID, _NAME],
    **USES_SERVERS,
)
def read(given: Invocation) -> int:
    """One role."""
    values = given.values
    if not values["id"] and not values["name"]:
        raise ConfigError("Must specify either the -id or -name parameters")
    named = role_id(given, values["id"]) if values["id"] else values["name"]
    path = f"/v1/acl/role/{part(named)}" if values["id"] else f"/v1/acl/role/name/{part(named)}"
    shown = f'{"ID" if values["id"] else "name"} "{named}"'
    return _show(given, read_record(given, path, f'Error reading role "{named}"', f"Role not found with {shown}"))


@command(
    "acl role list",
    "List ACL roles",
    usage="acl role list [options]",
    about="""
Lists all roles.
""",
    flags=[*SHOWS],
    **USES_SERVERS,
)
def list_all(given: Invocation) -> int:
    """All roles."""
    with saying("Failed to retrieve the role list"):
        found = given.client.get("/v1/acl/roles", given.query) or []
    return acl_show.show(given, found, functools.partial(acl_show.role_entry, meta=given.values["meta"]))


@command(
    "acl role update",
    "Update an ACL role",
    usage="acl role update [options]",
    about="""
Changes what the flags say, and adds what they link; with -no-merge everything
else is emptied.

    $ consulpy acl role update -id abcd -name "better-name"
    $ consulpy acl role update -id abcd -service-identity "web"
""",
    flags=[*SHOWS, _ID, _NAME, _DESCRIPTION, *POLICIES, *IDENTITIES, *TEMPLATED, *TEMPLATED_CHANGES, NO_MERGE],
    **USES_SERVERS,
)
def update(given: Invocation) -> int:
    """The role as it is then."""
    values = given.values
    if not values["id"]:
        raise ConfigError("Cannot update a role without specifying the -id parameter")
    found = role_id(given, values["id"])
    role: dict[str, Any] = {
        "ID": found,
        "Name": values["name"],
        "Description": values["description"],
        "Policies": policy_links(given),
        "ServiceIdentities": service_identities(given),
        "NodeIdentities": node_identities(given),
    }
    path = f"/v1/acl/role/{part(found)}"
    old = read_record(given, path, "Error when retrieving current role", f'Role not found with ID "{found}"')
    changed = changed_templated_policies(given, old.get("TemplatedPolicies"))
    templated = templated_policies(given) if changed is None else changed
    if not values["no-merge"]:
        for field in ("Name", "Description"):
            role[field] = role[field] or old.get(field, "")
        for field in ("Policies", "ServiceIdentities", "NodeIdentities"):
            role[field] = merged(old.get(field), role[field])
        if changed is None:
            templated = merged(old.get("TemplatedPolicies"), templated)
    if templated:
        role["TemplatedPolicies"] = templated
    with saying(f'Error updating role "{found}"'):
        return _show(given, given.client.put(path, {"dc": given.query["dc"]}, role))


@command(
    "acl role delete",
    "Delete an ACL role",
    usage="acl role delete [options] -id ROLE",
    about="""
Deletes a role by its id, a unique prefix of it, or its name.

    $ consulpy acl role delete -id b6b85
    $ consulpy acl role delete -name "my-role"
""",
    flags=[_ID, _NAME],
    **USES_SERVERS,
)
def delete(given: Invocation) -> int:
    """Remove it."""
    values = given.values
    if not values["id"] and not values["name"]:
        raise ConfigError("Must specify the -id or -name parameters")
    found = role_id(given, values["id"]) if values["id"] else role_id_by_name(given, values["name"])
    with saying(f'Error deleting role "{found}"'):
        given.client.delete(f"/v1/acl/role/{part(found)}", {"dc": given.query["dc"]})
    given.out(f'Role "{found}" deleted successfully')
    return 0
