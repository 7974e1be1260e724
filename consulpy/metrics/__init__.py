"""The agent's metrics, under Consul's names."""
