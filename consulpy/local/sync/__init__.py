"""Anti-entropy: the catalog is made equal to this agent's services and checks."""
