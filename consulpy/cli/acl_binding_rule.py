"""`consulpy acl binding-rule ...`."""

import functools
from typing import Any

from consulpy.cli import acl_show
from consulpy.cli.acl_common import NO_MERGE, SHOWS, USES_SERVERS, part, read_record, rule_id, saying, text_flag
from consulpy.cli.command import Invocation, command, group
from consulpy.errors import ConfigError
from consulpy.gocompat.flag import Flag

group(
    "acl binding-rule",
    "Manage Consul's ACL binding rules",
    """
Create, read, update, list and delete binding rules. For example:

    $ consulpy acl binding-rule create -method=my-method -bind-type=service -bind-name='${value.team}'
    $ consulpy acl binding-rule list -method=my-method
    $ consulpy acl binding-rule read -id 43cb72df
    $ consulpy acl binding-rule delete -id 43cb72df
""",
)

_ID = text_flag("id", "The ID of the binding rule. It may be specified as a unique ID prefix")
#: Flag -> field.
_FIELDS = {"description": "Description", "bind-type": "BindType", "bind-name": "BindName", "selector": "Selector"}
_SETTINGS = (
    text_flag("description", "A description of the binding rule."),
    text_flag("bind-type", 'Type of binding to perform ("service", "node", "role" or "templated-policy").'),
    text_flag("bind-name", "Name to bind on match. Can use ${var} interpolation. This flag is required."),
    Flag(
        "bind-vars",
        "A variable of the templated policy, as name=VALUE; VALUE can use ${var} interpolation. Only with -bind-type "
        "templated-policy (since Consul 1.17). May be specified multiple times.",
        many=True,
    ),
    text_flag("selector", "Selector is an expression that matches against verified identity attributes at login."),
)


def _bind_vars(given: Invocation) -> dict[str, Any]:
    """`name=VALUE`, of which there is only the name; empty: no flag says anything. Raises `ConfigError`."""
    found: dict[str, Any] = {}
    for text in given.values["bind-vars"]:
        name, equals, value = text.partition("=")
        if not equals or name.lower() != "name":
            raise ConfigError(f'Malformed -bind-vars argument: "{text}"; expected name=VALUE')
        found = {"BindVars": {"name": value}}
    return found


def _show(given: Invocation, rule: dict[str, Any]) -> int:
    return acl_show.show(given, rule, functools.partial(acl_show.binding_rule, meta=given.values["meta"]))


def _needed(given: Invocation, text: str) -> str:
    if not given.values["id"]:
        raise ConfigError(text)
    return rule_id(given, given.values["id"])


@command(
    "acl binding-rule create",
    "Create an ACL binding rule",
    usage="acl binding-rule create [options]",
    about="""
    $ consulpy acl binding-rule create -method=my-method -bind-type=service \\
          -bind-name='k8s-${serviceaccount.name}' \\
          -selector='serviceaccount.namespace==default and serviceaccount.name==web'
""",
    flags=[*SHOWS, text_flag("method", "The auth method's name for which this binding rule applies."), *_SETTINGS],
    **USES_SERVERS,
)
def create(given: Invocation) -> int:
    """Write a rule and show it."""
    values = given.values
    for name in ("method", "bind-name"):
        if not values[name]:
            raise ConfigError(f"Missing required '-{name}' flag")
    rule = {"AuthMethod": values["method"]} | {field: values[name] for name, field in _FIELDS.items()}
    rule["BindType"] = rule["BindType"] or "service"
    rule |= _bind_vars(given)
    with saying("Failed to create new binding rule"):
        return _show(given, given.client.put("/v1/acl/binding-rule", {"dc": given.query["dc"]}, rule))


@command(
    "acl binding-rule read",
    "Read an ACL binding rule",
    usage="acl binding-rule read -id ID [options]",
    about="""
    $ consulpy acl binding-rule read -id fdabbcb5-9de5-4b1a-961f-77214ae88cba
""",
    flags=[*SHOWS, _ID],
    **USES_SERVERS,
)
def read(given: Invocation) -> int:
    """One rule."""
    found = _needed(given, "Must specify the -id parameter.")
    return _show(given, _read(given, found, f'Error reading binding rule "{found}"'))


def _read(given: Invocation, found: str, what: str) -> dict[str, Any]:
    missing = f'Binding rule not found with ID "{found}"'
    return read_record(given, f"/v1/acl/binding-rule/{part(found)}", what, missing)


@command(
    "acl binding-rule list",
    "List ACL binding rules",
    usage="acl binding-rule list [options]",
    about="""
Lists all binding rules, or those of one auth method.
""",
    flags=[*SHOWS, text_flag("method", "Only show rules linked to the auth method with the given name.")],
    **USES_SERVERS,
)
def list_all(given: Invocation) -> int:
    """All rules."""
    params = given.query | ({"authmethod": given.values["method"]} if given.values["method"] else {})
    with saying("Failed to retrieve the binding rule list"):
        found = given.client.get("/v1/acl/binding-rules", params) or []
    return acl_show.show(given, found, functools.partial(acl_show.binding_rule_entry, meta=given.values["meta"]))


@command(
    "acl binding-rule update",
    "Update an ACL binding rule",
    usage="acl binding-rule update -id ID [options]",
    about="""
Changes what the flags say; with -no-merge everything else is emptied.

    $ consulpy acl binding-rule update -id=43cb72df -description="new description"
""",
    flags=[*SHOWS, _ID, *_SETTINGS, NO_MERGE],
    **USES_SERVERS,
)
def update(given: Invocation) -> int:
    """The rule as it is then."""
    values = given.values
    found = _needed(given, "Cannot update a binding rule without specifying the -id parameter")
    old = _read(given, found, "Error when retrieving current binding rule")
    said = {field: values[name] for name, field in _FIELDS.items()}
    if values["no-merge"]:
        rule = {"ID": found, "AuthMethod": old["AuthMethod"]} | said
    else:
        rule = old | {field: value for field, value in said.items() if value}
    rule |= _bind_vars(given)
    with saying(f'Error updating binding rule "{found}"'):
        return _show(given, given.client.put(f"/v1/acl/binding-rule/{part(found)}", {"dc": given.query["dc"]}, rule))


@command(
    "acl binding-rule delete",
    "Delete an ACL binding rule",
    usage="acl binding-rule delete -id ID [options]",
    about="""
    $ consulpy acl binding-rule delete -id b6b85
""",
    flags=[_ID],
    **USES_SERVERS,
)
def delete(given: Invocation) -> int:
    """Remove it."""
    found = _needed(given, "Must specify the -id parameter")
    with saying(f'Error deleting binding rule "{found}"'):
        given.client.delete(f"/v1/acl/binding-rule/{part(found)}", {"dc": given.query["dc"]})
    given.out(f'Binding rule "{found}" deleted successfully')
    return 0
