"""Raft among servers: elections, the replicated log, its configuration, and snapshots, on Consul's own wire."""
