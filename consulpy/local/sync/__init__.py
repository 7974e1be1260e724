"""Anti-entropy: synchronization of the catalog with this agent's services and checks."""
