"""`consulpy acl explain`: which rule of which policy decides."""

import os
from typing import Any

from consulpy.acl.explain import Decision
from consulpy.acl.explain import explain as decide
from consulpy.acl.identities import node_identity, service_identity
from consulpy.acl.levels import NAMED, SCALARS, Level
from consulpy.acl.rules import InvalidRules, Rules, parse
from consulpy.acl.templates import TEMPLATES
from consulpy.cli.acl_common import USES_SERVERS, Json, part, saying, token_id
from consulpy.cli.command import Invocation, command
from consulpy.cli.format import FORMAT, as_json
from consulpy.client import AnswerError, Client, ClientError, ClientSettings
from consulpy.codec.printable import printable
from consulpy.errors import ConfigError

_LEVELS = {"read": Level.READ, "list": Level.LIST, "write": Level.WRITE}
_FORBIDDEN = 403


@command(
    "acl explain",
    "Tell which rule of a token decides",
    usage="acl explain [options] [TOKEN] KIND:read|write [NAME]",
    about="""
Says whether a token may read or write something, and which rule of which
policy decides. TOKEN is an Accessor ID, or a unique prefix of one; without it,
it is about the token of -token, whose policies are read with the one of
CONSUL_HTTP_TOKEN if that is set. KIND is a word of the rules: key, service,
node, session, ... Its exit status is 0 for yes, 1 for no.

    $ consulpy acl explain -token $SECRET key:write config/web
    $ consulpy acl explain 986193 key:write config/web
    $ consulpy acl explain operator:read
""",
    flags=[FORMAT],
    **USES_SERVERS,
)
def explain(given: Invocation) -> int:
    """Allowed or not, and why."""
    who, kind, wanted, name = _question(given.arguments)
    reader = _reader(given) if not who else given.client
    unseen = ""
    with saying("Error reading the token"):
        path = f"/v1/acl/token/{part(token_id(given, who))}" if who else "/v1/acl/token/self"
        token = given.client.get(path, given.query)
        default, datacenter = _default_and_datacenter(given, reader)
        try:
            policies = _policies(reader, given.query, token, datacenter)
            decision = decide(policies, kind, name, default_allows=default == "allow")
            allowed = decision.level >= _LEVELS[wanted]
        except AnswerError as error:
            if who or error.status != _FORBIDDEN:
                raise
            decision, allowed = Decision(Level.DENY), _is_allowed(given, kind, wanted, name)
            unseen = "which rule decides is not shown: this token may not read policies (acl:read)"
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
        given.out(unseen or f"no rule names it; the default policy is {default or 'unknown (deny is assumed)'}")
    return 0 if allowed else 1


def _question(arguments: list[str]) -> tuple[str, str, str, str]:
    """(token, kind, level, name) of `[TOKEN] KIND:LEVEL [NAME]` or `TOKEN KIND LEVEL [NAME]`; no TOKEN: ""."""
    kinds = (*NAMED, *SCALARS)
    who, *rest = arguments or [""]
    if ":" in who:
        who, rest = "self", [who, *rest]
    if rest and ":" in rest[0]:
        rest[0:1] = rest[0].split(":", 1)
    if len(rest) not in (2, 3):
        raise ConfigError("Error! Expected a kind with read or write, as key:write, and a name")
    kind, wanted, *names = rest
    if wanted not in _LEVELS:
        raise ConfigError(f"Error! Expected read, list or write, not {wanted!r}")
    if kind not in kinds:
        raise ConfigError(f"Error! There are no rules for {kind!r}; expected one of {', '.join(kinds)}")
    return "" if who == "self" else who, kind, wanted, names[0] if names else ""


def _reader(given: Invocation) -> Client:
    """The client whose token reads policies: that of the environment, if there is one."""
    if not (given.values.get("token") or given.values.get("token-file")):
        return given.client
    values = {**given.values, "token": "", "token-file": ""}
    settings = ClientSettings.of(values, os.environ)
    return Client(settings, given.progress.waiting) if settings.token else given.client


def _is_allowed(given: Invocation, kind: str, wanted: str, name: str) -> bool:
    """The servers' answer, without a reason."""
    question = {"Resource": kind, "Segment": name, "Access": wanted}
    return bool(given.client.post("/v1/internal/acl/authorize", {"dc": given.query["dc"]}, [question])[0]["Allow"])


def _policies(reader: Client, query: Json, token: Json, datacenter: str) -> list[tuple[str, Rules]]:
    """All policies and identities of the token in a datacenter. Raises `ClientError`, `ConfigError`."""
    holders: list[tuple[str, Json]] = [("the token", token)]
    for link in token.get("Roles") or ():
        role = reader.get(f"/v1/acl/role/{part(link['ID'])}", query)
        holders.append((f"role {role['Name']}", role))
    found: list[tuple[str, Rules]] = []
    for holder, row in holders:
        for link in row.get("Policies") or ():
            policy: dict[str, Any] = reader.get(f"/v1/acl/policy/{part(link['ID'])}", query)
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


def _default_and_datacenter(given: Invocation, reader: Client) -> tuple[str, str]:
    """The default policy of the agent ("": unknown), and the datacenter of the query."""
    own, default = "", ""
    try:
        report = reader.self_report()
        own, default = report["Config"]["Datacenter"], (report.get("DebugConfig") or {}).get("ACLDefaultPolicy", "")
    except ClientError:
        pass
    return default, given.query["dc"] or own or given.client.datacenters()[0]
