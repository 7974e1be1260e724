"""Mistakes in `acl` commands that are found before or without a server: Consul's texts (seen with 1.8.7)."""

from pathlib import Path

import pytest

from consulpy.cli.main import main


@pytest.mark.parametrize(
    ("words", "error"),
    [
        ("policy create -name p -rules @none", "Error loading rules: Failed to read file: open none: no such file"),
        ("policy update -id 0123 -rules @none", "Error determining policy ID: "),
        ("role delete", "Must specify the -id or -name parameters"),
        ("binding-rule create -method m", "Missing required '-bind-name' flag"),
        ("binding-rule read", "Must specify the -id parameter."),
        ("auth-method create -type jwt -name m -config @none", "Error loading configuration file: Failed to read file"),
        ("auth-method create -type jwt -name m -config {", "Error parsing JSON configuration file: "),
        ("auth-method create -type kubernetes -name k", "Missing required '-kubernetes-host' flag"),
        (
            "auth-method create -type kubernetes -name k -kubernetes-host=https://x",
            "Missing required '-kubernetes-ca-cert' flag",
        ),
        ("set-agent-token nope x", "Unknown token type"),
        (
            "token list -token-file none",
            "Error connecting to Consul agent: Error loading token file: open none: no such",
        ),
    ],
)
def test_what_is_wrong(
    words: str, error: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CONSUL_HTTP_ADDR", f"unix://{tmp_path}/no-agent.sock")
    assert main(["acl", *words.split()]) == 1
    assert capsys.readouterr().err.startswith(error)
