"""The agent: every room, built from a configuration and introduced to the others. Read `consulpy.agent.agent` first."""

from consulpy.agent.agent import Agent

__all__ = ["Agent"]
