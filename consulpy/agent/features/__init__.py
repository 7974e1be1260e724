"""Optional parts of an agent: joining, keyring, watches, remote execution."""
