"""Exit statuses and texts of wrong usage, without an agent."""

import pytest

from consulpy.cli.main import main


@pytest.mark.parametrize(
    ("words", "status", "text"),
    [
        ("intention check -nope", 2, "flag provided but not defined: -nope"),
        ("intention check -format", 2, "flag needs an argument"),
        ("intention check -http-addr=foo://x a b", 2, "Unknown protocol scheme"),
        ("intention match -nope", 2, "flag provided but not defined: -nope"),
        ("intention get -nope", 1, "flag provided but not defined: -nope"),
        ("debug a", 1, "Too many arguments provided, expected 0"),
        ("login a", 1, "Should have no non-flag arguments."),
        ("logout a", 1, "Should have no non-flag arguments."),
        ("kv delete", 1, "Missing KEY argument"),
        ("services register -name=a -tagged-address=lan=1.2.3.4", 1, "address 1.2.3.4: missing port in address"),
        ("services register -name=a -tagged-address=lan=1.2.3.4:x", 1, 'strconv.Atoi: parsing "x": invalid syntax'),
        ("connect proxy -service=x -upstream=y:99999", 1, "port 99999 is out of range"),
    ],
)
def test_what_is_said(capsys: pytest.CaptureFixture[str], words: str, status: int, text: str) -> None:
    assert main(words.split()) == status
    assert text in capsys.readouterr().err
