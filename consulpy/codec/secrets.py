"""What is hidden wherever something is shown: logs, `/v1/agent/self`, the debug archive, error texts.

Hidden is by kind, not by list: whatever a field's name calls a token, a secret, a password or a key; the values of
header fields; the user and password of any URL; what follows `/v1/acl/WORD/` in a path. A field of the configuration
may say itself that it is secret (`consulpy.config.key`). Real Consul's logs say `<hidden>`, its reports `hidden`.
"""

import re
from typing import Any, Final
from urllib.parse import unquote_plus

HIDDEN: Final = "hidden"
HIDDEN_IN_TEXT: Final = "<hidden>"
#: How a secret's name ends. Every search for it takes time in proportion to the text: whoever is shown may be hostile.
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
_USERINFO: Final = re.compile(r"(://)[^\s/?#\"'@]*@")
_PASSWORD: Final = re.compile(r"(://[^/?#@:]*:)[^/?#]*@")
_ACL_PATH: Final = re.compile(r"(/v1/acl/[^/\s?]+/)([^\s?\"']+)", re.IGNORECASE)


def is_secret(name: str) -> bool:
    """Whether a field of this name holds a secret."""
    return bool(_SECRET_NAME.search(name) or _KEY_NAME.search(name))


def text_without_secrets(text: str) -> str:
    """A line for people, without the secrets in it."""
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
    """A URL with `***` for its password, as Go shows it, whether it is a good one or not."""
    return _PASSWORD.sub(r"\1***@", url) if "@" in url else url


def target_without_secrets(target: str) -> str:
    """A request target. Names and paths mean what they mean unquoted: `?tok%65n=x` is a token."""
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
    """A report, JSON's kinds of values, without the secrets in it. `name`: that of the field that holds `value`."""
    if isinstance(value, dict):
        if name.lower() in _HEADERS or is_secret(name):
            return {each: _hidden(values) for each, values in value.items()}
        return {each: without_secrets(inner, each) for each, inner in value.items()}
    if isinstance(value, list | tuple):
        return [without_secrets(inner, name) for inner in value]
    if isinstance(value, str):
        return HIDDEN if value and is_secret(name) else text_without_secrets(value)
    return value


def _hidden(value: Any) -> Any:
    return [HIDDEN] * len(value) if isinstance(value, list | tuple) else HIDDEN
