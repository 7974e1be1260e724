"""Construction of an agent's parts from its configuration."""
