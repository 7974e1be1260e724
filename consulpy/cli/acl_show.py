"""Tokens, policies, roles, methods and rules as text, or as JSON with the fields in Consul's order."""

import json
import re
from collections.abc import Callable
from typing import Any, Final

from consulpy.cli.command import Invocation
from consulpy.codec.printable import printable

Json = dict[str, Any]

_ORDER: Final = (
    *("CreateIndex", "ModifyIndex", "AccessorID", "SecretID", "ID", "Name", "Type", "DisplayName", "Description"),
    *("AuthMethod", "Selector", "BindType", "BindName", "MaxTokenTTL", "TokenLocality", "Config", "Policies", "Roles"),
    *("ServiceIdentities", "NodeIdentities", "Local", "ExpirationTTL", "ExpirationTime", "CreateTime", "Rules"),
    *("Datacenters", "Hash", "Legacy"),
)
#: The last ones, but for tokens.
_INDEXES: Final = ("CreateIndex", "ModifyIndex")
_TIME: Final = re.compile(r"(\d{4}-\d\d-\d\d)T(\d\d:\d\d:\d\d)(\.\d+)?(Z|[+-]\d\d:\d\d)")


def show(given: Invocation, found: Any, shown: Callable[[Json], str]) -> int:
    """Print one thing, or a list of things, as -format says."""
    if given.values.get("format") == "json":
        given.out(json.dumps(_ordered(found), indent=4, ensure_ascii=False))
        return 0
    if isinstance(found, list):
        text = "\n".join(shown(each) for each in found)
        if text:
            given.out(text if text.endswith("\n") else text + "\n")
    else:
        given.out(shown(found))
    return 0


def _ordered(found: Any) -> Any:
    if isinstance(found, list):
        return [_ordered(each) for each in found]
    kept = {name: value for name, value in found.items() if name != "ID" or "SecretID" not in found}
    if "AccessorID" in found and "SecretID" not in found:
        kept.setdefault("Legacy", False)
    last = () if "AccessorID" in found else _INDEXES
    first = "MaxTokenTTL" if "Config" in found else ""
    return dict(sorted(kept.items(), key=lambda item: (item[0] != first, item[0] in last, _place(item[0]))))


def _place(name: str) -> int:
    return _ORDER.index(name) if name in _ORDER else len(_ORDER)


def time_text(text: str) -> str:
    """A time of the API as Go prints it."""
    match = _TIME.fullmatch(text)
    if match is None:
        return printable(text)
    zone = "+0000 UTC" if match[4] == "Z" else f"{match[4].replace(':', '')} {match[4].replace(':', '')}"
    return f"{match[1]} {match[2]}{match[3] or ''} {zone}"


def _hex_hash(found: Json) -> str:
    import base64

    return base64.b64decode(found.get("Hash") or "").hex()


def _rows(rows: list[tuple[str, str]], width: int = 14) -> list[str]:
    return [f"{name + ':':<{width}}{printable(value)}" for name, value in rows]


def _meta(found: Json, *, has_hash: bool = True) -> list[tuple[str, str]]:
    rows = [("Hash", _hex_hash(found))] if has_hash else []
    return [*rows, ("Create Index", str(found["CreateIndex"])), ("Modify Index", str(found["ModifyIndex"]))]


def _grants(found: Json, margin: str = "") -> list[str]:
    """Policies, roles and identities of a token or role."""
    lines = []
    for kind in ("Policies", "Roles"):
        if found.get(kind):
            lines.append(f"{margin}{kind}:")
            lines += [f"{margin}   {each['ID']} - {printable(each['Name'])}" for each in found[kind]]
    if found.get("ServiceIdentities"):
        lines.append(f"{margin}Service Identities:")
        for each in found["ServiceIdentities"]:
            where = ", ".join(each.get("Datacenters") or ()) or "all"
            lines.append(f"{margin}   {printable(each['ServiceName'])} (Datacenters: {printable(where)})")
    if found.get("TemplatedPolicies"):
        lines.append(f"{margin}Templated Policies:")
        for each in found["TemplatedPolicies"]:
            variables = {key.lower(): value for key, value in (each.get("TemplateVariables") or {}).items()}
            name = variables.get("name", "")
            lines.append(
                f"{margin}   {printable(each['TemplateName'])}" + (f" (Name: {printable(name)})" if name else "")
            )
    if found.get("NodeIdentities"):
        lines.append(f"{margin}Node Identities:")
        for each in found["NodeIdentities"]:
            lines.append(
                f"{margin}   {printable(each['NodeName'])} (Datacenter: {printable(each.get('Datacenter', ''))})"
            )
    return lines


def token(found: Json, *, meta: bool = False) -> str:
    """A token, with its secret if that was told."""
    rows = [("AccessorID", found["AccessorID"])]
    if "SecretID" in found:
        rows.append(("SecretID", found["SecretID"]))
    rows += [("Description", found.get("Description", "")), ("Local", str(found.get("Local", False)).lower())]
    if found.get("AuthMethod"):
        rows.append(("Auth Method", found["AuthMethod"]))
    rows.append(("Create Time", time_text(found.get("CreateTime", ""))))
    if found.get("ExpirationTime"):
        rows.append(("Expiration Time", time_text(found["ExpirationTime"])))
    if "SecretID" not in found:
        rows.append(("Legacy", str(found.get("Legacy", False)).lower()))
    lines = _rows(rows + (_meta(found) if meta else []), 18) + _grants(found)
    if found.get("Rules"):
        lines += ["Rules:", found["Rules"]]
    return "\n".join([*lines, ""])


def policy(found: Json, *, meta: bool = False) -> str:
    """A policy with its rules."""
    rows = [("ID", found["ID"]), ("Name", found["Name"]), ("Description", found.get("Description", ""))]
    rows.append(("Datacenters", ", ".join(found.get("Datacenters") or ())))
    return "\n".join([*_rows(rows + (_meta(found) if meta else [])), "Rules:", found.get("Rules", "")])


def policy_entry(found: Json, *, meta: bool = False) -> str:
    """A policy in a list."""
    rows = [("ID", found["ID"]), ("Description", found.get("Description", ""))]
    rows.append(("Datacenters", ", ".join(found.get("Datacenters") or ())))
    return _entry(found, _rows(rows + (_meta(found) if meta else [])))


def _entry(found: Json, lines: list[str]) -> str:
    return "\n".join([f"{printable(found['Name'])}:", *(f"   {line}" for line in lines)])


def role(found: Json, *, meta: bool = False) -> str:
    """A role."""
    rows = [("ID", found["ID"]), ("Name", found["Name"]), ("Description", found.get("Description", ""))]
    return "\n".join([*_rows(rows + (_meta(found) if meta else [])), *_grants(found), ""])


def role_entry(found: Json, *, meta: bool = False) -> str:
    """A role in a list."""
    rows = [("ID", found["ID"]), ("Description", found.get("Description", ""))]
    return _entry(found, _rows(rows + (_meta(found) if meta else [])) + _grants(found))


def auth_method(found: Json, *, meta: bool = False) -> str:
    """An auth method with its configuration."""
    rows = [("Name", found["Name"]), *_method_rows(found)]
    config = json.dumps(found.get("Config") or {}, indent=2, ensure_ascii=False)
    lines = _rows(rows + (_meta(found, has_hash=False) if meta else []), 15)
    return "\n".join([*lines, "Config:", config])


def _method_rows(found: Json) -> list[tuple[str, str]]:
    rows = [("Type", found["Type"])]
    if found.get("DisplayName"):
        rows.append(("DisplayName", found["DisplayName"]))
    rows.append(("Description", found.get("Description", "")))
    if found.get("MaxTokenTTL") not in (None, "", "0s"):
        rows.append(("MaxTokenTTL", found["MaxTokenTTL"]))
    if found.get("TokenLocality"):
        rows.append(("TokenLocality", found["TokenLocality"]))
    return rows


def auth_method_entry(found: Json, *, meta: bool = False) -> str:
    """An auth method in a list."""
    return _entry(found, _rows(_method_rows(found) + (_meta(found, has_hash=False) if meta else [])))


def binding_rule(found: Json, *, meta: bool = False) -> str:
    """A binding rule."""
    rows = [("ID", found["ID"]), *_rule_rows(found)]
    return "\n".join([*_rows(rows + (_meta(found, has_hash=False) if meta else [])), ""])


def _rule_rows(found: Json) -> list[tuple[str, str]]:
    return [
        ("AuthMethod", found.get("AuthMethod", "")),
        ("Description", found.get("Description", "")),
        ("BindType", found.get("BindType", "")),
        ("BindName", found.get("BindName", "")),
        *(("BindVars", f"{name}={value}") for name, value in (found.get("BindVars") or {}).items()),
        ("Selector", found.get("Selector", "")),
    ]


def binding_rule_entry(found: Json, *, meta: bool = False) -> str:
    """A binding rule in a list."""
    lines = _rows(_rule_rows(found) + (_meta(found, has_hash=False) if meta else []))
    return "\n".join([f"{found['ID']}:", *(f"   {line}" for line in lines)])
