"""Records of the RPC and HTTP APIs and of the log."""
