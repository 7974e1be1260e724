"""The HTTP API: listener, connections, caches and routes."""
