"""`consulpy login`."""

import os
from pathlib import Path

from consulpy.cli.acl_common import USES_SERVERS, saying, text_flag
from consulpy.cli.catalog import equals_pair
from consulpy.cli.command import Invocation, command
from consulpy.errors import ConfigError
from consulpy.gocompat.flag import Flag


@command(
    "login",
    "Login to Consul using an auth method",
    usage="login [options]",
    about="""
Exchanges the credentials of a third party for a new token, by the auth method
that is asked for. `consulpy logout` destroys such a token.

    $ consulpy login -method my-method -bearer-token-file jwt -token-sink-file token
""",
    flags=[
        text_flag("method", "Name of the auth method to login to."),
        text_flag("type", "Type of the auth method to login to. This field is optional and defaults to no type."),
        text_flag("bearer-token-file", "Path to a file containing a secret bearer token to use with this auth method."),
        text_flag("token-sink-file", "The most recent token's SecretID is kept up to date in this file."),
        Flag(
            "meta",
            "Metadata to set on the token, formatted as key=value. This flag may be specified multiple times to set "
            "multiple meta fields.",
            equals_pair,
            many=True,
        ),
    ],
    **USES_SERVERS,
)
def login(given: Invocation) -> int:
    """The new token's secret goes into a file."""
    given.no_arguments("Should have no non-flag arguments.")
    values = given.values
    for name in ("method", "token-sink-file", "bearer-token-file"):
        if not values[name]:
            raise ConfigError(f"Missing required '-{name}' flag")
    bearer = _bearer_token(values["bearer-token-file"])
    body = {"AuthMethod": values["method"], "BearerToken": bearer, "Meta": dict(values["meta"])}
    with saying("Error logging in"):
        token = given.client.post("/v1/acl/login", {"dc": given.query["dc"]}, body)
    try:
        _write(Path(values["token-sink-file"]), token["SecretID"])
    except OSError as error:
        raise ConfigError(
            f"Error writing token to file sink: open {error.filename}: {str(error.strerror).lower()}"
        ) from None
    return 0


def _bearer_token(path: str) -> str:
    try:
        text = Path(path).read_text(errors="replace").strip()
    except OSError as error:
        raise ConfigError(f"open {path}: {str(error.strerror).lower()}") from None
    if not text:
        raise ConfigError(f"No bearer token found in {path}")
    return text


def _write(path: Path, secret: str) -> None:
    """Write the token atomically; mode 0600."""
    new = path.with_name(f"{path.name}.{os.getpid()}.new")
    try:
        with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(secret)
        new.replace(path)
    finally:
        new.unlink(missing_ok=True)
