"""`consulpy acl ...`: access control. Tokens, policies, roles, methods and rules have files of their own."""

from typing import Final

from consulpy.acl.rules import InvalidRules
from consulpy.acl.translate import translate
from consulpy.cli import acl_show
from consulpy.cli.acl_common import USES_SERVERS, legacy_token, saying, value_of
from consulpy.cli.command import Invocation, command, group
from consulpy.cli.format import FORMAT
from consulpy.errors import ConfigError
from consulpy.gocompat.flag import Flag, switch

group(
    "acl",
    "Interact with Consul's ACLs",
    """
This command has subcommands for access control. For example:

    $ consulpy acl bootstrap
    $ consulpy acl policy create -name "new-policy" -rules @rules.hcl
    $ consulpy acl token create -description "web" -policy-name "new-policy"
    $ consulpy acl token list
    $ consulpy acl set-agent-token agent 0bc6bc46-f25e-4262-b2d9-ffbe1d96be6f
    $ consulpy acl explain 986193 key:write config/web
""",
)

from consulpy.cli import (  # noqa: E402
    acl_auth_method,
    acl_binding_rule,
    acl_explain,
    acl_policy,
    acl_role,
    acl_templated_policy,
    acl_token,
)

__all__ = [
    "acl_auth_method",
    "acl_binding_rule",
    "acl_explain",
    "acl_policy",
    "acl_role",
    "acl_templated_policy",
    "acl_token",
]

_AGENT_TOKENS: Final = {
    **{name: name for name in ("default", "agent", "replication", "dns", "config_file_service_registration")},
    "master": "agent_master",
    "recovery": "agent_master",
}


@command(
    "acl bootstrap",
    "Bootstrap Consul's ACL system",
    usage="acl bootstrap [options]",
    about="""
Asks for a first token, which may do everything, and shows it. That can be done
once. If all tokens are lost, see "ACL bootstrap reset" in Consul's pages.
""",
    flags=[FORMAT],
    **USES_SERVERS,
)
def bootstrap(given: Invocation) -> int:
    """The new token."""
    with saying("Failed ACL bootstrapping"):
        return acl_show.show(given, given.client.put("/v1/acl/bootstrap"), acl_show.token)


@command(
    "acl set-agent-token",
    "Assign tokens for the Consul Agent's usage",
    usage="acl set-agent-token [options] TYPE TOKEN",
    about="""
Gives the agent one of its tokens. They are stored if the agent has
acl.enable_token_persistence.

    default       for requests without a token, and for the agent's own
    agent         for the agent's own requests; else the default token is used
    master        gives access to the agent's endpoints, also without servers
                  (recovery since Consul 1.11)
    replication   for copying from the primary datacenter
    dns           for DNS; else the default token is used
    config_file_service_registration
                  for services and checks of configuration files

    $ consulpy acl set-agent-token default c4d0f8df-3aba-4ab6-a7a0-35b760dc29a1
""",
    **USES_SERVERS,
)
def set_agent_token(given: Invocation) -> int:
    """Write one."""
    if len(given.arguments) != 2:
        raise ConfigError(
            "Error! Missing TYPE and TOKEN arguments"
            if not given.arguments
            else "Error! Missing TOKEN argument"
            if len(given.arguments) == 1
            else f"Error! Too many arguments: expected 2 got {len(given.arguments)}"
        )
    kind, secret = given.arguments
    if kind not in _AGENT_TOKENS:
        raise ConfigError(f"Unknown token type: {kind}; expected one of {', '.join(_AGENT_TOKENS)}")
    with saying(f'Failed to set ACL token "{kind}"'):
        given.client.put(f"/v1/agent/token/{_AGENT_TOKENS[kind]}", None, {"Token": secret})
    given.out(f'ACL token "{kind}" set successfully')
    return 0


@command(
    "acl translate-rules",
    "Translate the legacy rule syntax into the current syntax",
    usage="acl translate-rules [options] TRANSLATE",
    about="""
Shows rules from before 1.4 in today's words.

    $ consulpy acl translate-rules @rules.hcl
    $ consulpy acl translate-rules -
    $ consulpy acl translate-rules 'key "" { policy = "write"}'
    $ consulpy acl translate-rules -token-accessor 429cd746-03d5-4bbb-a83a-18b164171c89
""",
    flags=[
        Flag("token-accessor", "TRANSLATE is the AccessorID of a token with such rules", switch, default=False),
        Flag("token-secret", "TRANSLATE is the SecretID of a token with such rules", switch, default=False),
    ],
    **USES_SERVERS,
)
def translate_rules(given: Invocation) -> int:
    """Print the rules in the form of Consul 1.4 and later."""
    if given.values["token-accessor"] and given.values["token-secret"]:
        raise ConfigError("Error - cannot specify both -token-secret and -token-accessor")
    if len(given.arguments) != 1:
        raise ConfigError(
            "Error! Missing TRANSLATE argument"
            if not given.arguments
            else f"Error! Too many arguments: expected 1 got {len(given.arguments)}"
        )
    text = value_of(given.arguments[0])
    if given.values["token-accessor"] or given.values["token-secret"]:
        text = legacy_token(given, text.strip(), is_secret=given.values["token-secret"])["Rules"]
    try:
        given.out(translate(text))
    except InvalidRules as error:
        raise ConfigError(f"Error translating rules: {error}") from None
    return 0
