"""The agent's services and checks on disk."""
