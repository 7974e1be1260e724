"""What is secret is hidden wherever it is shown, by kind: tokens, keys, passwords, header values, users of URLs."""

import json
import re
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consulpy.agent.debug_config import debug_config
from consulpy.agent.process.logs import log_line
from consulpy.codec.secrets import (
    HIDDEN,
    is_secret,
    target_without_secrets,
    text_without_secrets,
    url_without_password,
    without_secrets,
)
from consulpy.config.schema import KEYS, RuntimeConfig
from consulpy.local.tokens import NAMES

S = "s3kret"


@pytest.mark.parametrize(
    ("target", "shown"),
    [
        (f"/v1/kv/a?token={S}", "/v1/kv/a?token=<hidden>"),
        (f"/v1/kv/a?recurse&token={S}&index=1", "/v1/kv/a?recurse&token=<hidden>&index=1"),
        (f"/v1/kv/a?tok%65n={S}", "/v1/kv/a?tok%65n=<hidden>"),
        (f"/v1/kv/a?Token={S}&token={S}", "/v1/kv/a?Token=<hidden>&token=<hidden>"),
        (f"/v1/acl/info/{S}", "/v1/acl/info/<hidden>"),
        (f"/v1/acl/info/{S}?pretty", "/v1/acl/info/<hidden>?pretty"),
        (f"/v1/%61cl/clone/{S}", "/v1/acl/clone/<hidden>"),
        (f"http://localhost/v1/acl/destroy/{S}", "http://localhost/v1/acl/destroy/<hidden>"),
        (f"http://u:{S}@localhost/v1/kv/a", "http://<hidden>@localhost/v1/kv/a"),
        ("/v1/acl/list", "/v1/acl/list"),
        ("/v1/kv/token?keys&separator=/", "/v1/kv/token?keys&separator=/"),
        ("/v1/kv/a%20b?index=1", "/v1/kv/a%20b?index=1"),
    ],
)
def test_a_request_target(target: str, shown: str) -> None:
    assert target_without_secrets(target) == shown


@pytest.mark.parametrize(
    "text",
    [
        f"retry: provider=aws tag_key=a secret_access_key={S}",
        f'password="a {S}"',
        f'Get "http://user:{S}@host:1/x": refused',
        f"handler https://{S}@host/ failed",
        f"body {json.dumps({'Token': S, 'Name': 'x'})}",
        f"Authorization: Bearer {S}",
        f"authorization:basic {S}",
        f"X-Consul-Token: {S}",
        f"GET /v1/acl/token/{S} failed",
        f"url=/v1/kv/?token={S} from=127.0.0.1",
    ],
)
def test_a_line_of_the_log(text: str) -> None:
    line = log_line({"log_time": 0.0, "log_namespace": "consulpy.x", "log_format": "{text}", "text": text})
    assert S not in line
    assert "<hidden>" in line


@pytest.mark.parametrize("text", ["a=b", "a@b", "http://host/a@b", "token is missing", "members=3", "port: 80"])
def test_what_is_not_secret_stays(text: str) -> None:
    assert text_without_secrets(text) == text


def test_the_configuration_in_agent_self() -> None:
    config = RuntimeConfig(
        encrypt=S,
        retry_join=(f"provider=aws access_key_id={S} secret_access_key={S} region=x",),
        services=(
            {
                "Name": "web",
                "Token": S,
                "Checks": [{"HTTP": f"http://u:{S}@h/", "Header": {"Authorization": [S]}, "Interval": "1h"}],
                "Connect": {"SidecarService": {"Token": S, "Proxy": {"Config": {"api_key": S, "password": S}}}},
            },
        ),
        checks=({"Name": "c", "Token": S, "Header": {"X": [S]}},),
        watches=(
            {
                "type": "key",
                "key": "a",
                "token": S,
                "http_handler_config": {"path": f"http://{S}@h/", "header": {"X": S}},
            },
        ),
    )
    shown = debug_config(config)
    assert S not in json.dumps(shown)
    assert shown["EncryptKey"] == "hidden"
    assert shown["Services"][0]["Token"] == "hidden"
    assert shown["Services"][0]["Checks"][0]["Header"] == {"Authorization": ["hidden"]}
    assert shown["Services"][0]["Checks"][0]["Interval"] == "1h0m0s"
    assert shown["Watches"][0]["key"] == "a"


def test_what_follows_a_secrets_flag_in_a_command_is_hidden() -> None:
    """The arguments of checks and watches stand in `/v1/agent/self`."""
    shown = {
        "ScriptArgs": ["check", "--token", "hidden", "-v", "--db-password", "hidden", "-u", "x"],
        "Args": ["sh", "-c", f"consul kv get -token {HIDDEN} a --password {HIDDEN} -tokens"],
    }
    given = json.loads(json.dumps(shown).replace(HIDDEN, S))
    assert without_secrets(given) == shown


def test_blocks_of_tokens_are_hidden_whole_and_settings_of_tokens_are_not() -> None:
    found = without_secrets({"tokens": {"agent": S}, "ACLTokenTTL": "30s", "KeyFile": S, "Key": "a", "Tokens": [S, ""]})
    assert found == {
        "tokens": {"agent": "hidden"},
        "ACLTokenTTL": "30s",
        "KeyFile": "hidden",
        "Key": "a",
        "Tokens": ["hidden", ""],
    }


_values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4) | st.just("token"), inner, max_size=3)
    ),
)


@given(_values)
def test_a_report_keeps_its_shape(value: Any) -> None:
    def shape(of: Any) -> Any:
        if isinstance(of, dict):
            return {name: shape(inner) for name, inner in of.items()}
        return [shape(inner) for inner in of] if isinstance(of, list) else type(of)

    once = without_secrets(value)
    assert without_secrets(once) == once
    if "token" not in json.dumps(value):
        assert shape(once) == shape(value)


def test_names() -> None:
    assert all(
        map(is_secret, ["Token", "AgentToken", "replication_token", "SecretID", "secret_access_key", "EncryptKey"])
    )
    assert not any(map(is_secret, ["Key", "key", "Node", "TokenTTL", "Keys", "monkey", "Prefix"]))
    assert not re.search(S, text_without_secrets(f"https://:{S}@h"))


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        (f"http://u:{S}@h/?a@b", "http://u:***@h/?a@b"),
        (f"http://u:{S}@x@h/", "http://u:***@h/"),
        (f"http://:{S} x@h", "http://:***@h"),
        ("http://u@h/a:b@c", "http://u@h/a:b@c"),
        ("http://h/", "http://h/"),
    ],
)
def test_the_password_of_a_url(url: str, shown: str) -> None:
    assert url_without_password(url) == shown


@pytest.mark.parametrize(
    "part",
    [
        "a.",
        "a-",
        "a",
        "token",
        "://",
        "_key",
        '"token":',
        'token":"',
        "authorization:",
        "/v1/acl/",
        "http://u:",
        "x=' ",
    ],
)
def test_hostile_texts_take_time_in_proportion_to_their_size(part: str) -> None:
    """Names of members and requests end up in lines of the log: with 64 KiB, quadratic time would be minutes."""
    began_s = time.process_time()
    for text in (part * (65_536 // len(part)) + end for end in ("=", "=@:", '"', "@")):
        text_without_secrets(text)
        target_without_secrets(text)
        url_without_password(text)
        is_secret(text)
    assert time.process_time() - began_s < 5


def test_the_agents_own_tokens_and_keys_are_declared_secret() -> None:
    declared = {path for path, (_, key) in KEYS.items() if key.secret}
    assert declared == {
        "connect.ca_config",
        "encrypt",
        *(f"acl.tokens.{name}" for name in ("master", *NAMES)),
    }
