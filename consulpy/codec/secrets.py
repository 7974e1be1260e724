"""Redaction of secrets wherever something is displayed: logs, `/v1/agent/self`, the debug archive, error texts.

Redacted are: fields whose name says token, secret, password or key; the values of header fields; arguments of commands
behind such a flag; user and password in URLs; what follows `/v1/acl/WORD/` in a path. A configuration field can also be
declared secret (`consulpy.config.key`).
Real Consul's logs show `<hidden>`, its reports `hidden`.
"""

import re
from typing import Any, Final
from urllib.parse import unquote_plus

HIDDEN: Final = "hidden"
HIDDEN_IN_TEXT: Final = "<hidden>"
#: Endings of a secret's name. All searches take linear time, as the text may be hostile.
_NAME: Final = r"(?:tokens?|secrets?|passw(?:or)?d|passphrase|credentials?|_key|-key|apikey|accesskey|secretid)"
_SECRET_NAME: Final = re.compile(rf"{_NAME}\Z", re.IGNORECASE)
#: `EncryptKey`, `KeyFile`; not `Key`.
_KEY_NAME: Final = re.compile(r"[a-z]Key\Z|\AKeyFile\Z|\Akey_file\Z")
_HEADERS: Final = ("header", "headers")
#: `secret_access_key=x`, `?token=x`, `password="x y"`.
_PAIR: Final = re.compile(rf"""({_NAME}[\w.-]{{0,40}}=)("[^"]*"|'[^']*'|[^\s&"',;)]+)""", re.IGNORECASE)
#: `"Token": "x"` in JSON; `Authorization: Bearer x`, `X-Consul-Token: x`.
_JSON_PAIR: Final = re.compile(rf"""({_NAME}"\s{{0,9}}:\s{{0,9}})"(?:[^"\\]|\\.)*\"""", re.IGNORECASE)
_FIELD: Final = re.compile(
    r"(\b(?:authorization|x-consul-token):\s{0,9})(?:(?:basic|bearer)\s+)?[^\s\"',]+", re.IGNORECASE
)
#: `--token x` of a command; in reports only, as lines of the log speak of flags too.
_FLAG: Final = re.compile(
    rf"""((?:\A|[\s"'])--?(?:[A-Za-z]{{1,20}}[_-]){{0,4}}{_NAME}\s{{1,9}})(?!-)[^\s"']+""", re.IGNORECASE
)
_USERINFO: Final = re.compile(r"(://)[^\s/?#\"'@]*@")
_PASSWORD: Final = re.compile(r"(://[^/?#@:]*:)[^/?#]*@")
_ACL_PATH: Final = re.compile(r"(/v1/acl/[^/\s?]+/)([^\s?\"']+)", re.IGNORECASE)


def is_secret(name: str) -> bool:
    """Whether the name is that of a secret field."""
    return bool(_SECRET_NAME.search(name) or _KEY_NAME.search(name))


def holds_secrets(name: str) -> bool:
    """Whether a field of this name is a secret, or a block of header fields."""
    return name.lower() in _HEADERS or is_secret(name)


def text_without_secrets(text: str) -> str:
    """A text with its secrets redacted."""
    if "=" in text:
        text = _PAIR.sub(rf"\1{HIDDEN_IN_TEXT}", text)
    if ":" in text:
        text = _FIELD.sub(rf"\1{HIDDEN_IN_TEXT}", _JSON_PAIR.sub(rf'\1"{HIDDEN_IN_TEXT}"', text))
    if "@" in text:
        text = _USERINFO.sub(rf"\1{HIDDEN_IN_TEXT}@", text)
    if "/acl/" in text:
        text = _ACL_PATH.sub(rf"\1{HIDDEN_IN_TEXT}", text)
    return text


def url_without_password(url: str) -> str:
    """A URL, valid or not, with `***` for its password, as Go shows it."""
    return _PASSWORD.sub(r"\1***@", url) if "@" in url else url


def target_without_secrets(target: str) -> str:
    """A request target with its secrets redacted. Names and paths are unquoted for the check:
    `?tok%65n=x` is a token.
    """
    path, mark, query = target.partition("?")
    clean = unquote_plus(path) if "%" in path else path
    if "/acl/" in clean.lower():
        path = _ACL_PATH.sub(rf"\1{HIDDEN_IN_TEXT}", clean)
    if mark:
        query = "&".join(map(_pair_without_secret, re.split("[&;]", query)))
    return text_without_secrets(path) + mark + query


def _pair_without_secret(pair: str) -> str:
    name, there, _ = pair.partition("=")
    return f"{name}={HIDDEN_IN_TEXT}" if there and is_secret(unquote_plus(name)) else text_without_secrets(pair)


def without_secrets(value: Any, name: str = "") -> Any:
    """A report of JSON types with its secrets redacted. `name`: of the field that contains `value`."""
    if isinstance(value, dict):
        if holds_secrets(name):
            return {each: _hidden(values) for each, values in value.items()}
        return {each: without_secrets(inner, each) for each, inner in value.items()}
    if isinstance(value, list | tuple):
        return [
            HIDDEN if number and _is_secret_flag(value[number - 1]) else without_secrets(inner, name)
            for number, inner in enumerate(value)
        ]
    if isinstance(value, str):
        return HIDDEN if value and is_secret(name) else _FLAG.sub(rf"\1{HIDDEN}", text_without_secrets(value))
    return value


def _is_secret_flag(argument: Any) -> bool:
    """Whether the next argument of a command is a secret: `--token`, but not `--token=x`."""
    return isinstance(argument, str) and argument.startswith("-") and is_secret(argument.lstrip("-"))


def _hidden(value: Any) -> Any:
    return [HIDDEN] * len(value) if isinstance(value, list | tuple) else HIDDEN
