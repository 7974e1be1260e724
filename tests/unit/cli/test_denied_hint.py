"""What a token lacks is said by the commands for keys and by `monitor`, too."""

from typing import Any

import pytest

from consulpy.cli.main import main
from consulpy.client.connection import Connection

LACKS = 'The token lacks a right: accessor=1234, key:write "a"'


class _Refusal:
    """The response of an agent that refuses, and its connection."""

    status = 403

    def getheaders(self) -> list[tuple[str, str]]:
        return [("X-Consulpy-Denied", 'accessor=1234, key:write "a"')]

    def read(self, *_: Any) -> bytes:
        return b"Permission denied"

    def close(self) -> None:
        """Nothing is open."""


@pytest.mark.parametrize(
    "words",
    ["kv get a", "kv get -recurse a", "kv put a b", "kv put -cas -modify-index=1 a b", "kv delete a", "kv export a",
     'kv import [{"key":"a","value":"eA=="}]', "monitor", "event -name x", "info"],
)  # fmt: skip
def test_it_is_a_line_of_its_own(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, words: str
) -> None:
    monkeypatch.setattr(Connection, "open", lambda *_, **__: (_Refusal(), _Refusal()))
    assert main(words.split(" ")) == 1
    lines = capsys.readouterr().err.splitlines()
    assert lines[-1] == LACKS
    assert "Unexpected response code: 403 (Permission denied)" in lines[-2]
