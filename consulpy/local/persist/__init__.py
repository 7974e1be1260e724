"""Storage of the agent's services and checks in its data directory."""
