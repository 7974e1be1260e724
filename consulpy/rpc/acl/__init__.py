"""Access control of the servers: from a call's token to its rights, and which right each method wants."""
