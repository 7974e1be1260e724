"""`consulpy acl auth-method ...`."""

import functools
import json
from typing import Any

from consulpy.cli import acl_show
from consulpy.cli.acl_common import (
    NO_MERGE,
    SHOWS,
    USES_SERVERS,
    part,
    read_record,
    required,
    saying,
    text_flag,
    value_of,
)
from consulpy.cli.command import Invocation, command, group
from consulpy.codec.strict_json import JsonError, parse
from consulpy.errors import ConfigError
from consulpy.gocompat.duration import format_duration, parse_duration
from consulpy.gocompat.flag import Flag

group(
    "acl auth-method",
    "Manage Consul's ACL auth methods",
    """
Create, read, update, list and delete auth methods. For example:

    $ consulpy acl auth-method create -type "jwt" -name "my-method" -config @config.json
    $ consulpy acl auth-method list
    $ consulpy acl auth-method read -name "my-method"
    $ consulpy acl auth-method delete -name "my-method"
""",
)

_NAME = text_flag("name", "The auth method name.")
_SETTINGS = (
    text_flag("description", "A description of the auth method"),
    text_flag("display-name", "An optional name to use instead of the name when displaying information"),
    Flag("max-token-ttl", "How long all tokens created by this auth method should be valid", parse_duration),
    text_flag("token-locality", "Kind of token that should be created: local (the default) or global"),
    text_flag(
        "config",
        "The configuration for the auth method. Must be JSON. May be prefixed with '@' to indicate that the value is a "
        "file path to load the config from. '-' may also be given to indicate that the config are available on stdin",
    ),
    text_flag("kubernetes-host", "Address of the Kubernetes API server. This flag is required for type=kubernetes."),
    text_flag("kubernetes-ca-cert", "PEM encoded CA cert for use by the TLS client; '@' and '-' as with -config"),
    text_flag("kubernetes-service-account-jwt", "A service account JWT for the TokenReview API."),
)
#: Flag -> field of a Kubernetes configuration.
_KUBERNETES = {
    "kubernetes-host": "Host",
    "kubernetes-ca-cert": "CACert",
    "kubernetes-service-account-jwt": "ServiceAccountJWT",
}


def _show(given: Invocation, method: dict[str, Any]) -> int:
    return acl_show.show(given, method, functools.partial(acl_show.auth_method, meta=given.values["meta"]))


def _given(given: Invocation) -> dict[str, Any]:
    """Fields of an auth method from the flags that were given."""
    values = given.values
    method: dict[str, Any] = {
        "Description": values["description"],
        "DisplayName": values["display-name"],
        "TokenLocality": values["token-locality"],
    }
    if values["max-token-ttl"]:
        method["MaxTokenTTL"] = format_duration(values["max-token-ttl"])
    config: dict[str, Any] = {field: value_of(values[name]) for name, field in _KUBERNETES.items() if values[name]}
    if values["config"]:
        if config:
            raise ConfigError("Cannot use command line arguments with '-config' flags")
        try:
            config = parse(value_of(values["config"], "configuration file"))
        except JsonError as error:
            raise ConfigError(f"Error parsing JSON configuration file: {error}") from None
        method["Config"] = config
    elif config:
        method["Config"] = config
    return {field: value for field, value in method.items() if value != ""}


@command(
    "acl auth-method create",
    "Create an ACL auth method",
    usage="acl auth-method create -name NAME -type TYPE [options]",
    about="""
    $ consulpy acl auth-method create -type "jwt" -name "my-method" \\
          -description "An example" -config @config.json
""",
    flags=[*SHOWS, _NAME, text_flag("type", "The new auth method's type. This flag is required."), *_SETTINGS],
    **USES_SERVERS,
)
def create(given: Invocation) -> int:
    """Write a method and show it."""
    values = given.values
    for name in ("type", "name"):
        if not values[name]:
            raise ConfigError(f"Missing required '-{name}' flag")
    if values["type"] == "kubernetes" and not values["config"]:
        for name in _KUBERNETES:
            if not values[name]:
                raise ConfigError(f"Missing required '-{name}' flag")
    method = {"Name": values["name"], "Type": values["type"], "Config": None} | _given(given)
    with saying("Failed to create new auth method"):
        return _show(given, given.client.put("/v1/acl/auth-method", {"dc": given.query["dc"]}, method))


@command(
    "acl auth-method read",
    "Read an ACL auth method",
    usage="acl auth-method read -name NAME [options]",
    about="""
    $ consulpy acl auth-method read -name my-method
""",
    flags=[*SHOWS, _NAME],
    **USES_SERVERS,
)
def read(given: Invocation) -> int:
    """One method."""
    name = required(given, "name")
    return _show(given, _read(given, name, f'Error reading auth method "{name}"'))


def _read(given: Invocation, name: str, what: str) -> dict[str, Any]:
    missing = f'Auth method not found with name "{name}"'
    return read_record(given, f"/v1/acl/auth-method/{part(name)}", what, missing)


@command(
    "acl auth-method list",
    "List ACL auth methods",
    usage="acl auth-method list [options]",
    about="""
Lists all auth methods, without their configuration.
""",
    flags=[*SHOWS],
    **USES_SERVERS,
)
def list_all(given: Invocation) -> int:
    """All methods."""
    with saying("Failed to retrieve the auth method list"):
        found = given.client.get("/v1/acl/auth-methods", given.query) or []
    return acl_show.show(given, found, functools.partial(acl_show.auth_method_entry, meta=given.values["meta"]))


@command(
    "acl auth-method update",
    "Update an ACL auth method",
    usage="acl auth-method update -name NAME [options]",
    about="""
Changes what the flags say; with -no-merge everything else is emptied.

    $ consulpy acl auth-method update -name "my-method" -description "new description"
""",
    flags=[*SHOWS, _NAME, *_SETTINGS, NO_MERGE],
    **USES_SERVERS,
)
def update(given: Invocation) -> int:
    """The method as it is then."""
    if not given.values["name"]:
        raise ConfigError("Cannot update an auth method without specifying the -name parameter")
    name = str(given.values["name"])
    old = _read(given, name, "Error when retrieving current auth method")
    said = _given(given) | {"Name": old["Name"]}  # names are found whatever their case
    if old["Type"] != "kubernetes" and not given.values["config"]:
        said.pop("Config", None)
    if given.values["no-merge"]:
        method = {"Name": old["Name"], "Type": old["Type"], "Config": None} | said
    else:
        if old["Type"] == "kubernetes" and "Config" in said and not given.values["config"]:
            said["Config"] = (old.get("Config") or {}) | said["Config"]
        method = old | said
    query = {"dc": given.query["dc"]}
    with saying(f'Error updating auth method "{name}"'):
        return _show(given, given.client.put(f"/v1/acl/auth-method/{part(old['Name'])}", query, method))


@command(
    "acl auth-method delete",
    "Delete an ACL auth method",
    usage="acl auth-method delete -name NAME [options]",
    about="""
Deletes an auth method, with its binding rules and the tokens that it made.

    $ consulpy acl auth-method delete -name "my-method"
""",
    flags=[_NAME],
    **USES_SERVERS,
)
def delete(given: Invocation) -> int:
    """Remove it."""
    name = required(given, "name")
    with saying(f'Error deleting auth method "{name}"'):
        given.client.delete(f"/v1/acl/auth-method/{part(name)}", {"dc": given.query["dc"]})
    given.out(f"Auth method {json.dumps(name)} deleted successfully")
    return 0
