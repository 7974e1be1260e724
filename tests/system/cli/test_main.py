"""The command line without any agent: help, mistakes, completion, and what needs no agent."""

import base64
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from consulpy.cli import completion
from consulpy.cli.command import COMMANDS, Invocation
from consulpy.cli.loader import load_all
from consulpy.cli.main import main
from consulpy.cli.rtt import distance_s
from consulpy.cli.table import table
from consulpy.cli.why import folded, line, why
from tests.peers.cli import ROOT, environment


def test_the_listing_names_all_commands(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    rows = capsys.readouterr().out.splitlines()
    assert rows[0] == "Usage: consulpy [--version] [--help] <command> [<args>]"
    names = [row.split()[0] for row in rows if row.startswith("    ")]
    assert names == sorted(names)
    assert set(names) >= set(
        "agent catalog doctor event force-leave info join keygen keyring leave maint members monitor reload rtt "  # noqa: SIM905
        "services validate version watch why".split()
    )


def test_every_command_has_a_page(capsys: pytest.CaptureFixture[str]) -> None:
    load_all()
    for name, one in COMMANDS.items():
        assert main([*name.split(), "-h"]) == 0
        page = capsys.readouterr().out
        assert page.startswith(f"Usage: consulpy {one.usage}")
        assert max(map(len, page.splitlines())) <= 90


@pytest.mark.peers
@pytest.mark.parametrize(
    "name", ["agent", "members", "join", "leave", "event", "rtt", "keyring", "maint", "catalog nodes", "watch"]
)
def test_every_flag_of_consuls_page_is_known(name: str) -> None:
    """`consul NAME -h` names no flag that we refuse as unknown."""
    page = subprocess.run(["consul", *name.split(), "-h"], capture_output=True, text=True, check=False).stdout
    theirs = {row.strip().lstrip("-").partition("=")[0] for row in page.splitlines() if row.startswith("  -")}
    load_all()
    missing = theirs - set(COMMANDS[name].flag_set().flags)
    assert {flag for flag in missing if " " not in flag} == set()


@pytest.mark.parametrize("group", ["acl", "kv", "tls"])
def test_the_columns_of_a_groups_help_are_as_wide_as_consuls(group: str, capsys: pytest.CaptureFixture[str]) -> None:
    """With a fixed width a long name ran into its text: `set-agent-tokenAssign`."""
    main([group, "-h"])
    rows = capsys.readouterr().out.partition("Subcommands:\n")[2].splitlines()
    width = 4 + max(len(row.split()[0]) for row in rows) + 4
    assert all(row[width - 4 : width].isspace() and not row[width].isspace() for row in rows)


def test_an_unknown_command_gets_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["membres"]) == 127
    assert capsys.readouterr().err.splitlines()[0] == "consulpy has no command 'membres'; did you mean members?"


@pytest.mark.parametrize("words", [["../x"], ["main"], ["registry"], ["__init__"], ["-x"]])
def test_files_that_are_no_commands_are_none(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 127
    assert "has no command" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ("members -bogus", "flag provided but not defined: -bogus"),
        ("members -detaild", "did you mean -detailed?"),
        ("members -format xml", "expected pretty or json"),
        ("members -http-addr foo://x", "Unknown protocol scheme: foo"),
        ("join", "At least one address to join must be specified."),
        ("event", "Event name must be specified"),
        ("rtt", "One or two node names must be specified"),
        ("force-leave", "A single node name must be specified to force leave."),
        ("why", "A single node name must be specified."),
        ("watch -type key", "Must specify a single key to watch"),
        ("agent -bnd x", "flag provided but not defined: -bnd; did you mean -bind?"),
        ("agent", "data_dir cannot be empty"),
        ("validate", "Must specify at least one config file or directory"),
        ("catalog nodes -node-meta a", 'Missing "=" value in argument: a'),
    ],
)
def test_a_mistake_is_said_with_status_1(words: str, text: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words.split()) == 1
    assert text in capsys.readouterr().err


def test_validate(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    absent = tmp_path / "absent"
    good = tmp_path / "good.hcl"
    good.write_text(f'data_dir = "{absent}"\nbind_addr = "127.0.0.1"\ncache {{ entry_fetch_rate = 1 }}')
    assert main(["validate", str(good)]) == 0
    said = capsys.readouterr()
    assert said.out == "Configuration is valid!\n"
    assert f"{good}:3: cache.entry_fetch_rate is not supported yet" in said.err
    assert main(["validate", "-quiet", str(good)]) == 0
    assert capsys.readouterr().out == ""
    good.write_text("\nportz { }")
    assert main(["validate", str(good)]) == 1
    assert (
        f"Config validation failed: {good}:2: invalid config key portz; did you mean ports?" in capsys.readouterr().err
    )
    assert not absent.exists(), "nothing is written"


def test_keygen(capsys: pytest.CaptureFixture[str]) -> None:
    keys = {(main(["keygen"]), capsys.readouterr().out) for _ in range(2)}
    assert len(keys) == 2
    assert all(status == 0 and len(base64.b64decode(text)) == 32 for status, text in keys)


def test_small_commands_import_little() -> None:
    """Twisted takes half a second to import: only `agent` may."""
    code = (
        "import sys; from consulpy.cli.main import main; main(['version']); main(['join']);"
        "sys.exit(any(name in sys.modules for name in ('twisted', 'argcomplete', 'tabulate')))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment("127.0.0.1"), cwd=ROOT, capture_output=True, check=False
    )
    assert done.returncode == 0


def test_no_command_but_the_agent_needs_twisted() -> None:
    code = "import sys; from consulpy.cli.loader import load_all; load_all(); sys.exit('twisted' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment("127.0.0.1"), cwd=ROOT, capture_output=True, check=False
    )
    assert done.returncode == 0


def test_tables_end_without_blanks() -> None:
    assert table([["a", "1", ""], ["long", "", "x"]], ["N", "V", "W"]) == "N     V  W\na     1\nlong     x"


def test_the_distance_of_two_coordinates() -> None:
    one = {"Vec": [0.0] * 8, "Height": 0.001, "Adjustment": 0.0}
    other = {"Vec": [0.003, 0.004, *[0.0] * 6], "Height": 0.002, "Adjustment": -0.002}
    assert distance_s(one, other) == pytest.approx(0.006)
    assert distance_s(one, {**other, "Adjustment": -1.0}) == pytest.approx(0.008), (
        "an adjustment never makes it negative"
    )


EVENT = {"At": 1_700_000_000.5, "What": "suspect", "Incarnation": 3, "Peer": "b", "Detail": "no ack to probe 7"}


class FakeClient:
    def timeline(self, name: str, timeout_s: float) -> dict[str, Any]:
        verdict = {"cause": "process-frozen", "text": "It stands still.", "evidence": ["no ack"]}
        return {"verdict": verdict, "Events": [EVENT] if name == "a" else []}


def test_why_tells_one_line_for_each_event(capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("a", "b"):
        given = Invocation({"format": "pretty"}, [name])
        given.__dict__["client"] = FakeClient()
        assert why(given) == 0
    assert capsys.readouterr().out.splitlines() == [
        *("a: process-frozen", "It stands still.", "  - no ack", ""),
        "2023-11-14T22:13:20.500Z  suspect     incarnation 3  by b  no ack to probe 7",
        *("b: process-frozen", "It stands still.", "  - no ack", ""),
        "Nothing happened to b that this agent saw.",
    ]


def test_suspicions_that_were_refuted_again_and_again_are_one_line() -> None:
    flap = [{**EVENT, "What": what} for what in ("suspected", "suspicion confirmed", "alive")]
    lines = folded([*3 * flap, {**EVENT, "What": "suspected"}, {**EVENT, "What": "dead"}])
    assert [text.split("  ")[1].strip() for text in lines] == ["flapped", "suspected", "dead"]
    assert "3 times suspected and refuted" in lines[0]
    assert len(folded([*2 * flap])) == 6


def test_an_event_without_details() -> None:
    assert (
        line({**EVENT, "What": "alive", "Peer": "", "Detail": ""})
        == "2023-11-14T22:13:20.500Z  alive       incarnation 3"
    )


def test_the_shell_completes_words_and_flags() -> None:
    made = completion.parser()
    words = made.parse_args(["catalog", "nodes", "-detailed", "-near", "x"])
    assert vars(words)["near"] == "x"


def test_completion_is_put_into_the_start_file_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("SHELL", "/bin/bash")
    (tmp_path / ".bashrc").write_text("alias ll='ls -l'")
    for _ in range(2):
        assert main(["-autocomplete-install"]) == 0
    text = (tmp_path / ".bashrc").read_text()
    assert text.count("register-python-argcomplete consulpy") == 1
    assert main(["-autocomplete-uninstall"]) == 0
    assert (tmp_path / ".bashrc").read_text() == "alias ll='ls -l'\n"


@pytest.mark.parametrize(
    "words",
    [
        ["agent", "-dev", "-retry-join", "provider=aws tag_key=a secret_access_key=s3kret"],
        ["agent", "-dev", "-hcl", 'telemetry { circonus_api_token = ["s3kret", "s3kret"] }'],
        ["members", "-http-addr", "http://u:s3kret@127.0.0.1:1"],
        ["kv", "get", "-http-addr", "u:s3kret@127.0.0.1:1", "a"],
    ],
    ids=" ".join,
)
def test_no_error_shows_a_secret(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 1
    shown = capsys.readouterr()
    assert shown.err
    assert "s3kret" not in shown.err + shown.out
