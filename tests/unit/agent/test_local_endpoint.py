"""Where an agent reaches its own API: the first HTTP address, as in Consul, else the first HTTPS address."""

from typing import Any

import pytest

from consulpy.agent.features.local_endpoint import LocalEndpoint
from consulpy.config.flags import AgentFlags
from consulpy.config.load import read
from consulpy.config.schema import RuntimeConfig
from consulpy.errors import ConfigError
from tests.fakes.config import FakeHost


def config(**values: Any) -> RuntimeConfig:
    paths = {name.replace("__", "."): value for name, value in values.items()}
    return read(AgentFlags(values={"data_dir": "/x", "cert_file": "c", "key_file": "k", **paths}), FakeHost())


@pytest.mark.parametrize(
    ("values", "url"),
    [
        ({}, "http://127.0.0.1:8500"),
        ({"client_addr": "0.0.0.0"}, "http://127.0.0.1:8500"),
        ({"client_addr": "::"}, "http://[::1]:8500"),
        ({"addresses__http": "10.0.0.5 127.0.0.1", "ports__http": 80}, "http://10.0.0.5:80"),
        ({"addresses__http": "unix:///run/x.sock"}, "http://unix"),
        ({"addresses__http": "/run/x.sock", "ports__http": -1}, "http://unix"),
        ({"addresses__http": "/run/x.sock", "ports__https": 8501}, "http://unix"),
        ({"ports__http": -1, "ports__https": 8501}, "https://127.0.0.1:8501"),
        ({"ports__http": -1, "ports__https": 8501, "addresses__https": "10.0.0.5"}, "https://10.0.0.5:8501"),
        ({"ports__https": 8501}, "http://127.0.0.1:8500"),
    ],
)
def test_the_first_address(values: dict[str, Any], url: str) -> None:
    assert LocalEndpoint(None, config(**values)).base_url == url


def test_there_may_be_none() -> None:
    with pytest.raises(ConfigError, match=r"ports.http and ports.https are off"):
        LocalEndpoint(None, config(ports__http=-1))
