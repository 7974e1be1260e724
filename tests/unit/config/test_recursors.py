"""Recursors of the configuration."""

from pathlib import Path

import pytest

from consulpy.config.flags import read_flags
from consulpy.config.load import load, read
from consulpy.errors import ConfigError
from tests.fakes.config import FakeHost


def test_recursors_are_addresses_or_names_that_resolve(tmp_path: Path) -> None:
    """A name is looked up when the configuration is read, never by the reactor; here also what has no dot."""
    host = FakeHost()
    host.names = {"dns": "10.0.0.9", "dns.example": "fd00::9"}
    data = ["-data-dir", str(tmp_path)]
    argv = [word for each in ("dns", "dns.example:5353", "8.8.8.8", "[::1]:53") for word in ("-recursor", each)]
    assert load([*data, *argv], host).recursors == ("10.0.0.9", "[fd00::9]:5353", "8.8.8.8", "[::1]:53")
    with pytest.raises(ConfigError, match=r"^Invalid recursor address: recursors: lookup nowhere: nowhere is unknown$"):
        load([*data, "-recursor", "nowhere"], host)


def test_a_recursor_that_is_given_twice_is_asked_once() -> None:
    flags = [word for each in ("8.8.8.8", "9.9.9.9", "8.8.8.8") for word in ("-recursor", each)]
    assert read(read_flags(["-dev", *flags]), FakeHost()).recursors == ("8.8.8.8", "9.9.9.9")
