"""Which of several values of a key counts."""

from pathlib import Path

import pytest

from consulpy.config.flags import read_flags
from consulpy.config.load import read
from consulpy.config.schema import RuntimeConfig
from consulpy.errors import ConfigError
from tests.fakes.config import FakeHost


def hcl(text: str, *flags: str) -> RuntimeConfig:
    return read(read_flags(["-data-dir", "/x", "-hcl", text, *flags]), FakeHost())


def test_a_flag_that_overrides_the_file_is_no_mistake_of_the_file(tmp_path: Path) -> None:
    (tmp_path / "a.hcl").write_text("ports { http = 80 }")
    with pytest.raises(ConfigError, match=r"^ports.http \(-http-port\): invalid port: 70000"):
        read(read_flags(["-dev", "-config-dir", str(tmp_path), "-http-port", "70000"]), FakeHost())


def test_fragments_override_flags() -> None:
    """As a real agent has it: -hcl is the last word, and its lists come last."""
    flags = ["-log-level", "warn", "-datacenter", "x", "-retry-join", "a", "-node-meta", "q:1"]
    config = hcl('log_level = "err"\ndatacenter = "y"\nretry_join = ["b"]\nnode_meta { q = "2" }', *flags)
    assert (config.log_level, config.datacenter, config.retry_join, config.node_meta) == (
        "err",
        "y",
        ("a", "b"),
        {"q": "2"},
    )


def test_scripts_of_files_may_be_off_where_those_of_the_api_are_on() -> None:
    assert hcl("enable_script_checks = true").enable_local_script_checks
    off = "enable_script_checks = true\nenable_local_script_checks = false\n"
    assert not hcl(off).enable_local_script_checks
    with pytest.raises(ConfigError, match="Scripts are disabled on this agent"):
        hcl(f'{off}check {{ name = "x" args = ["true"] interval = "1s" }}')
