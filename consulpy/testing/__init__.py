"""Public test kit: a simulated network, a clock, clusters in one process."""
