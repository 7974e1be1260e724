"""What the agent counts and measures, under Consul's names."""
