"""Address, token and TLS of the agent, from flags and from Consul's environment variables.

Source: Consul's documentation, "Commands". Flags take precedence.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote

from consulpy.errors import ConfigError

DEFAULT_ADDRESS: Final = "127.0.0.1:8500"
_TRUE: Final = ("1", "t", "T", "TRUE", "true", "True")
_FALSE: Final = ("0", "f", "F", "FALSE", "false", "False")


@dataclass(frozen=True)
class ClientSettings:
    """`scheme` is "http", "https" or "unix"; `address` is host:port, or the path of a socket."""

    scheme: str = "http"
    address: str = DEFAULT_ADDRESS
    token: str = ""
    basic_auth: str = ""
    ca_file: str = ""
    ca_path: str = ""
    client_cert: str = ""
    client_key: str = ""
    tls_server_name: str = ""
    verify_tls: bool = True
    #: Timeout of the connection and of each read, except in blocking queries.
    timeout_s: float = 60.0

    @property
    def url(self) -> str:
        """The URL of the agent, for messages."""
        return f"http://{self.address}" if self.scheme == "unix" else f"{self.scheme}://{self.address}"

    @classmethod
    def of(cls, flags: Mapping[str, Any], environment: Mapping[str, str]) -> "ClientSettings":
        """From flags (by name without dashes, None if not given) and environment. Raises `ConfigError`."""

        def given(flag: str, variable: str) -> str:
            value = flags.get(flag)
            return environment.get(variable, "") if value is None else str(value)

        def filled(flag: str, variable: str) -> str:
            """As `given`, but an empty flag counts as none (`-token ""`), as Consul's client has it."""
            return str(flags.get(flag) or "") or environment.get(variable, "")

        over_tls = _switch(environment, "CONSUL_HTTP_SSL", default=False)
        where, userinfo = _without_userinfo(filled("http-addr", "CONSUL_HTTP_ADDR") or DEFAULT_ADDRESS)
        scheme, address = _address(where, over_tls)
        settings = cls(
            scheme=scheme,
            address=address,
            token=_token(filled("token", "CONSUL_HTTP_TOKEN"), given("token-file", "CONSUL_HTTP_TOKEN_FILE")),
            basic_auth=environment.get("CONSUL_HTTP_AUTH", "") or userinfo,
            ca_file=given("ca-file", "CONSUL_CACERT"),
            ca_path=given("ca-path", "CONSUL_CAPATH"),
            client_cert=given("client-cert", "CONSUL_CLIENT_CERT"),
            client_key=given("client-key", "CONSUL_CLIENT_KEY"),
            tls_server_name=given("tls-server-name", "CONSUL_TLS_SERVER_NAME"),
            verify_tls=_switch(environment, "CONSUL_HTTP_SSL_VERIFY", default=True),
        )
        if bool(settings.client_cert) != bool(settings.client_key):
            raise ConfigError("-client-cert and -client-key: expected both or neither")
        return settings


def _without_userinfo(text: str) -> tuple[str, str]:
    """`http://user:password@host:1` -> `http://host:1`, `user:password`, which no message may show."""
    before, separator, rest = text.rpartition("://")
    userinfo, _, host = rest.rpartition("@")
    if before == "unix" or not userinfo:
        return text, ""
    return f"{before}{separator}{host}", unquote(userinfo)


def _address(text: str, over_tls: bool) -> tuple[str, str]:
    scheme, separator, rest = text.partition("://")
    if not separator:
        scheme, rest = "https" if over_tls else "http", text
    if scheme not in ("http", "https", "unix"):
        raise ConfigError(f"Unknown protocol scheme: {scheme} (-http-addr: expected http, https or unix)")
    if scheme == "unix":
        return scheme, rest
    rest = rest.rstrip("/")
    _, _, port = rest.rpartition(":")
    if not rest or "/" in rest or (":" in rest and not rest.endswith("]") and not port.isdecimal()):
        raise ConfigError(f"-http-addr: expected an address and a port such as {DEFAULT_ADDRESS}, not {text!r}")
    return scheme, f"127.0.0.1{rest}" if rest.startswith(":") else rest  # `:8500`, as in Go


def _switch(environment: Mapping[str, str], name: str, default: bool) -> bool:
    text = environment.get(name, "")
    if not text:
        return default
    if text not in _TRUE and text not in _FALSE:
        raise ConfigError(f"{name}: expected true or false, not {text!r}")
    return text in _TRUE


def _token(token: str, file: str) -> str:
    """The token of the file, which precedes one in a flag or the environment. Raises `ConfigError`."""
    if not file:
        return token
    try:
        return Path(file).read_text(encoding="utf-8").strip() or token
    except OSError as error:
        raise ConfigError(
            f"Error connecting to Consul agent: Error loading token file: open {file}: {str(error.strerror).lower()}"
        ) from None
    except UnicodeDecodeError:
        raise ConfigError(f"Error loading token file: {file} is no text in UTF-8") from None
