"""The agent: every package's parts, built from a configuration and connected. Read `consulpy.agent.agent` first.

`Agent` here is the one for other programs (`consulpy.agent.embedded`).
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from consulpy.agent.embedded import Agent

__all__ = ["Agent"]


def __getattr__(name: str) -> Any:
    """`Agent`, imported when it is used: the command line's agent does not need it."""
    if name == "Agent":
        from consulpy.agent.embedded import Agent

        return Agent
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
