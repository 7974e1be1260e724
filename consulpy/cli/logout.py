"""`consulpy logout`."""

from consulpy.cli.acl_common import USES_SERVERS, saying
from consulpy.cli.command import Invocation, command


@command(
    "logout",
    "Destroy a Consul token created with login",
    usage="logout [options]",
    about="""
Destroys the token that the command uses, if `consulpy login` made it.
""",
    **USES_SERVERS,
)
def logout(given: Invocation) -> int:
    """The token is gone."""
    given.no_arguments("Should have no non-flag arguments.")
    with saying("Error destroying token"):
        given.client.post("/v1/acl/logout", {"dc": given.query["dc"]}, {})
    return 0
