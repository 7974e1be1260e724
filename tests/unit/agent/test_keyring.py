"""Gossip keys on disk (docs/wire/gossip.md 3.3)."""

import base64
import json
from pathlib import Path

import pytest

from consulpy.agent.features.keyring import KeyringFile, decode_key
from consulpy.errors import ConfigError

ONE, TWO = (base64.b64encode(bytes([number]) * 32).decode() for number in (1, 2))


def test_the_key_of_the_flag_makes_the_file(tmp_path: Path) -> None:
    path = tmp_path / "serf" / "local.keyring"
    assert KeyringFile(path).load(ONE) == [decode_key(ONE)]
    assert json.loads(path.read_text()) == [ONE]
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_file_that_exists_wins(tmp_path: Path) -> None:
    file = KeyringFile(tmp_path / "local.keyring")
    file.save([decode_key(TWO), decode_key(ONE)])
    assert file.load(ONE) == [decode_key(TWO), decode_key(ONE)]


def test_without_a_path_keys_live_in_memory() -> None:
    assert KeyringFile(None).load(ONE) == [decode_key(ONE)]
    assert KeyringFile(None).load("") == []


@pytest.mark.parametrize("encrypt", ["", ONE])
@pytest.mark.parametrize(
    "text", ["", "[]", "nonsense", "[1]", '["short"]', "{}x", '{"AAAAAAAAAAAAAAAAAAAAAA==": 1}', "null"]
)
def test_a_file_without_keys_is_named_and_kept(tmp_path: Path, text: str, encrypt: str) -> None:
    """Else gossip would go unencrypted from a host where it was not."""
    path = tmp_path / "local.keyring"
    path.write_text(text)
    with pytest.raises(ConfigError, match=str(path)):
        KeyringFile(path).load(encrypt)
    assert path.read_text() == text


@pytest.mark.parametrize("text", ["short", "!!!", base64.b64encode(b"x" * 17).decode()])
def test_what_is_no_key_is_told(text: str) -> None:
    with pytest.raises(ConfigError, match="consulpy keygen"):
        decode_key(text)
