"""`consulpy acl templated-policy list|read|preview`: the built-in templates of policies (Consul 1.17)."""

from typing import Any

from consulpy.cli.acl_common import (
    TEMPLATED,
    USES_SERVERS,
    required,
    saying,
    template_variables,
    templates_in,
    text_flag,
)
from consulpy.cli.command import Invocation, command, group
from consulpy.cli.format import FORMAT, as_json
from consulpy.codec.printable import printable
from consulpy.errors import ConfigError

group(
    "acl templated-policy",
    "Manage Consul's ACL templated policies",
    """
Shows the templates of policies that tokens and roles may be linked with:

    $ consulpy acl templated-policy list
    $ consulpy acl templated-policy read -name builtin/service
    $ consulpy acl templated-policy preview -name builtin/service -var name:web
""",
)


@command(
    "acl templated-policy list",
    "Lists ACL templated policies",
    usage="acl templated-policy list [options]",
    about="""
Lists the names of all templates.
""",
    flags=[FORMAT],
    **USES_SERVERS,
)
def list_all(given: Invocation) -> int:
    """The names, one a line."""
    with saying("Failed to retrieve the templated policies list"):
        found = given.client.get("/v1/acl/templated-policies", given.query)
    given.out(as_json(found) if given.values["format"] == "json" else "\n".join(sorted(found)))
    return 0


@command(
    "acl templated-policy read",
    "Read an ACL Templated Policy",
    usage="acl templated-policy read [options] -name NAME",
    about="""
Shows a template: its variables, and the rules that it makes of them.
""",
    flags=[FORMAT, text_flag("name", "The name of the templated policy to read.")],
    **USES_SERVERS,
)
def read(given: Invocation) -> int:
    """One template."""
    name = required(given, "name")
    with saying(f'Error reading templated policy with name "{name}"'):
        found: dict[str, Any] = given.client.get(f"/v1/acl/templated-policy/name/{name}", given.query)
    if given.values["format"] == "json":
        given.out(as_json(found))
        return 0
    has_name = '"name"' in (found.get("Schema") or "").lower()
    lines = [f"Name:            {printable(found['TemplateName'])}"]
    lines.append("Input variables: " + ("Name (required)" if has_name else "None"))
    given.out("\n".join([*lines, "Raw Template:", found.get("Template") or ""]))
    return 0


@command(
    "acl templated-policy preview",
    "Preview the policy rendered by the ACL templated policy",
    usage="acl templated-policy preview [options] -name NAME",
    about="""
Shows the policy that a template makes of variables. Nothing is stored.
""",
    flags=[
        FORMAT,
        text_flag("name", "The name of the templated policy to preview."),
        TEMPLATED[1],
        text_flag("file", "Path to a file with the name and variables of a templated policy, instead of them"),
    ],
    **USES_SERVERS,
)
def preview(given: Invocation) -> int:
    """The policy."""
    if given.values["file"]:
        if given.values["name"] or given.values["var"]:
            raise ConfigError("Cannot combine the use of file flag with name or var")
        links = templates_in(given.values["file"])
        if len(links) > 1:
            raise ConfigError("Can only preview a single templated policy at a time.")
        name, variables = links[0]["TemplateName"], links[0].get("TemplateVariables", {})
    else:
        name, variables = required(given, "name"), template_variables(given.values["var"])
    with saying("Failed to generate the templated policy preview"):
        found = given.client.post(f"/v1/acl/templated-policy/preview/{name}", given.query, variables)
    if given.values["format"] == "json":
        given.out(as_json(found))
        return 0
    rows = [("ID", found["ID"]), ("Name", found["Name"]), ("Description", found["Description"])]
    given.out("\n".join([*(f"{title + ':':<14}{printable(value)}" for title, value in rows), "Rules:", found["Rules"]]))
    return 0
