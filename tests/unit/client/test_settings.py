"""Where the agent is: flags over environment over the default."""

from pathlib import Path

import pytest

from consulpy.client.settings import ClientSettings
from consulpy.errors import ConfigError


@pytest.mark.parametrize(
    ("flags", "environment", "scheme", "address"),
    [
        ({}, {}, "http", "127.0.0.1:8500"),
        ({}, {"CONSUL_HTTP_ADDR": "10.0.0.1:80"}, "http", "10.0.0.1:80"),
        ({"http-addr": "10.0.0.2:81"}, {"CONSUL_HTTP_ADDR": "10.0.0.1:80"}, "http", "10.0.0.2:81"),
        ({"http-addr": "https://host:8501/"}, {}, "https", "host:8501"),
        ({"http-addr": "unix:///run/consul.sock"}, {}, "unix", "/run/consul.sock"),
        ({"http-addr": "[::1]:8500"}, {}, "http", "[::1]:8500"),
        ({"http-addr": ":8501"}, {}, "http", "127.0.0.1:8501"),
        ({}, {"CONSUL_HTTP_ADDR": "https://:8501"}, "https", "127.0.0.1:8501"),
        ({}, {"CONSUL_HTTP_SSL": "true"}, "https", "127.0.0.1:8500"),
    ],
)
def test_the_address(flags: dict[str, str], environment: dict[str, str], scheme: str, address: str) -> None:
    settings = ClientSettings.of(flags, environment)
    assert (settings.scheme, settings.address) == (scheme, address)


def test_the_token_comes_from_flag_environment_or_file(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("from file\n")
    environment = {"CONSUL_HTTP_TOKEN_FILE": str(tmp_path / "token")}
    assert ClientSettings.of({}, environment).token == "from file"
    assert ClientSettings.of({}, {**environment, "CONSUL_HTTP_TOKEN": "env"}).token == "from file"
    assert ClientSettings.of({"token": "flag"}, environment).token == "from file"
    assert ClientSettings.of({"token": "flag"}, {"CONSUL_HTTP_TOKEN": "env"}).token == "flag"
    assert ClientSettings.of({"token-file": ""}, environment).token == ""


def test_an_empty_flag_is_none_as_in_consuls_client() -> None:
    environment = {"CONSUL_HTTP_ADDR": "10.0.0.1:80", "CONSUL_HTTP_TOKEN": "env"}
    settings = ClientSettings.of({"http-addr": "", "token": ""}, environment)
    assert (settings.address, settings.token) == ("10.0.0.1:80", "env")


@pytest.mark.parametrize(
    ("flags", "environment", "why"),
    [
        ({"http-addr": "foo://x"}, {}, "Unknown protocol scheme: foo"),
        ({"http-addr": "host:http"}, {}, "-http-addr: expected an address and a port"),
        ({}, {"CONSUL_HTTP_SSL": "perhaps"}, "CONSUL_HTTP_SSL: expected true or false"),
        ({"token-file": "/nope"}, {}, "Error loading token file: open /nope: no such file or directory"),
        ({"client-cert": "x"}, {}, "expected both or neither"),
    ],
)
def test_a_mistake_is_named(flags: dict[str, str], environment: dict[str, str], why: str) -> None:
    with pytest.raises(ConfigError, match=why):
        ClientSettings.of(flags, environment)


def test_user_information_of_an_address_is_basic_authentication_and_in_no_message() -> None:
    settings = ClientSettings.of({"http-addr": "http://u:p%40ss@host:80"}, {})
    assert (settings.url, settings.basic_auth) == ("http://host:80", "u:p@ss")
    assert ClientSettings.of({"http-addr": "u:x@host:80"}, {"CONSUL_HTTP_AUTH": "a:b"}).basic_auth == "a:b"
    assert ClientSettings.of({"http-addr": "unix:///run/a@b.sock"}, {}).address == "/run/a@b.sock"
