"""The agent: every package's parts, built from a configuration and connected. Read `consulpy.agent.agent` first."""

from consulpy.agent.agent import Agent

__all__ = ["Agent"]
