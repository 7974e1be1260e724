"""The agent's flags, derived from the schema."""

from collections.abc import Sequence

from consulpy.config.load import load
from consulpy.config.schema import RuntimeConfig


def config_from_argv(argv: Sequence[str]) -> RuntimeConfig:
    """What `consulpy agent ARGV` and `twistd consulpy ARGV` run. Raises `ConfigError`."""
    return load(argv)
