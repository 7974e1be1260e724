"""Files of `services register`: blocks whose names are in capitals, and bodies of the HTTP API."""

from pathlib import Path

import pytest

from consulpy.cli.command import Invocation
from consulpy.cli.services import _from_files
from consulpy.errors import ConfigError


@pytest.mark.parametrize(
    "text", ['{"Service": {"Name": "web", "Port": 2}}', '{"SERVICES": [{"name": "web", "Checks": [{"TTL": "5s"}]}]}']
)
def test_keys_in_capitals_are_read_as_by_consul(tmp_path: Path, text: str) -> None:
    (tmp_path / "web.json").write_text(text)
    (found,) = _from_files(Invocation({}, [str(tmp_path / "web.json")]))
    assert found["Name"] == "web"


@pytest.mark.parametrize("text", ['{"Name": "web"}', '{"ID": "w", "Name": "web", "Port": 2}'])
def test_a_body_of_the_api_is_named_as_such(tmp_path: Path, text: str) -> None:
    (tmp_path / "web.json").write_text(text)
    with pytest.raises(ConfigError, match="as the HTTP API takes it"):
        list(_from_files(Invocation({}, [str(tmp_path / "web.json")])))
