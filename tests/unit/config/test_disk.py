"""Which files of a command line are read, and which are missed."""

from pathlib import Path

import pytest

from consulpy.config.flags import read_flags
from consulpy.config.load import read
from consulpy.errors import ConfigError
from tests.fakes.config import FakeHost


@pytest.mark.parametrize("flag", ["-config-file", "-config-dir"])
def test_an_empty_path_is_no_directory(flag: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A script's unset variable: the settings of the working directory are not meant."""
    (tmp_path / "a.hcl").write_text('datacenter = "here"')
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=r"^config: Open failed on \. open : no such file or directory$"):
        read(read_flags(["-dev", flag, ""]), FakeHost())
    assert read(read_flags(["-dev", "-config-format", ""]), FakeHost()).datacenter == "dc1"


def test_a_link_to_nothing_is_missed(tmp_path: Path) -> None:
    (tmp_path / "a.hcl").symlink_to(tmp_path / "none")
    with pytest.raises(ConfigError, match=rf"^config: Open failed on {tmp_path}/a.hcl. open .*: no such file"):
        read(read_flags(["-dev", "-config-dir", str(tmp_path)]), FakeHost())
