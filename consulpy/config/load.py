"""Reads what the user wrote into one `RuntimeConfig`."""

from collections.abc import Sequence

from consulpy.config.schema import RuntimeConfig


def load(argv: Sequence[str]) -> RuntimeConfig:
    """The configuration that the flags in `argv` and the files named there ask for. Raises `ConfigError`."""
    raise NotImplementedError
