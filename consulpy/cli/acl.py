"""`consulpy acl ...`: access control. Tokens, policies, roles, methods and rules have files of their own."""

from typing import Any, Final

from consulpy.acl.explain import explain as decide
from consulpy.acl.identities import node_identity, service_identity
from consulpy.acl.levels import NAMED, SCALARS, Level
from consulpy.acl.rules import InvalidRules, Rules, parse
from consulpy.acl.templates import TEMPLATES
from consulpy.acl.translate import translate
from consulpy.cli import acl_show
from consulpy.cli.acl_common import USES_SERVERS, Json, legacy_token, part, saying, token_id, value_of
from consulpy.cli.command import Invocation, command, group
from consulpy.cli.format import FORMAT, as_json
from consulpy.client import ClientError
from consulpy.codec.printable import printable
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
    $ consulpy acl explain 986193 key write config/web
""",
)

from consulpy.cli import acl_auth_method, acl_binding_rule, acl_policy, acl_role, acl_templated_policy, acl_token  # noqa: E402

__all__ = ["acl_auth_method", "acl_binding_rule", "acl_policy", "acl_role", "acl_templated_policy", "acl_token"]

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
    """The same rules."""
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


@command(
    "acl explain",
    "Tell which rule of a token decides",
    usage="acl explain [options] TOKEN KIND read|write [NAME]",
    about="""
Says whether a token (its Accessor ID or a unique prefix of it, or "self") may
read or write something, and which rule of which policy decides. KIND is a word
of the rules: key, service, node, session, ... Its exit status is 0 for yes, 1
for no.

    $ consulpy acl explain 986193 key write config/web
    $ consulpy acl explain self operator read
""",
    flags=[FORMAT],
    **USES_SERVERS,
)
def explain(given: Invocation) -> int:
    """Allowed or not, and why."""
    if len(given.arguments) not in (3, 4):
        raise ConfigError("Error! Expected a token, a kind, read or write, and a name")
    who, kind, wanted, *names = given.arguments
    level = {"read": Level.READ, "list": Level.LIST, "write": Level.WRITE}.get(wanted)
    if level is None:
        raise ConfigError(f"Error! Expected read, list or write, not {wanted!r}")
    if kind not in (*NAMED, *SCALARS):
        raise ConfigError(f"Error! There are no rules for {kind!r}; expected one of {', '.join((*NAMED, *SCALARS))}")
    name = names[0] if names else ""
    with saying("Error reading the token"):
        token = given.client.get(
            "/v1/acl/token/self" if who == "self" else f"/v1/acl/token/{part(token_id(given, who))}", given.query
        )
        default, datacenter = _default_and_datacenter(given)
        policies = _policies(given, token, datacenter)
    decision = decide(policies, kind, name, default_allows=default == "allow")
    allowed = decision.level >= level
    if given.values["format"] == "json":
        found = {"Allowed": allowed, "Kind": kind, "Name": name, "Access": wanted}
        found |= {"Rule": decision.rule, "Policy": decision.policy, "DefaultPolicy": default}
        given.out(as_json(found))
        return 0 if allowed else 1
    what = kind if kind in SCALARS else f"{kind} {name!r}"
    given.out(f"{'allowed' if allowed else 'denied'}: {wanted} {printable(what)}")
    if decision.rule:
        given.out(f"by {printable(decision.rule)}\nof {printable(decision.policy)}")
    else:
        given.out(f"no rule names it; the default policy is {default or 'unknown (deny is assumed)'}")
    return 0 if allowed else 1


def _policies(given: Invocation, token: Json, datacenter: str) -> list[tuple[str, Rules]]:
    """All policies and identities of the token in a datacenter. Raises `ClientError`, `ConfigError`."""
    holders: list[tuple[str, Json]] = [("the token", token)]
    for link in token.get("Roles") or ():
        role = given.client.get(f"/v1/acl/role/{part(link['ID'])}", given.query)
        holders.append((f"role {role['Name']}", role))
    found: list[tuple[str, Rules]] = []
    for holder, row in holders:
        for link in row.get("Policies") or ():
            policy: dict[str, Any] = given.client.get(f"/v1/acl/policy/{part(link['ID'])}", given.query)
            if datacenter in (policy.get("Datacenters") or [datacenter]):
                found.append((f"policy {policy['Name']} of {holder}", _parsed(policy["Rules"])))
        for each in row.get("ServiceIdentities") or ():
            name = each["ServiceName"]
            if datacenter in (each.get("Datacenters") or [datacenter]):
                found.append((f"service identity {name} of {holder}", service_identity(name)))
        for each in row.get("NodeIdentities") or ():
            name = each["NodeName"]
            if each.get("Datacenter") == datacenter:
                found.append((f"node identity {name} of {holder}", node_identity(name)))
        for each in row.get("TemplatedPolicies") or ():
            template = TEMPLATES.get(each["TemplateName"])
            if template is not None and datacenter in (each.get("Datacenters") or [datacenter]):
                rules = template.rules((each.get("TemplateVariables") or {}).get("Name", ""))
                found.append((f"templated policy {template.name} of {holder}", _parsed(rules)))
    return found


def _parsed(text: str) -> Rules:
    try:
        return parse(text)
    except InvalidRules as error:
        raise ConfigError(f"Error reading the rules of a policy: {error}") from None


def _default_and_datacenter(given: Invocation) -> tuple[str, str]:
    """The default policy of the agent ("": unknown), and the datacenter of the query."""
    own, default = "", ""
    try:
        report = given.client.self_report()
        own, default = report["Config"]["Datacenter"], (report.get("DebugConfig") or {}).get("ACLDefaultPolicy", "")
    except ClientError:
        pass
    return default, given.query["dc"] or own or given.client.datacenters()[0]
